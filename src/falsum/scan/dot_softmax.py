"""The softmax state of inner products with all entities, without a (b, E) fp32 matrix.

Forward keeps exp(score - block peak) in the score dtype; backward turns it into both gradients by two matrix
products and adds the table's share into weight.grad in place. Exponentials are computed once.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from falsum.kernels.compiled import fused
from falsum.kernels.dropout import _keep, _key, mask_work
from falsum.rows.table import gradient

# Entities per block: (512, 8192) bf16 scores stay in an L3 cache.
BLOCK = 8192
# Bytes of exponentials kept for backward; more queries than fit are recomputed in turns.
KEPT_BYTES = 1 << 30
_LOG2_E = 1 / math.log(2)


def _prepare(weight: Tensor, ids: Tensor, seed: Tensor, threshold: Tensor, scale: Tensor, like: Tensor) -> Tensor:
    return (weight * (_keep(ids, seed, threshold, weight).to(weight.dtype) * scale)).to(like.dtype)


def _accumulate(
    grad: Tensor, part: Tensor, shift: Tensor, ids: Tensor, seed: Tensor, threshold: Tensor, scale: Tensor
) -> None:
    grad.add_((part.to(grad.dtype) + shift) * (_keep(ids, seed, threshold, grad).to(grad.dtype) * scale))


def _exponentials(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    wide = torch.promote_types(scores.dtype, torch.float32)
    peak = scores.amax(1).to(wide)
    # exp2: the compiler turns exp and its sum into a running softmax, which takes one and a half to two times as long.
    weight = torch.exp2((scores.to(wide) - peak[:, None]) * _LOG2_E)
    return weight.to(scores.dtype), peak, weight.sum(1)


def _column_sum(table: Tensor, like: Tensor) -> Tensor:
    return table.sum(0, dtype=like.dtype)


def _accumulate_plain(grad: Tensor, part: Tensor, shift: Tensor) -> None:
    grad.add_(part.to(grad.dtype) + shift)


_prepare_fused, _accumulate_fused = fused(_prepare, work=mask_work), fused(_accumulate, work=mask_work)
_exponentials_fused = fused(_exponentials)
_accumulate_plain_fused, _column_sum_fused = fused(_accumulate_plain), fused(_column_sum)


class _DotSoftmax(torch.autograd.Function):
    """(query (b, w), weight (E, w)) -> (logsumexp (b,), sum of scores (b,)) over all entities, dropout included."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, weight: Tensor, rate: float, seed: int, dtype: torch.dtype, sums_scores: bool
    ) -> tuple[Tensor, Tensor]:
        plain = weight.detach()
        ids = torch.arange(len(plain), dtype=torch.int32, device=plain.device)
        scale = torch.tensor(1 / (1 - rate), dtype=plain.dtype, device=plain.device)
        mask = (ids, *_key(rate, seed, plain.device), scale)
        table = _prepare_fused(plain, *mask, plain.new_empty(0, dtype=dtype)) if rate else plain.to(dtype)
        scaled = query.to(dtype)
        parts = [_exponentials_fused(scaled @ rows.T) for rows in table.split(BLOCK)]
        exponentials, peaks, sums = zip(*parts, strict=True)
        peak, mass = torch.stack(peaks), torch.stack(sums)
        logsumexp = torch.logsumexp(peak + mass.log(), 0)
        column = _column_sum_fused(table, query) if sums_scores else torch.zeros_like(plain[0])
        ctx.save_for_backward(query, table, peak, logsumexp, column, *exponentials)
        ctx.weight, ctx.mask, ctx.rate = weight, mask, rate
        return logsumexp, query @ column

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        query, table, peak, logsumexp, column, *exponentials = ctx.saved_tensors
        by_lse, by_total = grads
        factor = torch.exp(peak - logsumexp) * by_lse
        query_grad = by_total[:, None] * column
        shift = by_total @ query
        into = gradient(ctx.weight)
        for i, rows in enumerate(table.split(BLOCK)):
            query_grad += factor[i][:, None] * (exponentials[i] @ rows)
            part = exponentials[i].T @ (factor[i][:, None] * query).to(rows.dtype)
            block = slice(i * BLOCK, i * BLOCK + len(rows))
            ids, *key = ctx.mask
            if ctx.rate:
                _accumulate_fused(into[block], part, shift, ids[block], *key)
            else:
                _accumulate_plain_fused(into[block], part, shift)
        return query_grad, None, None, None, None, None


def dot_softmax(
    query: Tensor, weight: Tensor, rate: float, seed: int, dtype: torch.dtype, *, sums_scores: bool = True
) -> tuple[Tensor, Tensor]:
    """Log-sum-exp and sum of query @ dropout(weight).T over all rows, both (b,) fp32.

    query: (b, w) fp32. weight: (E, w) fp32 leaf; its gradient is added to weight.grad. dtype: of scores and products.
    sums_scores: False gives zeros for the sums and saves a pass over the table.
    """
    chunks = query.split(max(1, KEPT_BYTES // (len(weight) * dtype.itemsize)))
    if len(chunks) == 1:
        return _DotSoftmax.apply(query, weight, rate, seed, dtype, sums_scores)
    parts = [
        checkpoint(_DotSoftmax.apply, c, weight, rate, seed, dtype, sums_scores, use_reentrant=False) for c in chunks
    ]
    logsumexp, total = zip(*parts, strict=True)
    return torch.cat(logsumexp), torch.cat(total)
