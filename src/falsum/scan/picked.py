"""Inner products with each query's own candidates, picked from the products with all entities.

Gathering a row moves its bytes through memory for one product. Where the draws of a batch are many, one matrix product
with the whole table and a pick from it is several times as fast, and dropout masks each entity once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from falsum.kernels.dropout import dropout
from falsum.rows.table import Table

# How many products a matrix multiplication makes in the time in which one row is gathered, gradient included: measured
# by bench/draws.py.
PRODUCTS_PER_ROW = {torch.bfloat16: 192, torch.float32: 64}
# Bytes of products at a time.
BLOCK_BYTES = 1 << 26


def pays(num_entities: int, own: int, dtype: torch.dtype) -> bool:
    """Whether to score all entities rather than gather `own` rows for each query."""
    return num_entities <= PRODUCTS_PER_ROW.get(dtype, 0) * own


def picks(pairs: Sequence[tuple[Tensor, Tensor]], index: Tensor, dtype: torch.dtype) -> Tensor:
    """(b, n): the sum over pairs of query (b, w) times rows[index], rows (u, w), index (b, n).

    Products are made in dtype, the scores have the dtype of the queries.
    """
    (first, rows), *rest = pairs
    parts = []
    for turn in _rows(len(index), len(rows)):
        products = first[turn].to(dtype) @ rows.to(dtype).T
        for query, more in rest:
            products = products.addmm(query[turn].to(dtype), more.to(dtype).T)
        parts.append(products.gather(1, index[turn]))
    return torch.cat(parts).to(first.dtype)


class _Picked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, table: Table, ids: Tensor, rate: float, seed: int, dtype: torch.dtype
    ) -> Tensor:
        everyone = torch.arange(table.num, device=query.device)
        rows = dropout(table.values, everyone, rate, seed).to(dtype)
        turns = zip(*_turns(query, ids, table.num), strict=True)
        scores = torch.cat([(q.to(dtype) @ rows.T).gather(1, own) for q, own in turns])
        ctx.table, ctx.rate, ctx.seed = table, rate, seed
        ctx.save_for_backward(query, ids, rows)
        return scores.to(query.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        query, ids, rows = ctx.saved_tensors
        into = torch.zeros(rows.shape, dtype=query.dtype, device=rows.device)
        by_query = []
        queries, owns = _turns(query, ids, len(rows))
        for q, own, grad in zip(queries, owns, grads[0].split([len(q) for q in queries]), strict=True):
            spread = torch.zeros(len(q), len(rows), dtype=grad.dtype, device=grad.device).scatter_add_(1, own, grad)
            spread = spread.to(rows.dtype)
            by_query.append((spread @ rows).to(query.dtype))
            into += spread.T @ q.to(rows.dtype)
        drawn = torch.unique(ids)
        ctx.table.add(drawn, dropout(into[drawn], drawn, ctx.rate, ctx.seed))
        return torch.cat(by_query), None, None, None, None, None


def _turns(query: Tensor, ids: Tensor, num_entities: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    turns = _rows(len(query), num_entities)
    return tuple(query[turn] for turn in turns), tuple(ids[turn] for turn in turns)


def _rows(num: int, num_entities: int) -> list[slice]:
    """Queries whose products with all entities fit."""
    size = max(1, BLOCK_BYTES // (num_entities * 4))
    return [slice(start, start + size) for start in range(0, num, size)]


def picked_scores(query: Tensor, table: Table, ids: Tensor, rate: float, seed: int, dtype: torch.dtype) -> Tensor:
    """(b, n): query (b, w) times the rows ids (b, n) of a table, dropout at `rate` on the rows.

    Products are made in dtype, the scores have the dtype of query.
    """
    return _Picked.apply(query, table, ids, rate, seed, dtype)
