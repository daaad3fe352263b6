"""Compare: one scoring function of query vectors and candidate rows, its gradients, and what is true of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from falsum.kernels.mixing import Mixing

Score = Callable[[Tensor, Tensor], Tensor]
Gradient = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Compare:
    """score(query (..., m, v), rows (..., n, w)) -> (..., m, n); v and w may differ.

    linear: an inner product, so v = w, mixed rows have mixed scores, and bfloat16 will do while training. products:
    made of matrix products, so nothing of size (m, n, v) exists on the way. by_query, by_rows: the gradients written
    out, (grad, score, query, rows) -> the shape of query or rows; None: autograd derives them. translates: the score
    depends on differences, so the gradient by a query is minus the sum of those by its rows. own_score, own_by_rows:
    (query (b, 1, v), table (E, w), ids (b, n)) and (grad, score, query, table, ids): the same on table[ids], which
    they never build; None where there are none. mixing: the same on rows mixed with targets; None where there is none.

    Two compares are the same only if they are the same object: fast paths are looked up by it.
    """

    name: str
    score: Score
    linear: bool = False
    products: bool = False
    by_query: Gradient | None = None
    by_rows: Gradient | None = None
    translates: bool = False
    own_score: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
    own_by_rows: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor] | None = None
    mixing: Mixing | None = None

    def __call__(self, query: Tensor, rows: Tensor) -> Tensor:
        """(..., m, n) scores, differentiable by both."""
        return self.score(query, rows) if self.by_rows is None else _Compared.apply(query, rows, self)

    def scores(self, query: Tensor, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """(..., m, n) scores in the dtype of query; inner products are made of factors in dtype and rounded to it."""
        return self(query.to(dtype), rows.to(dtype)).to(query.dtype) if self.linear else self(query, rows)

    def __repr__(self) -> str:
        return f"Compare({self.name!r})"


class _Compared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, rows: Tensor, compare: Compare) -> Tensor:
        score = compare.score(query, rows)
        ctx.save_for_backward(query, rows, score)
        ctx.compare = compare
        return score

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        query, rows, score = ctx.saved_tensors
        by_query = ctx.compare.by_query(grads[0], score, query, rows) if ctx.needs_input_grad[0] else None
        by_rows = ctx.compare.by_rows(grads[0], score, query, rows) if ctx.needs_input_grad[1] else None
        return by_query, by_rows, None


def _pairs(query: Tensor, rows: Tensor) -> bool:
    """Many products of one pair each: no matrices to multiply. In bf16 that would round every product."""
    return query.shape[-2] == rows.shape[-2] == 1 and query.dtype is not torch.bfloat16


def _inner_products(query: Tensor, rows: Tensor) -> Tensor:
    return (query * rows).sum(-1, keepdim=True) if _pairs(query, rows) else query @ rows.mT


def _inner_by_query(grad: Tensor, score: Tensor, query: Tensor, rows: Tensor) -> Tensor:
    return grad * rows if _pairs(query, rows) else grad @ rows


def _inner_by_rows(grad: Tensor, score: Tensor, query: Tensor, rows: Tensor) -> Tensor:
    return grad * query if _pairs(query, rows) else (query.mT @ grad).mT


DOT = Compare("dot", _inner_products, linear=True, products=True, by_query=_inner_by_query, by_rows=_inner_by_rows)
