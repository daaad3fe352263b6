"""Distance score models: minus the distance of a moved anchor to the candidate. Scores lie in (-inf, 0]."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from falsum.graph.graph import Side
from falsum.kernels.distances import complex_manhattan, euclidean, manhattan
from falsum.models.base import Relations, ScoreModel
from falsum.models.bilinear import _even


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
    relation_init = {"name": "uniform", "low": -math.pi, "high": math.pi}

    def __init__(self, dim: int) -> None:
        super().__init__(_even(dim, "RotatE"))
        self.relation_width = dim // 2

    def query(self, anchor: Tensor, relations: Relations, side: Side) -> Tensor:
        phase = relations.each() if side is Side.TAIL else -relations.each()
        cos, sin = phase.cos(), phase.sin()
        a, b = anchor.chunk(2, -1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
