"""Counter-based dropout: the mask is a pure function of (seed, row id, column).

Nothing is stored for backward and recomputation sees the same mask; a gathered row and the same row of the whole
table get the same mask. The hash costs a thirtieth of drawing Bernoulli numbers from a CPU generator.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from falsum.kernels.compiled import fused, largest


def keep_mask(ids: Tensor, width: int, rate: float, seed: int) -> Tensor:
    """(n, width) bool, True where kept. ids: (n,) int64 row identities; rate in [0, 1)."""
    return mask_of(ids.to(torch.int32), *mask_key(rate, seed, ids.device), torch.empty(0, width, device=ids.device))


def mask_key(rate: float, seed: int, device: torch.device) -> tuple[Tensor, Tensor]:
    # As tensors: a Python number would be compiled into the kernel and recompiled at every step.
    low = torch.tensor(seed & 0x7FFFFFFF, dtype=torch.int32, device=device)
    return low, torch.tensor(round(rate * 65536), dtype=torch.int32, device=device)


def mask_of(ids: Tensor, seed: Tensor, threshold: Tensor, like: Tensor) -> Tensor:
    """(n, w) bool, w that of like: the arguments of `mask_key` are tensors, as compiled code wants them."""
    column = torch.arange(like.shape[1], dtype=torch.int32, device=ids.device)
    x = (ids * -1640531527 + seed)[:, None] + column[None, :] * -1028477387
    return (_scrambled(x) & 0xFFFF) >= threshold


def _scrambled(x: Tensor) -> Tensor:
    """Two rounds of a 32-bit multiply-xorshift finaliser (the lowbias32 construction)."""
    x = (x ^ ((x >> 16) & 0xFFFF)) * 0x21F0AAAD
    x = (x ^ ((x >> 15) & 0x1FFFF)) * -749064809
    return x ^ ((x >> 15) & 0x1FFFF)


def uniform_of(ids: Tensor, seed: int) -> Tensor:
    """fp32 in (0, 1), one number per id, of the same hash: a pure function of (seed, id)."""
    low = torch.tensor(seed & 0x7FFFFFFF, dtype=torch.int32, device=ids.device)
    bits = _scrambled(_scrambled(ids.to(torch.int32) * -1640531527 + low) + low) & 0x7FFFFF
    return (bits.float() + 0.5) / (1 << 23)


def normal_of(ids: Tensor, seed: int) -> Tensor:
    """fp32 standard normal numbers, one per id: a pure function of (seed, id) (Box & Muller 1958)."""
    size = (-2 * uniform_of(ids, seed).log()).sqrt()
    # Another seed: with the next one the two numbers of an id would be those of its neighbours.
    return size * (2 * math.pi * uniform_of(ids, ~seed & 0x7FFFFFFF)).cos()


def masked(rows: Tensor, ids: Tensor, seed: Tensor, threshold: Tensor, scale: Tensor) -> Tensor:
    # A product: torch.where with a number is four times slower where nothing fuses it.
    return rows * (mask_of(ids, seed, threshold, rows).to(rows.dtype) * scale)


def mask_work(*args: Any) -> int:
    """Work of a function that masks: a dozen passes become one at every step, which is worth compiling early."""
    return 64 * largest(*args)


masked_fused = fused(masked, work=mask_work)


def left_out(ids: Tensor, seed: Tensor, threshold: Tensor, like: Tensor) -> Tensor:
    """(n, w) in the dtype of like: 1 where `mask_of` leaves out, else 0."""
    return 1 - mask_of(ids, seed, threshold, like).to(like.dtype)


left_out_fused = fused(left_out, work=mask_work)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, ids: Tensor, rate: float, seed: int) -> Tensor:
        scale = torch.tensor(1 / (1 - rate), dtype=rows.dtype, device=rows.device)
        ctx.key = (ids.to(torch.int32), *mask_key(rate, seed, rows.device), scale)
        return masked_fused(rows, *ctx.key)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        return masked_fused(grads[0], *ctx.key), None, None, None


def dropout(rows: Tensor, ids: Tensor, rate: float, seed: int) -> Tensor:
    """Inverted dropout of rows (..., n, w), one mask per id in ids (..., n); rate 0 returns rows themselves."""
    if rate == 0:
        return rows
    flat = rows.reshape(-1, rows.shape[-1])
    return _Dropout.apply(flat, ids.reshape(-1), rate, seed).view(rows.shape)
