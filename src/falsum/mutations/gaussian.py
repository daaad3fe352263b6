"""Gaussian noise on rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.kernels.dropout import normal_of
from falsum.mutations.base import Mix, Mutation


@dataclass(frozen=True)
class GaussianNoise(Mutation):
    """The candidate plus normal noise on every entry, `scale` times the root mean square of its row.

    Relative to the row, so that a scale means the same whatever the size that rows have grown to; no gradient flows
    through that size.
    """

    scale: float = 0.1

    def __post_init__(self) -> None:
        in_range("[0, 1e6]", scale=self.scale)

    def mix(self, ids: Tensor, rows: Tensor, seed: int) -> Mix:
        columns = torch.arange(rows.shape[-1], device=ids.device)
        noise = normal_of(ids.unsqueeze(-1) * rows.shape[-1] + columns, seed).to(rows.dtype)
        size = rows.detach().square().mean(-1, keepdim=True).sqrt()
        return Mix(rows + self.scale * size * noise, rows.new_zeros(*ids.shape, 1))
