"""Scores of gathered candidate rows in bounded memory.

Rows of each query's own candidates are (b, n, w): 2 GB at b = 1024, n = 256, w = 2000. They are gathered, compared
and (in backward) gathered and compared again, some queries at a time; their gradients go straight into weight.grad.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from falsum.kernels.dropout import dropout
from falsum.table import Table, add_rows, gradient

# Bytes of gathered rows at a time: a share of an L3 cache.
ROWS_BYTES = 1 << 24

Compare = Callable[[Tensor, Tensor], Tensor]


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, weight: Tensor, ids: Tensor, compare: Compare, rate: float, seed: int
    ) -> Tensor:
        ctx.save_for_backward(query, ids)
        ctx.weight, ctx.compare, ctx.rate, ctx.seed = weight, compare, rate, seed
        plain = weight.detach()
        parts = []
        for chunk, own in zip(*_turns(query, ids, plain), strict=True):
            parts.append(compare(chunk, dropout(plain[own], own, rate, seed)))
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        query, ids = ctx.saved_tensors
        plain, into = ctx.weight.detach(), gradient(ctx.weight)
        query_grads = []
        chunks, owns = _turns(query, ids, plain)
        for chunk, own, grad in zip(chunks, owns, grads[0].split([len(c) for c in chunks]), strict=True):
            with torch.enable_grad():
                vector = chunk.detach().requires_grad_()
                rows = plain[own].requires_grad_()
                scores = ctx.compare(vector, dropout(rows, own, ctx.rate, ctx.seed))
                by_vector, by_rows = torch.autograd.grad(scores, (vector, rows), grad)
            query_grads.append(by_vector)
            add_rows(into, own, by_rows)
        return torch.cat(query_grads), None, None, None, None, None


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
