"""Distance score models: minus the distance of a moved anchor to the candidate. Scores lie in (-inf, 0]."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from falsum.graph.graph import Side
from falsum.kernels.distances import COMPLEX_MANHATTAN, EUCLIDEAN, MANHATTAN
from falsum.models.base import Relations, ScoreModel, even


class Translation(ScoreModel):
    """The query of TransE (Bordes et al. 2013): h + r for tails, t - r for heads."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.relation_width = dim

    def query(self, anchor: Tensor, relations: Relations, side: Side, seed: int) -> Tensor:
        return anchor + relations.each() if side is Side.TAIL else anchor - relations.each()


class TransE(Translation):
    """-||h + r - t||_1 (Bordes et al. 2013)."""

    compare = MANHATTAN


class TransEL2(Translation):
    """-||h + r - t||_2 (Bordes et al. 2013)."""

    compare = EUCLIDEAN


class RotatE(ScoreModel):
    """-sum_k |h_k e^(i theta_k) - t_k| (Sun et al. 2019). dim reals are dim / 2 complex numbers and dim / 2 phases."""

    compare = COMPLEX_MANHATTAN
    relation_init = {"name": "uniform", "low": -math.pi, "high": math.pi}

    def __init__(self, dim: int) -> None:
        super().__init__(even(dim, "RotatE"))
        self.relation_width = dim // 2

    def query(self, anchor: Tensor, relations: Relations, side: Side, seed: int) -> Tensor:
        phase = relations.each() if side is Side.TAIL else -relations.each()
        cos, sin = phase.cos(), phase.sin()
        a, b = anchor.chunk(2, -1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
