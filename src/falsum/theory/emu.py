"""The laws of `falsum.theory.mutation` and `falsum.theory.margins` in numbers: each formula beside its Monte Carlo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.kernels.compare import DOT
from falsum.seeds import derive, generator
from falsum.theory import margins, mutation
from falsum.theory.mutation import Gradients

# Shares of the positive that the paper's tables hold, in one reading or the other.
SHARES = (0.06, 0.39, 0.61, 0.94)
WIDTH, DRAWS = 1000, 4000
# Width and number of differences for second moments, and of how many directions they are made.
MOMENT_WIDTH, DIFFERENCES, DIRECTIONS, TURNS = 48, 4000, 16, 5
# Questions, negatives and entries for gradients of masks, and how often masks are drawn.
QUESTIONS, NEGATIVES, ENTRIES, GRADIENT_DRAWS = 3, 4, 3, 8_000
LABEL = 0.25


@dataclass(frozen=True)
class Law:
    """A formula and its Monte Carlo. stated: what the paper says where that differs, else None."""

    name: str
    at: str
    formula: float
    measured: float
    stated: float | None = None

    @property
    def difference(self) -> float:
        """Relative to the formula."""
        return self.measured / self.formula - 1


def rows(seed: int, *shape: int) -> Tensor:
    """float64 rows of independent normal entries."""
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def two_rows(seed: int, width: int = WIDTH) -> tuple[Tensor, Tensor]:
    """A and B of normal entries whose cosine is about .45: no entry carries it."""
    a, own = rows(seed, 2, width)
    return a, 0.5 * a + own


def distances(shares: Sequence[float] = SHARES, seed: int = 0) -> Iterator[Law]:
    """The mean square distance, and the mean score of a scorer that is linear in the row, whatever its vector."""
    positive, negative, vector = rows(derive(seed, "rows"), 3, 64)
    vector += positive  # scores that are far from 0, beside which they are held
    own, other = (DOT(vector[None], row[None]).squeeze() for row in (positive, negative))
    for share in shares:
        random = generator(derive(seed, "masks", str(share)))
        mutated = mutation.mutate(positive, negative, mutation.masks((DRAWS, 64), share, random))
        square = float(mutation.mean_square_distance(positive, negative, share))
        found = float(mutation.distance(positive, mutated, 2).square().mean())
        yield Law("E |z+ - z~|^2 = (1 - q) |z+ - z-|^2", f"q = {share:g}", square, found)
        score = float(mutation.mean_score(own, other, share))
        yield Law("E s~ = q s+ + (1 - q) s-", f"q = {share:g}", score, float(DOT(vector[None], mutated).mean()))


def angle_laws(shares: Sequence[float] = SHARES, width: int = WIDTH, draws: int = DRAWS, seed: int = 0) -> list[Law]:
    """Mean and standard deviation of the cosine for each share that is kept."""
    a, b = two_rows(derive(seed, "rows"), width)
    found = []
    for keep in shares:
        law = mutation.angle(a, b, keep)
        drawn = mutation.angles(a, b, keep, draws, generator(derive(seed, "masks", str(keep))))
        at = f"k = {keep:g}"
        found.append(Law("mean of cos(A, k * B)", at, law.mean, float(drawn.mean()), law.stated))
        found.append(Law("its standard deviation", at, law.deviation, float(drawn.std())))
    return found


def first_axis(keep: float, width: int = WIDTH, draws: int = DRAWS, seed: int = 0) -> list[Law]:
    """A on the first axis, as in the paper's proof: two values and nothing between them."""
    b = two_rows(derive(seed, "rows"), width)[1].abs() + 1
    a = torch.zeros_like(b)
    a[0] = 1
    drawn = mutation.angles(a, b, keep, draws, generator(derive(seed, "masks")))
    cosine, at = float(b[0] / b.norm()), f"k = {keep:g}"
    nothing = float((drawn == 0).double().mean())
    return [
        Law("A = e_1: share of cosines that are 0", at, mutation.atom(keep), nothing, 0.0),
        Law("A = e_1: mean of the others", at, cosine / keep**0.5, float(drawn[drawn != 0].mean()), cosine),
    ]


