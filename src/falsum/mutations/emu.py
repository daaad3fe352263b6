"""EMU: embedding mutation, entry by entry."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.kernels.dropout import keep_mask, uniform_of
from falsum.mutations.base import Mix, Mutation


@dataclass(frozen=True)
class EMU(Mutation):
    """Each entry of a candidate is the target's with probability take_positive, else its own (Takamoto et al. 2025,
    Eq. 6).

    take_positive: in [0, 1]. The table column n_P/d of the paper is this number by its Eq. 6, and 1 minus it by its
    released code: see `falsum.recipes.takamoto2025.take_positive`. exact: take_positive of the entries, rounded, and
    not each by itself (their footnote 2; their code draws each). tied: entry k and entry k + w/2 go together, the real
    and the imaginary part of one complex number; their code and text draw the two apart.

    An entity has one mask per step, whatever question it is held against; masks of different entities are independent.
    Losses are means over questions, so their expectation is that of a mask per pair (docs/emu.md).
    """

    take_positive: float = 0.06
    exact: bool = False
    tied: bool = False

    def __post_init__(self) -> None:
        in_range("[0, 1]", take_positive=self.take_positive)

    def mix(self, ids: Tensor, rows: Tensor, seed: int) -> Mix:
        width = rows.shape[-1]
        free = -(-width // 2) if self.tied else width
        take = self._taken(ids.reshape(-1), free, seed)
        take = torch.cat([take, take], -1)[:, :width] if self.tied else take
        return Mix(rows, take.to(rows.dtype).view(rows.shape))

    def _taken(self, ids: Tensor, width: int, seed: int) -> Tensor:
        """(n, width) bool, True where the target's entry is taken."""
        if not self.exact:
            # keep_mask leaves out, and so takes, with its rate.
            return ~keep_mask(ids, width, self.take_positive, seed)
        columns = torch.arange(width, device=ids.device)
        place = uniform_of(ids[:, None] * width + columns, seed).argsort(-1).argsort(-1)
        return place < round(self.take_positive * width)
