"""CutMix of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.kernels.dropout import uniform_of
from falsum.mutations.base import Mix, Mutation


@dataclass(frozen=True)
class CutMix(Mutation):
    """A run of entries of a candidate is the target's: take_positive of them, rounded, from a random start, past the
    end from the beginning.

    Yun et al. (2019) cut a rectangle of random size out of an image; a row has one dimension, and its size is fixed
    here so that it differs from `EMU` with an exact count in one thing, that entries go together.
    """

    take_positive: float = 0.06

    only_shares: ClassVar = True

    def __post_init__(self) -> None:
        in_range("[0, 1]", take_positive=self.take_positive)

    def mix(self, ids: Tensor, rows: Tensor, seed: int) -> Mix:
        width = rows.shape[-1]
        start = (uniform_of(ids, seed) * width).long().clamp(max=width - 1).unsqueeze(-1)
        after = (torch.arange(width, device=ids.device) - start) % width
        return Mix(rows, (after < round(self.take_positive * width)).to(rows.dtype))
