"""The softmax state of inner products with all entities, without a (b, E) fp32 matrix.

Forward keeps exp(score - block peak) in the score dtype; backward turns it into both gradients by two matrix
products and adds the table's share to its gradient in place. Exponentials are computed once.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from falsum.graph.graph import Pairs
from falsum.kernels.compiled import fused
from falsum.kernels.dropout import mask_key, mask_of, mask_work
from falsum.rows.table import Table

# Entities per block: (512, 8192) bf16 scores stay in an L3 cache.
BLOCK = 8192
# Bytes of exponentials kept for backward; more queries than fit are recomputed in turns.
KEPT_BYTES = 1 << 30
_LOG2_E = 1 / math.log(2)


def _prepare(weight: Tensor, ids: Tensor, seed: Tensor, threshold: Tensor, scale: Tensor, like: Tensor) -> Tensor:
    return (weight * (mask_of(ids, seed, threshold, weight).to(weight.dtype) * scale)).to(like.dtype)


def _accumulate(
    grad: Tensor, part: Tensor, shift: Tensor, ids: Tensor, seed: Tensor, threshold: Tensor, scale: Tensor
) -> None:
    grad.add_((part.to(grad.dtype) + shift) * (mask_of(ids, seed, threshold, grad).to(grad.dtype) * scale))


def _exponentials(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    wide = torch.promote_types(scores.dtype, torch.float32)
    peak = scores.amax(1).to(wide).clamp(min=torch.finfo(wide).min)  # all of a block may be left out
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


class Shares(NamedTuple):
    """Of mixed rows, (1 - take) * row + take * target: take (E, k), k = w or 1, and what the queries make of targets,
    by_target (b, k), so that a score is query . ((1 - take) * row) + by_target . take.
    """

    by_target: Tensor
    take: Tensor


class _DotSoftmax(torch.autograd.Function):
    """(query (b, w), by_target (b, k) or None, take (E, k) or None, table) -> (logsumexp (b,), sum of scores (b,)) over
    all entities, dropout included.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        by_target: Tensor | None,
        take: Tensor | None,
        table: Table,
        drop: Pairs,
        rate: float,
        seed: int,
        dtype: torch.dtype,
        sums_scores: bool,
    ) -> tuple[Tensor, Tensor]:
        plain = table.values
        ids = torch.arange(len(plain), dtype=torch.int32, device=plain.device)
        scale = torch.tensor(1 / (1 - rate), dtype=plain.dtype, device=plain.device)
        mask = (ids, *mask_key(rate, seed, plain.device), scale)
        rows = _prepare_fused(plain, *mask, plain.new_empty(0, dtype=dtype)) if rate else plain.to(dtype)
        shares = None if by_target is None or take is None else Shares(by_target.to(dtype), take.to(dtype))
        if shares is not None:
            rows = rows * (1 - shares.take)
        scaled, parts = query.to(dtype), []
        for i, (block, inside) in enumerate(zip(rows.split(BLOCK), _by_block(drop, len(rows)), strict=True)):
            scores = scaled @ block.T
            if shares is not None:
                scores.addmm_(shares.by_target, _of_block(shares.take, i).T)
            parts.append(_exponentials_fused(_left_out(scores, inside)))
        exponentials, peaks, sums = zip(*parts, strict=True)
        peak, mass = torch.stack(peaks), torch.stack(sums)
        logsumexp = torch.logsumexp(peak + mass.log(), 0)
        column = _column_sum_fused(rows, query) if sums_scores else torch.zeros_like(plain[0])
        total = query @ column
        if shares is not None:
            total = total + shares.by_target.to(query.dtype) @ shares.take.sum(0, dtype=query.dtype)
        ctx.save_for_backward(query, rows, peak, logsumexp, column, shares and shares.take, *exponentials)
        ctx.table, ctx.mask, ctx.rate = table, mask, rate
        return logsumexp, total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, rows, peak, logsumexp, column, take, *exponentials = ctx.saved_tensors
        by_lse, by_total = grads
        # Where every entity is left out the log-sum-exp is -inf, and every exponential 0.
        factor = torch.exp(peak - logsumexp.clamp(min=torch.finfo(peak.dtype).min)) * by_lse
        query_grad = by_total[:, None] * column
        shift = by_total @ query
        target_grad = None if take is None else by_total[:, None] * take.sum(0, dtype=query.dtype)
        moved = shift if take is None else torch.zeros_like(shift)  # mixed rows take it by their own shares
        into = ctx.table.sink()
        for i, block_rows in enumerate(rows.split(BLOCK)):
            query_grad += factor[i][:, None] * (exponentials[i] @ block_rows)
            part = exponentials[i].T @ (factor[i][:, None] * query).to(block_rows.dtype)
            if take is not None:
                share = _of_block(take, i)
                target_grad += factor[i][:, None] * (exponentials[i] @ share)
                part = (part + shift.to(part.dtype)) * (1 - share)
            block = slice(i * BLOCK, i * BLOCK + len(block_rows))
            ids, *key = ctx.mask
            if ctx.rate:
                _accumulate_fused(into[block], part, moved, ids[block], *key)
            else:
                _accumulate_plain_fused(into[block], part, moved)
        return query_grad, target_grad, *[None] * 7


