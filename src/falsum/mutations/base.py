"""Mutation: candidate rows changed between gather and compare."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor


class Spread(NamedTuple):
    """Of shares that are means: each entry's own share varies about it, independently, with `variance` (n,).

    An inner product with such a row is a mean and a variance. normal: (n,) standard normal numbers, by which the score
    lies off its mean; None: its exponential is averaged instead, as if the score were normal: half the variance is
    added.
    """

    variance: Tensor
    normal: Tensor | None


class Mix(NamedTuple):
    """What a candidate becomes against each target: take * target row + (1 - take) * rows.

    rows (..., n, w). take: (..., n, w), or (..., n, 1) where a candidate has one share for all entries; in [0, 1], no
    gradient flows through it. spread: of inner products only.
    Coefficients and not finished rows: mixed inner products then follow from two products of (b, w) with (n, w), and
    no (b, n, w) tensor is needed.
    """

    rows: Tensor
    take: Tensor
    spread: Spread | None = None


class Mutation(ABC):
    """How candidates are mixed with the target of their question. A mutated term has one row per target.

    linear_only: whether it means anything only for models that compare by inner product. drawn_only: whether
    candidates are mixed with one another, so that they must be drawn together. selective: whether it asks `chosen`.
    only_shares: whether a mix is the rows themselves with shares, which follow from ids alone and do not spread.
    """

    linear_only: ClassVar[bool] = False
    drawn_only: ClassVar[bool] = False
    selective: ClassVar[bool] = False
    only_shares: ClassVar[bool] = False

    @abstractmethod
    def mix(self, ids: Tensor, rows: Tensor, seed: int) -> Mix:
        """Candidates ids (..., n) with their rows (..., n, w) -> the mix.

        A pure function of (seed, id, entry), so that any blocking of the candidates gives the same; those that are
        drawn_only see each entity of a draw once, in the order of ids.
        """

    def chosen(self, scores: Tensor, positive: Tensor) -> Tensor:
        """(b, n) bool, which candidates are mutated, from their own scores (b, n) and those of the targets (b,). It
        costs a product more, so it is asked of selective mutations only.
        """
        raise NotImplementedError
