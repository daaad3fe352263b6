"""Scores of gathered candidate rows in bounded memory.

Rows of each query's own candidates are (b, n, w): 2 GB at b = 1024, n = 256, w = 2000. They are gathered, compared
and (in backward) gathered and compared again, some queries at a time; their gradients go straight into weight.grad.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from falsum.kernels.distances import DISTANCES
from falsum.kernels.dropout import dropout
from falsum.rows.table import Table, add_rows, gradient

# Bytes of gathered rows at a time: a share of an L3 cache.
ROWS_BYTES = 1 << 24

Compare = Callable[[Tensor, Tensor], Tensor]


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, weight: Tensor, ids: Tensor, compare: Compare, rate: float, seed: int
    ) -> Tensor:
        ctx.weight, ctx.compare, ctx.rate, ctx.seed = weight, compare, rate, seed
        plain = weight.detach()
        parts = []
        for chunk, own in zip(*_turns(query, ids, plain), strict=True):
            if _fuses(compare, chunk, rate):
                parts.append(DISTANCES[compare].gathered_score(chunk, plain, own))
            else:
                parts.append(compare(chunk, dropout(plain[own], own, rate, seed)))
        scores = torch.cat(parts)
        ctx.save_for_backward(query, ids, scores)
        return scores

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        query, ids, scores = ctx.saved_tensors
        plain, into = ctx.weight.detach(), gradient(ctx.weight)
        query_grads = []
        chunks, owns = _turns(query, ids, plain)
        sizes = [len(chunk) for chunk in chunks]
        for chunk, own, score, grad in zip(chunks, owns, scores.split(sizes), grads[0].split(sizes), strict=True):
            if _fuses(ctx.compare, chunk, ctx.rate):
                by_rows = DISTANCES[ctx.compare].gathered_by_rows(grad, score, chunk, plain, own)
                # A distance depends on differences: what moves the rows one way moves their query the other.
                by_query = -by_rows.sum(-2, keepdim=True)
            else:
                by_query, by_rows = _derive(ctx.compare, chunk, plain[own], own, ctx.rate, ctx.seed, grad)
            query_grads.append(by_query)
            add_rows(into, own, by_rows)
        return torch.cat(query_grads), None, None, None, None, None


def _fuses(compare: Compare, query: Tensor, rate: float) -> bool:
    """Whether the gather belongs inside the loop: each query has its own rows, and nothing masks them."""
    return not rate and query.shape[1] == 1 and compare in DISTANCES


def _derive(
    compare: Compare, query: Tensor, rows: Tensor, ids: Tensor, rate: float, seed: int, grad: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of compare(query, dropout(rows)) by query and rows."""
    with torch.enable_grad():
        query, rows = query.detach().requires_grad_(), rows.requires_grad_()
        return torch.autograd.grad(compare(query, dropout(rows, ids, rate, seed)), (query, rows), grad)


def _turns(query: Tensor, ids: Tensor, weight: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    size = max(1, ROWS_BYTES // (ids.shape[1] * weight.shape[1] * weight.element_size()))
    return query.split(size), ids.split(size)


def gathered_scores(compare: Compare, query: Tensor, entities: Table, ids: Tensor, rate: float, seed: int) -> Tensor:
    """(b, n) fp32 scores of query (b, v) against candidates ids (c, n); row j of ids serves ceil(b / c) queries."""
    b, c = len(query), len(ids)
    share = -(-b // c)
    blocks = torch.nn.functional.pad(query, (0, 0, 0, c * share - b)).view(c, share, -1)
    scores = _Gathered.apply(blocks, entities.weight, ids, compare, rate, seed)
    return scores.reshape(c * share, -1)[:b]