def _of_block(take: Tensor, i: int) -> Tensor:
    return take[i * BLOCK : (i + 1) * BLOCK]


def _by_block(drop: Pairs, num: int) -> list[Pairs]:
    """The pairs of each block of entities, counted from its start."""
    entity, order = torch.sort(drop.entity)
    row = drop.row[order]
    ends = torch.arange(BLOCK, num + BLOCK, BLOCK, device=entity.device)
    sizes = torch.diff(torch.searchsorted(entity, ends), prepend=ends.new_zeros(1)).tolist()
    parts = zip(row.split(sizes), entity.split(sizes), strict=True)
    return [Pairs(rows, entities - i * BLOCK) for i, (rows, entities) in enumerate(parts)]


def _left_out(scores: Tensor, pairs: Pairs) -> Tensor:
    """Scores with -inf at the pairs, in place."""
    return scores.index_put_(tuple(pairs), scores.new_tensor(-torch.inf)) if len(pairs.row) else scores


def dot_softmax(
    query: Tensor,
    table: Table,
    drop: Pairs,
    rate: float,
    seed: int,
    dtype: torch.dtype,
    *,
    sums_scores: bool = True,
    shares: Shares | None = None,
) -> tuple[Tensor, Tensor]:
    """Log-sum-exp over all rows but those of `drop`, and sum over all rows, of query @ dropout(rows).T, both (b,) fp32.

    query: (b, w) fp32. The table's gradient is added to it, dense. drop: (query, row) pairs, sorted by query; one of
    which all is left out has -inf. dtype: of scores and products. sums_scores: False gives zeros for the sums and saves
    a pass over the table. shares: of rows mixed with the targets of the queries, one each.
    """
    by_target, take = shares or (None, None)
    size = max(1, KEPT_BYTES // (table.num * dtype.itemsize))
    if len(query) <= size:
        return _DotSoftmax.apply(query, by_target, take, table, drop, rate, seed, dtype, sums_scores)
    parts = []
    for start in range(0, len(query), size):
        bounds = torch.tensor([start, start + size], device=drop.row.device)
        low, high = torch.searchsorted(drop.row, bounds).tolist()
        own = Pairs(drop.row[low:high] - start, drop.entity[low:high])
        turn = slice(start, start + size)
        given = (query[turn], None if by_target is None else by_target[turn], take, table, own, rate, seed, dtype)
        parts.append(checkpoint(_DotSoftmax.apply, *given, sums_scores, use_reentrant=False))
    logsumexp, total = zip(*parts, strict=True)
    return torch.cat(logsumexp), torch.cat(total)
