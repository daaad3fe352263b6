"""Distance score models: minus the distance of a moved anchor to the candidate. Scores lie in (-inf, 0]."""

from __future__ import annotations

import torch
from torch import Tensor

from falsum.graph.graph import Side
from falsum.models.base import Relations, ScoreModel
from falsum.models.bilinear import _even

# Inside square roots: the gradient at distance 0 is then 0, not NaN; far below the resolution of fp32 scores.
TINY = 1e-30


def manhattan(query: Tensor, rows: Tensor) -> Tensor:
    """-||q - e||_1: (..., m, v), (..., n, v) -> (..., m, n)."""
    return -(query.unsqueeze(-2) - rows.unsqueeze(-3)).abs().sum(-1)


def euclidean(query: Tensor, rows: Tensor) -> Tensor:
    """-||q - e||_2, from differences: exact where the expanded square would cancel."""
    return -((query.unsqueeze(-2) - rows.unsqueeze(-3)).square().sum(-1) + TINY).sqrt()


def complex_manhattan(query: Tensor, rows: Tensor) -> Tensor:
    """-sum_k |q_k - e_k| over complex numbers stored as [real | imaginary]."""
    half = query.shape[-1] // 2
    real = query[..., :half].unsqueeze(-2) - rows[..., :half].unsqueeze(-3)
    imaginary = query[..., half:].unsqueeze(-2) - rows[..., half:].unsqueeze(-3)
    return -(real * real + imaginary * imaginary + TINY).sqrt().sum(-1)


class TransE(ScoreModel):
    """-||h + r - t||_1 (Bordes et al. 2013)."""

    compare = staticmethod(manhattan)

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.relation_width = dim

    def query(self, anchor: Tensor, relations: Relations, side: Side) -> Tensor:
        return anchor + relations.each() if side is Side.TAIL else anchor - relations.each()


class TransEL2(TransE):
    """-||h + r - t||_2 (Bordes et al. 2013)."""

    compare = staticmethod(euclidean)


class RotatE(ScoreModel):
    """-sum_k |h_k e^(i theta_k) - t_k| (Sun et al. 2019). dim reals are dim / 2 complex numbers and dim / 2 phases."""

    compare = staticmethod(complex_manhattan)

    def __init__(self, dim: int) -> None:
        super().__init__(_even(dim, "RotatE"))
        self.relation_width = dim // 2

    def query(self, anchor: Tensor, relations: Relations, side: Side) -> Tensor:
        phase = relations.each() if side is Side.TAIL else -relations.each()
        cos, sin = phase.cos(), phase.sin()
        a, b = anchor.chunk(2, -1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
