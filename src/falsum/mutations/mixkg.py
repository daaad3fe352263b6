"""MixKG: negatives mixed with negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from falsum.kernels.dropout import uniform_of
from falsum.mutations.base import Mix, Mutation


@dataclass(frozen=True)
class MixKG(Mutation):
    """w candidate + (1 - w) another candidate of the draw, w uniform in (0, 1) (Che et al. 2022).

    The other is the next in the draw, for the last the first: draws are in no order, and so are pairs. Which are mixed
    is the noise's business (they mix the hardest of many: `best-of`). Never harder than its harder parent where models
    compare by inner product; with distances it may be harder than both.
    """

    drawn_only: ClassVar = True

    def mix(self, ids: Tensor, rows: Tensor, seed: int) -> Mix:
        own = uniform_of(ids, seed).to(rows.dtype).unsqueeze(-1)
        return Mix(own * rows + (1 - own) * rows.roll(-1, -2), rows.new_zeros(*ids.shape, 1))
