"""Distance score models: minus the distance of a moved anchor to the candidate. Scores lie in (-inf, 0]."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from falsum.errors import in_range
from falsum.graph.graph import Side
from falsum.kernels.distances import COMPLEX_MANHATTAN, EUCLIDEAN, MANHATTAN, POLAR
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


class HAKE(ScoreModel):
    """-w_p sum_k |sin((a_h + a_r - a_t)_k / 2)| - w_m ||m_h (m + b) - m_t (1 - b)||_2 (Zhang et al. 2020).

    dim reals are dim / 2 angles and as many lengths; a relation row is [angles | lengths | mixed bias]. An entry x of
    the angles is the angle pi x / bound, so rows that start in U(-bound, bound) have angles all around and short
    lengths. m = |1 + x| of a length of a relation, which starts near 1 as theirs do at 1, and b, at most 1 and at least
    -m, starts near 0. w_p and w_m are learned and start at phase_weight bound and modulus_weight. Lengths of entities
    may be negative, as in their code. The margin of the paper is the offset of the objective.
    """

    compare = POLAR

    def __init__(self, dim: int, phase_weight: float = 0.5, modulus_weight: float = 1.0, bound: float = 0.1) -> None:
        super().__init__(even(dim, "HAKE"))
        in_range("(0, 1e6]", phase_weight=phase_weight, modulus_weight=modulus_weight, bound=bound)
        self.relation_width, self.bound = 3 * (dim // 2), bound
        self.weights = nn.Parameter(torch.tensor([phase_weight * bound, modulus_weight]))

    def query(self, anchor: Tensor, relations: Relations, side: Side, seed: int) -> Tensor:
        angle, length = anchor.chunk(2, -1)
        turn, factor, bias = relations.each().chunk(3, -1)
        size = (1 + factor).abs()
        bias = torch.maximum(bias.clamp(max=1), -size)
        head, tail = size + bias, 1 - bias
        moved, own, other = (angle + turn, head, tail) if side is Side.TAIL else (angle - turn, tail, head)
        unit = anchor.new_full((len(anchor), 1), math.pi / self.bound)
        by_angle, by_length = (w.expand(len(anchor), 1) for w in self.weights)
        return torch.cat([moved, unit, by_angle, length * own, other, by_length], -1)
