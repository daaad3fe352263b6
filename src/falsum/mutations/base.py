"""Mutation: candidate rows changed between gather and compare."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor


class Mix(NamedTuple):
    """What a candidate becomes against each target: take * target row + (1 - take) * rows.

    rows (c, n, w). take: (c, n, w), or (c, n, 1) where a candidate has one share for all entries; in [0, 1].
    Coefficients and not finished rows: for inner products the mixed scores then follow from two products of (b, w) with
    (n, w), and no (b, n, w) tensor is needed.
    """

    rows: Tensor
    take: Tensor


class Mutation(ABC):
    """How candidates are mixed with the target of their question. A mutated term has one row per target."""

    @abstractmethod
    def mix(self, ids: Tensor, rows: Tensor, seed: int) -> Mix:
        """Candidates ids (c, n) with their rows (c, n, w) -> the mix.

        A pure function of (seed, id, entry), so that any blocking of the candidates gives the same.
        """
