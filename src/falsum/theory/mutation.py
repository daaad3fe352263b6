"""What embedding mutation (EMU: Takamoto et al., TMLR 2025) does to rows and gradients: the laws that hold.

A mutated negative takes each entry from the positive with probability q (take_positive), else from the negative,
independently. The released code draws the share k = 1 - q that is kept. Where a law differs from what the paper states,
its docstring says so. Monte Carlo of each stands beside it, and `falsum.theory.emu` puts them in rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.kernels.compare import DOT
from falsum.kernels.distances import MANHATTAN
from falsum.theory.margins import unbounded

Masks = Callable[[torch.Generator], Tensor]


def mutate(positive: Tensor, negative: Tensor, take: Tensor) -> Tensor:
    """(..., w): the entries of positive where take (bool) says so, else those of negative (Eq. 6)."""
    return torch.where(take, positive, negative)


def masks(shape: tuple[int, ...], take_positive: float, random: torch.Generator) -> Tensor:
    """Independent entries of a mask, True with probability take_positive."""
    return torch.rand(shape, generator=random, dtype=torch.float64, device=random.device) < take_positive


# ------------------------------------------------------------------------------------------------------- distances


def distance(positive: Tensor, negative: Tensor, power: float) -> Tensor:
    """(...) the L_p distance of rows (..., w), any p >= 1 or infinite.

    No entry of |z+ - z~| is above that of |z+ - z-|, and no more of them differ when more are taken. So the distance
    never grows, in any norm and for any mask, and falls with every further entry taken (Prop. B.1).
    """
    return torch.linalg.vector_norm(positive - negative, ord=power, dim=-1)


def mean_square_distance(positive: Tensor, negative: Tensor, take_positive: float) -> Tensor:
    """E |z+ - z~|_2^2 = (1 - q) |z+ - z-|_2^2 over masks."""
    return (1 - take_positive) * (positive - negative).square().sum(-1)


def mean_score(positive: Tensor, negative: Tensor, take_positive: float) -> Tensor:
    """E s~ = q s+ + (1 - q) s- of scores that are linear in the candidate's row.

    So a negative becomes harder on average only where s+ > s-; one that scores above the positive becomes easier.
    """
    return take_positive * positive + (1 - take_positive) * negative


@dataclass(frozen=True)
class Nearer:
    """A negative that comes nearer to the positive and scores lower: (before, after) of the distance and the score."""

    distance: tuple[float, float]
    score: tuple[float, float]


def nearer_and_lower() -> Nearer:
    """TransE (L1) with h + r = (0, 0), z+ = (2, 0), z- = (0, 1), first entry taken. Prop. B.1 says that what is nearer
    is harder; of distances to the positive it holds, of scores it does not.
    """
    point, positive, negative = (torch.tensor(x, dtype=torch.float64) for x in ([0.0, 0.0], [2.0, 0.0], [0.0, 1.0]))
    mutated = mutate(positive, negative, torch.tensor([True, False]))
    distances, scores = (
        tuple(measure(row) for row in (negative, mutated))
        for measure in (
            lambda row: float(distance(positive, row, 2)),
            lambda row: float(MANHATTAN(point[None], row[None])),
        )
    )
    return Nearer((distances[0], distances[1]), (scores[0], scores[1]))


# ---------------------------------------------------------------------------------------------------------- angles


@dataclass(frozen=True)
class Angle:
    """The law of cos(A, k * B), k keeping each entry of B with probability keep: its mean and standard deviation.

    stated: the centre by Theorem 3.2, the cosine of A and B themselves.
    """

    mean: float
    deviation: float
    stated: float


def angle(a: Tensor, b: Tensor, keep: float) -> Angle:
    """Normal, of mean sqrt(k) cos(A, B) and variance

        (1 - k) / (|A|^2 |B|^2) sum_i [a_i b_i - (A.B) b_i^2 / (2 |B|^2)]^2.

    By the delta method in sum k_i a_i b_i and sum k_i b_i^2, for many entries none of which carries the sums alone.
    Theorem 3.2 has the centre at cos(A, B) itself. The factor is in its own proof: Appendix C ends in sqrt(N / n_r)
    "as long as lambda_1 is not 0". That proof turns A onto the first axis, which a mask of coordinates does not allow:
    see `atom`.
    """
    inner, square = a @ b, b @ b
    pull = a * b - inner * b.square() / (2 * square)
    cosine = float(inner / (a.norm() * b.norm()))
    variance = (1 - keep) * float(pull @ pull) / float((a @ a) * square)
    return Angle(math.sqrt(keep) * cosine, math.sqrt(variance), cosine)


def angles(a: Tensor, b: Tensor, keep: float, draws: int, random: torch.Generator) -> Tensor:
    """(draws,) cosines of A and B with each entry kept with probability keep; 0 where nothing is kept."""
    found = []
    for part in range(0, draws, 500):
        kept = masks((min(500, draws - part), len(b)), keep, random).to(b.dtype)
        size = (kept @ b.square()).sqrt() * a.norm()
        found.append((kept @ (a * b)) / torch.where(size > 0, size, 1))
    return torch.cat(found)


def atom(keep: float) -> float:
    """The share of cosines that are exactly 0 for A = e_1, whatever B is: 1 - k.

    The rest lie at about cos(A, B) / sqrt(k). So the axis of the paper's proof is the case where nothing is normal.
    """
    return 1 - keep


# --------------------------------------------------------------------------------------------------------- isotropy


def second_moment(moment: Tensor, take_positive: float) -> Tensor:
    """(w, w): E dd^T of d = z~ - z+, from M = E DD^T of D = z- - z+: (1 - q)^2 M + q (1 - q) diag(M).

    Theorem 3.3 says that mutated negatives lie isotropically around the positive. What holds is less: what two entries
    share falls by 1 - q more than what each has. They become isotropic only where diag(M) is even, and their mean is
    (1 - q) (E z- - z+), not z+.
    """
    keep = 1 - take_positive
    return keep**2 * moment + take_positive * keep * torch.diag(torch.diag(moment))


def effective_rank(moment: Tensor) -> float:
    """tr(M)^2 / tr(M^2), between 1 and w: over how many directions a second moment (w, w) is spread."""
    return float(torch.trace(moment) ** 2 / moment.square().sum())


def rank_bound(moment: Tensor) -> float:
    """The effective rank of diag(M), which that of mutated negatives rises to as q goes to 1."""
    return effective_rank(torch.diag(torch.diag(moment)))


def measured_moment(differences: Tensor, take_positive: float, turns: int, random: torch.Generator) -> Tensor:
    """(w, w): the mean of dd^T over differences z- - z+ (m, w), each mutated `turns` times."""
    total = torch.zeros(differences.shape[1], differences.shape[1], dtype=differences.dtype)
    for _ in range(turns):
        kept = differences.masked_fill(masks(tuple(differences.shape), take_positive, random), 0)
        total += kept.mT @ kept
    return total / (turns * len(differences))


# -------------------------------------------------------------------------------------------------------- gradients


@dataclass(frozen=True)
class Gradients:
    """The mean of a random gradient, flat, and the standard error of each entry of it."""

    mean: Tensor
    error: Tensor

    def apart(self, other: Gradients) -> Tensor:
        """By how many standard errors each entry differs; entries that nothing moves are left out."""
        error = (self.error.square() + other.error.square()).sqrt()
        return ((self.mean - other.mean) / error)[error > 0]


def shared_masks(queries: int, negatives: int, width: int, take_positive: float) -> Masks:
    """A mask for each negative, the same for all questions: (1, n, w)."""
    return lambda random: masks((1, negatives, width), take_positive, random)


def own_masks(queries: int, negatives: int, width: int, take_positive: float) -> Masks:
    """A mask for each question and negative, as in the paper: (b, n, w)."""
    return lambda random: masks((queries, negatives, width), take_positive, random)


def one_mask(queries: int, negatives: int, width: int, take_positive: float) -> Masks:
    """A mask for each question, the same for its negatives: (b, 1, w). Another law, unlike the two above."""
    return lambda random: masks((queries, 1, width), take_positive, random)


def mean_gradient(
    query: Tensor, positive: Tensor, negatives: Tensor, label: float, drawn: Masks, draws: int, seed: int
) -> Gradients:
    """The gradient of EMU's mean loss over b questions by all rows, averaged over draws of masks.

    query, positive: (b, w), scored by inner products. negatives: (n, w), the same for all questions.

    The loss is a mean over questions and each question's part reads its own masks only. So its mean, and that of its
    gradient, depend on the law of masks within a question and on nothing else: one mask per negative, shared by the
    batch, gives the same mean as one per pair. Only how gradients of questions vary together differs.
    """
    random = torch.Generator().manual_seed(seed)
    take = torch.stack([drawn(random) for _ in range(draws)])  # (draws, b or 1, n or 1, w)
    leaves = [rows.expand(draws, *rows.shape).clone().requires_grad_() for rows in (query, positive, negatives)]
    asked, target, rivals = leaves
    mutated = mutate(target.unsqueeze(2), rivals.unsqueeze(1), take)
    scores, own = (DOT(asked.unsqueeze(2), rows).squeeze(2) for rows in (mutated, target.unsqueeze(2)))
    unbounded(own.squeeze(2), scores, label).mean(1).sum().backward()
    each = torch.cat([leaf.grad.flatten(1) for leaf in leaves if leaf.grad is not None], 1)
    return Gradients(each.mean(0), each.std(0) / math.sqrt(draws))
