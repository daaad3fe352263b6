"""Distances between queries and rows, with their gradients written out.

Score, gradient by query and gradient by rows are three pure functions per distance. Each fuses into one loop without
the (..., m, n, v) tensor of differences; a compiler that derives the gradients itself gives loops 10 to 20 times
slower, because it splits and joins the halves of complex rows element by element.
"""

from __future__ import annotations

from torch import Tensor

from falsum.kernels.compare import Compare, Gradient, Score
from falsum.kernels.compiled import fused
from falsum.kernels.mixing import mixing

# Inside square roots: the gradient at distance 0 is then 0, not NaN; far below the resolution of fp32 scores.
TINY = 1e-30


def _gap(query: Tensor, rows: Tensor) -> Tensor:
    return query.unsqueeze(-2) - rows.unsqueeze(-3)


def _manhattan(query: Tensor, rows: Tensor) -> Tensor:
    return -_gap(query, rows).abs().sum(-1)


def _manhattan_by_query(grad: Tensor, score: Tensor, query: Tensor, rows: Tensor) -> Tensor:
    return -(grad.unsqueeze(-1) * _gap(query, rows).sign()).sum(-2)


def _manhattan_by_rows(grad: Tensor, score: Tensor, query: Tensor, rows: Tensor) -> Tensor:
    return (grad.unsqueeze(-1) * _gap(query, rows).sign()).sum(-3)


def _euclidean(query: Tensor, rows: Tensor) -> Tensor:
    return -(_gap(query, rows).square().sum(-1) + TINY).sqrt()


def _euclidean_by_query(grad: Tensor, score: Tensor, query: Tensor, rows: Tensor) -> Tensor:
    return ((grad / score).unsqueeze(-1) * _gap(query, rows)).sum(-2)


def _euclidean_by_rows(grad: Tensor, score: Tensor, query: Tensor, rows: Tensor) -> Tensor:
    return -((grad / score).unsqueeze(-1) * _gap(query, rows)).sum(-3)


def _parts(x: Tensor) -> Tensor:
    """[real | imaginary] (..., v) -> (..., 2, v / 2)."""
    return x.unflatten(-1, (2, -1))


def _complex_gap(query: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Differences (..., m, n, 2, k) and their moduli (..., m, n, 1, k)."""
    gap = _parts(query).unsqueeze(-3) - _parts(rows).unsqueeze(-4)
    return gap, (gap.square().sum(-2, keepdim=True) + TINY).sqrt()


def _complex(query: Tensor, rows: Tensor) -> Tensor:
    return -_complex_gap(query, rows)[1].sum((-2, -1))


def _complex_by_query(grad: Tensor, score: Tensor, query: Tensor, rows: Tensor) -> Tensor:
    gap, size = _complex_gap(query, rows)
    return -(grad[..., None, None] * gap / size).sum(-3).flatten(-2)


def _complex_by_rows(grad: Tensor, score: Tensor, query: Tensor, rows: Tensor) -> Tensor:
    gap, size = _complex_gap(query, rows)
    return (grad[..., None, None] * gap / size).sum(-4).flatten(-2)


def _distance(name: str, score: Score, by_query: Gradient, by_rows: Gradient) -> Compare:
    """A negated distance, compiled where that pays, also with each query's own rows gathered inside the loop."""
    return Compare(
        name,
        fused(score, work=_score_work),
        by_query=fused(by_query, work=_gradient_work),
        by_rows=fused(by_rows, work=_gradient_work),
        translates=True,
        own_score=fused(lambda q, table, ids: score(q, table[ids]), work=lambda q, _, ids: q.numel() * ids.shape[-1]),
        own_by_rows=fused(lambda g, s, q, table, ids: by_rows(g, s, q, table[ids]), work=_gradient_work),
        mixing=mixing(score, by_query, by_rows),
    )


def _score_work(query: Tensor, rows: Tensor) -> int:
    return query.numel() * rows.shape[-2]


def _gradient_work(grad: Tensor, score: Tensor, query: Tensor, *rest: Tensor) -> int:
    return grad.numel() * query.shape[-1]


# -||q - e||_1.
MANHATTAN = _distance("manhattan", _manhattan, _manhattan_by_query, _manhattan_by_rows)
# -||q - e||_2, from differences: exact where the expanded square would cancel.
EUCLIDEAN = _distance("euclidean", _euclidean, _euclidean_by_query, _euclidean_by_rows)
# -sum_k |q_k - e_k| over complex numbers stored as [real | imaginary].
COMPLEX_MANHATTAN = _distance("complex manhattan", _complex, _complex_by_query, _complex_by_rows)