def differences(seed: int = 0, width: int = MOMENT_WIDTH, count: int = DIFFERENCES) -> Tensor:
    """(m, w) z- - z+ that lie in few directions, off centre: what a trained model's negatives are like."""
    spread = rows(derive(seed, "spread"), DIRECTIONS, width) * torch.linspace(1, 0.2, DIRECTIONS).double()[:, None]
    return rows(derive(seed, "own"), count, DIRECTIONS) @ spread + rows(derive(seed, "centre"), width)


def moment_laws(shares: Sequence[float] = SHARES, seed: int = 0) -> list[Law]:
    """The effective rank of the second moment about the positive, for each share of the positive."""
    drawn = differences(seed)
    moment = drawn.mT @ drawn / len(drawn)
    return [
        Law(
            "effective rank of E (z~ - z+)(z~ - z+)^T",
            f"q = {share:g}",
            mutation.effective_rank(mutation.second_moment(moment, share)),
            mutation.effective_rank(
                mutation.measured_moment(drawn, share, TURNS, generator(derive(seed, "masks", str(share))))
            ),
            float(len(moment)),
        )
        for share in shares
    ]


@dataclass(frozen=True)
class Ranks:
    """The effective rank of mutated negatives over q: `share` and `rank` of equal length. bound: at q = 1."""

    share: list[float]
    rank: list[float]
    bound: float


def ranks(seed: int = 0, points: int = 50) -> Ranks:
    drawn = differences(seed)
    moment = drawn.mT @ drawn / len(drawn)
    at = [i / points for i in range(points)]
    found = [mutation.effective_rank(mutation.second_moment(moment, share)) for share in at]
    return Ranks(at, found, mutation.rank_bound(moment))


def smoothing_laws(label: float = LABEL, negatives: int = 256, seed: int = 0) -> list[Law]:
    """Unbounded smoothing beside ordinary smoothing times a constant, and its gradient at the cap."""
    positive, rivals = rows(derive(seed, "own"), 1), rows(derive(seed, "rivals"), 1, negatives)
    same = margins.equivalent(label, negatives)
    ordinary = same.scale * float(margins.smoothed(positive, rivals, same.amount))
    ours, at = float(margins.unbounded(positive, rivals, label)), f"beta = {label:g}, n = {negatives}"
    leaf = torch.full((1,), margins.cap(label), dtype=torch.float64, requires_grad=True)
    margins.unbounded(leaf, torch.zeros_like(rivals), label).sum().backward()
    assert leaf.grad is not None
    return [
        Law("(S / n) LS((n + 1) beta / S) = unbounded smoothing", at, ordinary, ours),
        Law("1 + its gradient by s+ at the margin ln(1 / beta)", at, 1.0, 1 + float(leaf.grad)),
    ]


def mask_gradients(take_positive: float = 0.39, draws: int = GRADIENT_DRAWS, seed: int = 0) -> dict[str, Gradients]:
    """Mean gradients with a mask per pair, per negative (shared by the batch), and per question."""
    query, positive = rows(derive(seed, "questions"), 2, QUESTIONS, ENTRIES)
    negatives = rows(derive(seed, "negatives"), NEGATIVES, ENTRIES)
    ways = {"pair": mutation.own_masks, "negative": mutation.shared_masks, "question": mutation.one_mask}
    shape = (QUESTIONS, NEGATIVES, ENTRIES, take_positive)
    return {
        name: mutation.mean_gradient(query, positive, negatives, LABEL, way(*shape), draws, derive(seed, "masks", name))
        for name, way in ways.items()
    }


def laws(seed: int = 0) -> list[Law]:
    """All of them, in the order of docs/emu.md."""
    return [
        *distances(seed=seed),
        *angle_laws(seed=seed),
        *first_axis(0.39, seed=seed),
        *moment_laws(seed=seed),
        *smoothing_laws(seed=seed),
    ]
