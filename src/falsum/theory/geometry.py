"""Where mutated negatives of a trained model lie: cosines, main axes and margins, of rows that are handed in.

Figures 3, 4 and 6 of Takamoto et al. (TMLR 2025) as functions of rows. p: positives, c, d: negatives of the same
question, all (..., w); q: the share of the positive. Predictions are those of a mask of independent entries, exact in
the inner products and the squared norms, of which a cosine is then made: right but for their fluctuation, which falls
with w.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """(...) cosines of rows (..., w); 0 where one is a row of zeros."""
    size = a.norm(dim=-1) * b.norm(dim=-1)
    return (a * b).sum(-1) / torch.where(size > 0, size, 1)


def _square(p: Tensor, c: Tensor, q: float) -> Tensor:
    """E |z~|^2."""
    return q * p.square().sum(-1) + (1 - q) * c.square().sum(-1)


def _ratio(inner: Tensor, *squares: Tensor) -> Tensor:
    size = torch.stack(torch.broadcast_tensors(*squares)).prod(0).sqrt()
    return inner / torch.where(size > 0, size, 1)


def positive_mutated(p: Tensor, c: Tensor, q: float) -> Tensor:
    """(...) cos(z+, z~), about q + (1 - q) cos(z+, z-) for rows of one norm."""
    inner = q * p.square().sum(-1) + (1 - q) * (p * c).sum(-1)
    return _ratio(inner, p.square().sum(-1), _square(p, c, q))


def mutated_mutated(p: Tensor, c: Tensor, d: Tensor, q: float) -> Tensor:
    """(...) cos of two mutated negatives of one question, masks apart; about q^2 where rows are near-orthogonal."""
    own, cross = p.square().sum(-1), (p * c).sum(-1) + (p * d).sum(-1)
    inner = q**2 * own + q * (1 - q) * cross + (1 - q) ** 2 * (c * d).sum(-1)
    return _ratio(inner, _square(p, c, q), _square(p, d, q))


def original_mutated(p: Tensor, c: Tensor, q: float) -> Tensor:
    """(...) cos(z-, z~) of one negative before and after; about 1 - q where rows are near-orthogonal."""
    inner = q * (p * c).sum(-1) + (1 - q) * c.square().sum(-1)
    return _ratio(inner, c.square().sum(-1), _square(p, c, q))


# ---------------------------------------------------------------------------------------------------------- spread


@dataclass(frozen=True)
class Spread:
    """How m negatives (m, w) of one question lie about its positive, or about their own mean.

    anisotropy: the ratio of the two largest eigenvalues of their second moment, 1 where they lie alike in both.
    rank: the effective rank tr(M)^2 / tr(M^2), whose denominator leaves each negative's product with itself out, so
    that few negatives do not look like few directions. Neither is finite where there is nothing to divide by.
    """

    anisotropy: float
    rank: float


def spread(differences: Tensor) -> Spread:
    """Of differences (m, w) from where they are looked at. Costs m^2 w, never w^2."""
    gram = differences.double() @ differences.double().mT
    values = torch.linalg.eigvalsh(gram)
    return Spread(float(values[-1] / values[-2]), float(_trace(differences) ** 2 / _square_of(gram)))


def predicted_rank(differences: Tensor, take_positive: float) -> float:
    """The effective rank of the same negatives mutated, by `falsum.theory.mutation.second_moment`, w^2 never built."""
    keep, own = 1 - take_positive, differences.double()
    off, diagonal = _square_of(own @ own.mT), _square_of(own.square() @ own.square().mT, power=1)
    square = keep**4 * off + (2 * keep**3 * take_positive + keep**2 * take_positive**2) * diagonal
    return float((keep * _trace(own)) ** 2 / square)


def _trace(differences: Tensor) -> Tensor:
    return differences.double().square().sum() / len(differences)


def _square_of(gram: Tensor, power: int = 2) -> Tensor:
    """The mean over pairs of different negatives of their product to a power: tr(M^2) without bias, or sum M_ii^2."""
    num = len(gram)
    return (gram.pow(power).sum() - torch.diag(gram).pow(power).sum()) / (num * (num - 1))


# ------------------------------------------------------------------------------------------------------- main axes


@dataclass(frozen=True)
class Axes:
    """Two main axes of rows: coordinates (m, 2) of each group, and the share of variance that each explains."""

    groups: Mapping[str, Tensor]
    explained: tuple[float, float]


def main_axes(groups: Mapping[str, Tensor]) -> Axes:
    """Principal components of the union of groups (m, w) of rows, centred at its mean."""
    union = torch.cat([rows.double() for rows in groups.values()])
    centre = union.mean(0)
    _, values, axes = torch.linalg.svd(union - centre, full_matrices=False)
    part = values.square() / values.square().sum()
    placed = {name: (rows.double() - centre) @ axes[:2].mT for name, rows in groups.items()}
    return Axes(placed, (float(part[0]), float(part[1]) if len(part) > 1 else 0.0))


# ------------------------------------------------------------------------------------------------- what a run shows


@dataclass(frozen=True)
class Similarity:
    """Cosines of pairs of rows, flat, and the mean that a law predicts, or None where none does."""

    name: str
    values: Tensor
    predicted: float | None = None


@dataclass(frozen=True)
class About:
    """`Spread` about the positive and about their own mean, of kinds of negatives; means over questions.

    predicted: the effective rank about the positive that the law gives, or None.
    """

    name: str
    positive: Spread
    mean: Spread
    predicted: float | None = None


@dataclass(frozen=True)
class Margins:
    """s+ - s- of uniform negatives, flat; the mean of the same negatives mutated; the margin of the equilibrium model,
    or None where the run was trained without EMU.
    """

    values: Tensor
    mutated: float
    equilibrium: float | None


@dataclass(frozen=True)
class Seen:
    """What a trained model's negatives look like. to_positive: Figure 3, between: Figure 6, axes: Figure 4."""

    run: str
    graph: str
    model: str
    take_positive: float
    questions: int
    negatives: int
    to_positive: tuple[Similarity, ...]
    between: tuple[Similarity, ...]
    abouts: tuple[About, ...]
    axes: Axes
    margins: Margins
    notes: tuple[str, ...] = ()
