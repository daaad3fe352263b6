"""Table: one trainable row per entity or relation, with gradients that touch only the rows that were used."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class _Rows(torch.autograd.Function):
    """weight[ids] whose backward adds into weight.grad in place.

    Autograd's own indexing fills and adds a table-sized tensor per gather: at four gathers a step that costs as much
    as the scores themselves.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, ids: Tensor) -> Tensor:
        ctx.weight, ctx.ids = weight, ids
        return weight.detach()[ids]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None]:
        add_rows(gradient(ctx.weight), ctx.ids, grads[0])
        return None, None


def gradient(weight: Tensor) -> Tensor:
    """weight.grad, allocated as zeros the first time."""
    if weight.grad is None:
        weight.grad = torch.zeros_like(weight)
    return weight.grad


def add_rows(into: Tensor, ids: Tensor, rows: Tensor) -> None:
    """into[ids] += rows, repeated ids adding up. ids (...), rows (..., w). Deterministic on the CPU."""
    into.index_add_(0, ids.reshape(-1), rows.reshape(-1, rows.shape[-1]).to(into.dtype))


class Table(nn.Module):
    """`num` rows of `width` reals, fp32. rows(ids) gathers; weight is the whole."""

    def __init__(self, num: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num, width))

    def rows(self, ids: Tensor) -> Tensor:
        """weight[ids]: (..., w). Gradients are added into weight.grad during backward."""
        if not torch.is_grad_enabled() or not self.weight.requires_grad:
            return self.weight.detach()[ids]
        return _Rows.apply(self.weight, ids)
