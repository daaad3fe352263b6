"""Scores of gathered candidate rows in bounded memory.

Rows of each query's own candidates are (b, n, w): 2 GB at b = 1024, n = 256, w = 2000. They are gathered, compared
and (in backward) gathered and compared again, some queries at a time; their gradients go straight to the table.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from falsum.kernels.compare import Compare
from falsum.kernels.dropout import dropout
from falsum.rows.table import Table

# Bytes of gathered rows at a time: a share of an L3 cache.
ROWS_BYTES = 1 << 24


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        table: Table,
        ids: Tensor,
        compare: Compare,
        rate: float,
        seed: int,
        dtype: torch.dtype,
    ) -> Tensor:
        ctx.table, ctx.compare, ctx.rate, ctx.seed, ctx.dtype = table, compare, rate, seed, dtype
        parts, kept = [], []
        chunks, owns = _turns(query, ids, table)
        for chunk, own in zip(chunks, owns, strict=True):
            if _fuses(compare, chunk, rate):
                assert compare.own_score is not None
                parts.append(compare.own_score(chunk, table.values, own))
            else:
                rows = dropout(table.read(own), own, rate, seed).to(dtype if compare.linear else query.dtype)
                parts.append(compare.scores(chunk, rows, dtype))
                kept = [rows] if len(chunks) == 1 else []  # what one turn gathers may stay
        scores = parts[0] if len(parts) == 1 else torch.cat(parts)
        ctx.save_for_backward(query, ids, scores, *kept)
        return scores

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, ids, scores, *kept = ctx.saved_tensors
        table, compare = ctx.table, ctx.compare
        query_grads = []
        chunks, owns = _turns(query, ids, table)
        sizes = [len(chunk) for chunk in chunks]
        for chunk, own, score, grad in zip(chunks, owns, scores.split(sizes), grads[0].split(sizes), strict=True):
            if _fuses(compare, chunk, ctx.rate):
                by_rows = compare.own_by_rows(grad, score, chunk, table.values, own)
                by_query = -by_rows.sum(-2, keepdim=True)  # what moves the rows one way moves their query the other
            elif compare.by_rows is None:
                by_query, by_rows = _derive(ctx, chunk, table.read(own), own, grad)
            else:
                rows = kept[0] if kept else dropout(table.read(own), own, ctx.rate, ctx.seed)
                by_query, by_rows = _written_out(ctx, chunk, rows, score, grad)
                by_rows = dropout(by_rows, own, ctx.rate, ctx.seed)
            query_grads.append(by_query)
            table.add(own, by_rows)
        return query_grads[0] if len(query_grads) == 1 else torch.cat(query_grads), *[None] * 6


def _fuses(compare: Compare, query: Tensor, rate: float) -> bool:
    """Whether the gather belongs inside the loop: each query has its own rows, and nothing masks them."""
    return compare.translates and compare.own_by_rows is not None and not rate and query.shape[1] == 1


def _written_out(ctx: Any, query: Tensor, rows: Tensor, score: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of the scores by query and masked rows, from the compare's own formulas, rounded as the scores are."""
    compare, wide = ctx.compare, query.dtype
    if compare.linear:
        grad, query, rows = (x.to(ctx.dtype) for x in (grad, query, rows))
    return tuple(by(grad, score, query, rows).to(wide) for by in (compare.by_query, compare.by_rows))


def _derive(ctx: Any, query: Tensor, rows: Tensor, ids: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
    """Gradients of the scores by query and rows."""
    with torch.enable_grad():
        query, rows = query.detach().requires_grad_(), rows.requires_grad_()
        scores = ctx.compare.scores(query, dropout(rows, ids, ctx.rate, ctx.seed), ctx.dtype)
        return torch.autograd.grad(scores, (query, rows), grad)


def _turns(query: Tensor, ids: Tensor, table: Table) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    size = max(1, ROWS_BYTES // (ids.shape[1] * table.width * table.values.element_size()))
    return query.split(size), ids.split(size)


def gathered_scores(
    compare: Compare, query: Tensor, table: Table, ids: Tensor, rate: float, seed: int, dtype: torch.dtype
) -> Tensor:
    """(b, n) scores of query (b, v) against candidates ids (c, n); row j of ids serves ceil(b / c) queries.

    Dropout at `rate` on the rows; inner products in dtype.
    """
    b, c = len(query), len(ids)
    share = -(-b // c)
    filled = torch.nn.functional.pad(query, (0, 0, 0, c * share - b)) if c * share > b else query
    blocks = filled.view(c, share, -1)
    scores = _Gathered.apply(blocks, table, ids, compare, rate, seed, dtype)
    return scores.reshape(c * share, -1)[:b]
