"""EMU: embedding mutation, entry by entry, and its mask-free forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.kernels.dropout import left_out_fused, mask_key, normal_of, uniform_of
from falsum.mutations.base import Mix, Mutation, Spread


@dataclass(frozen=True)
class EMU(Mutation):
    """Each entry of a candidate is the target's with probability take_positive, else its own (Takamoto et al. 2025,
    Eq. 6).

    take_positive: in [0, 1], met to 1/65536. The table column n_P/d of the paper is this number by its Eq. 6, and 1
    minus it by its released code: see `falsum.recipes.takamoto2025.take_positive`. exact: take_positive of the entries,
    rounded, and not each by itself (their footnote 2; their code draws each). tied: entry k and entry k + w/2 go
    together, the real and the imaginary part of one complex number; their code draws the two apart.

    An entity has one mask per step, whatever question it is held against; masks of different entities are independent.
    Losses are means over questions, so their expectation is that of a mask per pair (docs/emu.md).
    """

    take_positive: float = 0.06
    exact: bool = False
    tied: bool = False

    only_shares: ClassVar = True

    def __post_init__(self) -> None:
        in_range("[0, 1]", take_positive=self.take_positive)

    def mix(self, ids: Tensor, rows: Tensor, seed: int) -> Mix:
        width = rows.shape[-1]
        free = -(-width // 2) if self.tied else width
        take = self._taken(ids.reshape(-1), rows.new_empty(0, free), seed)
        take = torch.cat([take, take], -1)[:, :width] if self.tied else take
        return Mix(rows, take.view(rows.shape))

    def _taken(self, ids: Tensor, like: Tensor, seed: int) -> Tensor:
        """(n, width) in the dtype of like, 1 where the target's entry is taken."""
        width = like.shape[1]
        if not self.exact:
            return left_out_fused(ids.to(torch.int32), *mask_key(self.take_positive, seed, ids.device), like)
        columns = torch.arange(width, device=ids.device)
        place = uniform_of(ids[:, None] * width + columns, seed).argsort(-1).argsort(-1)
        return (place < round(self.take_positive * width)).to(like.dtype)


class EMUWithoutMasks(Mutation):
    """What EMU does to an inner product, from the mean and the variance of the mutated score alone.

    With target p and candidate c the score of `EMU` under query v has mean q v.p + (1 - q) v.c and variance
    q (1 - q) sum_k v_k^2 (p_k - c_k)^2, both exact: a product more than with masks, and no mask to store.
    """

    take_positive: float

    linear_only: ClassVar = True

    def __post_init__(self) -> None:
        in_range("[0, 1]", take_positive=self.take_positive)

    def mix(self, ids: Tensor, rows: Tensor, seed: int) -> Mix:
        q = self.take_positive
        whole = rows.new_ones(ids.shape)
        return Mix(rows, q * whole.unsqueeze(-1), Spread(q * (1 - q) * whole, self._normal(ids, seed)))

    def _normal(self, ids: Tensor, seed: int) -> Tensor | None:
        return None


@dataclass(frozen=True)
class EMUNormal(EMUWithoutMasks):
    """EMU with normal scores of its mean and variance, one normal number per candidate and step.

    The law differs from EMU's by the central limit theorem: about width^(-1/2).
    """

    take_positive: float = 0.06

    def _normal(self, ids: Tensor, seed: int) -> Tensor:
        return normal_of(ids, seed)


@dataclass(frozen=True)
class EMUAnnealed(EMUWithoutMasks):
    """EMU with ln of the mean of e^score in place of a drawn score: mean + variance / 2, as for a normal one.

    Nothing is random. A log-sum-exp of these lies above the mean of EMU's (Jensen), up to the same error of the normal
    approximation.
    """

    take_positive: float = 0.06
