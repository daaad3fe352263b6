"""Distances between queries and rows, with their gradients written out.

Score, gradient by query and gradient by rows are three pure functions per distance. Each fuses into one loop without
the (..., m, n, v) tensor of differences; a compiler that derives the gradients itself gives loops 10 to 20 times
slower, because it splits and joins the halves of complex rows element by element.
"""

from __future__ import annotations

import torch
from torch import Tensor

from falsum.kernels.compare import Compare, Gradient, Score
from falsum.kernels.compiled import fused
from falsum.kernels.joined import joined
from falsum.kernels.mixing import Mixing, mixing, mixing_of_gaps

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


def _half_angles(query: Tensor, rows: Tensor) -> Tensor:
    return query[..., -2:-1].unsqueeze(-1) * _gap(query[..., :-2], rows) / 2


def _angles(query: Tensor, rows: Tensor) -> Tensor:
    return -query[..., -1:] * _half_angles(query, rows).sin().abs().sum(-1)


def _angles_by_query(grad: Tensor, score: Tensor, query: Tensor, rows: Tensor) -> Tensor:
    half, unit, scale = _half_angles(query, rows), query[..., -2:-1], query[..., -1:]
    slope = grad.unsqueeze(-1) * half.cos() * half.sin().sign()
    by_unit = -scale * (slope * _gap(query[..., :-2], rows)).sum((-2, -1)).unsqueeze(-1) / 2
    by_scale = -(grad * half.sin().abs().sum(-1)).sum(-1, keepdim=True)
    return torch.cat([-scale * unit * slope.sum(-2) / 2, by_unit, by_scale], -1)


def _angles_by_rows(grad: Tensor, score: Tensor, query: Tensor, rows: Tensor) -> Tensor:
    half, scale = _half_angles(query, rows), query[..., -1:] * query[..., -2:-1]
    return ((scale * grad).unsqueeze(-1) * half.cos() * half.sin().sign()).sum(-3) / 2


def _scaled_gap(query: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Differences a - b e (..., m, n, k) of queries [a | b | scale], and their lengths (..., m, n)."""
    width = rows.shape[-1]
    to, by = query[..., :width].unsqueeze(-2), query[..., width : 2 * width].unsqueeze(-2)
    gap = to - by * rows.unsqueeze(-3)
    return gap, (gap.square().sum(-1) + TINY).sqrt()


def _lengths(query: Tensor, rows: Tensor) -> Tensor:
    return -query[..., -1:] * _scaled_gap(query, rows)[1]


def _lengths_by_query(grad: Tensor, score: Tensor, query: Tensor, rows: Tensor) -> Tensor:
    gap, size = _scaled_gap(query, rows)
    along = (query[..., -1:] * grad / size).unsqueeze(-1) * gap
    parts = [-along.sum(-2), (along * rows.unsqueeze(-3)).sum(-2), -(grad * size).sum(-1, keepdim=True)]
    return torch.cat(parts, -1)


def _lengths_by_rows(grad: Tensor, score: Tensor, query: Tensor, rows: Tensor) -> Tensor:
    gap, size = _scaled_gap(query, rows)
    by = query[..., rows.shape[-1] : -1].unsqueeze(-2)
    return ((query[..., -1:] * grad / size).unsqueeze(-1) * gap * by).sum(-3)


def _manhattan_of(gap: Tensor) -> Tensor:
    return -gap.abs().sum(-1)


def _manhattan_slope(grad: Tensor, score: Tensor, gap: Tensor) -> Tensor:
    return grad.unsqueeze(-1) * gap.sign()


def _euclidean_of(gap: Tensor) -> Tensor:
    return -(gap.square().sum(-1) + TINY).sqrt()


def _euclidean_slope(grad: Tensor, score: Tensor, gap: Tensor) -> Tensor:
    return -(grad / score).unsqueeze(-1) * gap


def _complex_of(real: Tensor, imaginary: Tensor) -> Tensor:
    return -(real * real + imaginary * imaginary + TINY).sqrt().sum(-1)


def _complex_slope(grad: Tensor, score: Tensor, gap: Tensor, other: Tensor) -> Tensor:
    return grad.unsqueeze(-1) * gap * (gap * gap + other * other + TINY).rsqrt()


def _distance(
    name: str, score: Score, by_query: Gradient, by_rows: Gradient, mixes: Mixing, *, translates: bool = True
) -> Compare:
    """A negated distance, compiled where that pays, also with each query's own rows gathered inside the loop."""
    return Compare(
        name,
        fused(score, work=_score_work),
        by_query=fused(by_query, work=_gradient_work),
        by_rows=fused(by_rows, work=_gradient_work),
        translates=translates,
        own_score=fused(lambda q, table, ids: score(q, table[ids]), work=lambda q, _, ids: q.numel() * ids.shape[-1]),
        own_by_rows=fused(lambda g, s, q, table, ids: by_rows(g, s, q, table[ids]), work=_gradient_work),
        mixing=mixes,
    )


def _score_work(query: Tensor, rows: Tensor) -> int:
    return query.numel() * rows.shape[-2]


def _gradient_work(grad: Tensor, score: Tensor, query: Tensor, *rest: Tensor) -> int:
    return grad.numel() * query.shape[-1]


# -||q - e||_1.
_MIXED_MANHATTAN = mixing_of_gaps(_manhattan_of, _manhattan_slope)
MANHATTAN = _distance("manhattan", _manhattan, _manhattan_by_query, _manhattan_by_rows, _MIXED_MANHATTAN)
# -||q - e||_2, from differences: exact where the expanded square would cancel.
_MIXED_EUCLIDEAN = mixing_of_gaps(_euclidean_of, _euclidean_slope)
EUCLIDEAN = _distance("euclidean", _euclidean, _euclidean_by_query, _euclidean_by_rows, _MIXED_EUCLIDEAN)
# -sum_k |q_k - e_k| over complex numbers stored as [real | imaginary].
_MIXED_COMPLEX = mixing_of_gaps(_complex_of, _complex_slope, parts=2)
COMPLEX_MANHATTAN = _distance("complex manhattan", _complex, _complex_by_query, _complex_by_rows, _MIXED_COMPLEX)
# -scale sum_k |sin(unit (q_k - e_k) / 2)| of queries [q | unit | scale].
_MIXED_ANGLES = mixing(_angles, _angles_by_query, _angles_by_rows)
ANGLES = _distance("angles", _angles, _angles_by_query, _angles_by_rows, _MIXED_ANGLES, translates=False)
# -scale ||a - b e||_2 of queries [a | b | scale], entry by entry.
_MIXED_LENGTHS = mixing(_lengths, _lengths_by_query, _lengths_by_rows)
LENGTHS = _distance("lengths", _lengths, _lengths_by_query, _lengths_by_rows, _MIXED_LENGTHS, translates=False)
# Rows [angles | lengths], queries [q | unit | scale | a | b | scale].
POLAR = joined("polar", ANGLES, LENGTHS, 2)
