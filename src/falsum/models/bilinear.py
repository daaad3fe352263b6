"""Bilinear score models: s(h, r, t) = h^T M_r t for a family of matrices M_r. All compare by inner product."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from falsum.errors import in_range
from falsum.graph.graph import Side
from falsum.kernels.compare import DOT
from falsum.kernels.dropout import dropout
from falsum.models.base import MAX_DIM, Relations, ScoreModel, even, per_relation
from falsum.seeds import derive


class DistMult(ScoreModel):
    """sum_i h_i r_i t_i (Yang et al. 2015). Symmetric in head and tail."""

    compare = DOT

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.relation_width = dim

    def query(self, anchor: Tensor, relations: Relations, side: Side, seed: int) -> Tensor:
        return anchor * relations.each()


class CP(ScoreModel):
    """Canonical polyadic decomposition (Lacroix et al. 2018): a row is [as head | as tail], dim / 2 reals each.

    The query is zero in the half that the candidates are not read from, so `compare` stays one inner product.
    """

    compare = DOT

    def __init__(self, dim: int) -> None:
        super().__init__(even(dim, "CP"))
        self.relation_width = dim // 2

    def query(self, anchor: Tensor, relations: Relations, side: Side, seed: int) -> Tensor:
        as_head, as_tail = anchor.chunk(2, -1)
        if side is Side.TAIL:
            part = as_head * relations.each()
            return torch.cat([torch.zeros_like(part), part], -1)
        part = as_tail * relations.each()
        return torch.cat([part, torch.zeros_like(part)], -1)

    def used(self, anchor: Tensor, target: Tensor, side: Side) -> tuple[Tensor, Tensor]:
        one, other = (0, 1) if side is Side.TAIL else (1, 0)
        return anchor.chunk(2, -1)[one], target.chunk(2, -1)[other]


class ComplEx(ScoreModel):
    """Re <h, r, conj t> (Trouillon et al. 2016). A row is [real | imaginary]: dim reals are dim / 2 complex numbers."""

    compare = DOT

    def __init__(self, dim: int) -> None:
        super().__init__(even(dim, "ComplEx"))
        self.relation_width = dim

    def query(self, anchor: Tensor, relations: Relations, side: Side, seed: int) -> Tensor:
        a, b = anchor.chunk(2, -1)
        c, d = relations.each().chunk(2, -1)
        if side is Side.HEAD:  # Re <h, r, conj t> = Re <h, conj (conj r t)>
            d = -d
        return torch.cat([a * c - b * d, a * d + b * c], -1)

    def moduli(self, rows: Tensor) -> Tensor:
        return complex_moduli(rows)


def complex_moduli(rows: Tensor) -> Tensor:
    """|z| of rows [real | imaginary]: (..., w) -> (..., w / 2). The constant keeps the gradient finite at 0."""
    real, imaginary = rows.chunk(2, -1)
    return (real * real + imaginary * imaginary + 1e-30).sqrt()


class RESCAL(ScoreModel):
    """h^T M_r t with a full matrix per relation (Nickel et al. 2011). A relation row is M_r in row-major order."""

    compare = DOT
    relation_is_matrix = True

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.relation_width = dim * dim

    def query(self, anchor: Tensor, relations: Relations, side: Side, seed: int) -> Tensor:
        matrices = relations.rows.view(-1, self.dim, self.dim)
        return per_relation(matrices if side is Side.TAIL else matrices.mT, anchor, relations.index)


class Tucker3(ScoreModel):
    """h^T M_r t with M_r = reshape(W r), W (dim^2, relation_dim): the relational Tucker3 of LibKGE.

    matrix_dropout acts on the entries of M_r, one mask per distinct relation of the batch (LibKGE: one per triple).
    """

    compare = DOT
    relation_is_matrix = True

    def __init__(self, dim: int, relation_dim: int | None = None, matrix_dropout: float = 0.0) -> None:
        super().__init__(dim)
        in_range("[0, 1)", matrix_dropout=matrix_dropout)
        self.relation_width = _width(relation_dim, dim)
        self.matrix_dropout = matrix_dropout
        self.core = nn.Parameter(torch.empty(dim * dim, self.relation_width))

    def query(self, anchor: Tensor, relations: Relations, side: Side, seed: int) -> Tensor:
        matrices = relations.rows @ self.core.T
        if self.training and self.matrix_dropout:
            ids = torch.arange(len(matrices), device=matrices.device)
            matrices = dropout(matrices, ids, self.matrix_dropout, seed)
        matrices = matrices.view(-1, self.dim, self.dim)
        return per_relation(matrices if side is Side.TAIL else matrices.mT, anchor, relations.index)


class TuckER(ScoreModel):
    """W x_1 h x_2 r x_3 t (Balazevic et al. 2019) with its batch norms and three dropouts.

    The paper answers tail questions only: train it on a graph with inverse relations to follow the paper. A head
    question uses the transposed matrix and the same batch norms.
    """

    compare = DOT
    relation_is_matrix = True

    def __init__(
        self,
        dim: int,
        relation_dim: int | None = None,
        input_dropout: float = 0.3,
        matrix_dropout: float = 0.4,
        output_dropout: float = 0.5,
        batch_norm: bool = True,
    ) -> None:
        super().__init__(dim)
        in_range("[0, 1)", input_dropout=input_dropout, matrix_dropout=matrix_dropout, output_dropout=output_dropout)
        self.relation_width = _width(relation_dim, dim)
        self.core = nn.Parameter(torch.empty(dim * dim, self.relation_width))
        self.rates = {"input": input_dropout, "matrix": matrix_dropout, "output": output_dropout}
        self.input_norm = nn.BatchNorm1d(dim) if batch_norm else nn.Identity()
        self.output_norm = nn.BatchNorm1d(dim) if batch_norm else nn.Identity()

    def query(self, anchor: Tensor, relations: Relations, side: Side, seed: int) -> Tensor:
        matrices = self._dropped("matrix", relations.rows @ self.core.T, seed).view(-1, self.dim, self.dim)
        anchor = self._dropped("input", _normed(self.input_norm, anchor), seed)
        product = per_relation(matrices if side is Side.TAIL else matrices.mT, anchor, relations.index)
        return self._dropped("output", _normed(self.output_norm, product), seed)

    def _dropped(self, place: str, rows: Tensor, seed: int) -> Tensor:
        if not self.training:
            return rows
        return dropout(rows, torch.arange(len(rows), device=rows.device), self.rates[place], derive(seed, place))


def _normed(norm: nn.Module, rows: Tensor) -> Tensor:
    """Batch norm; fewer than two rows have no variance, and take the running one."""
    if len(rows) > 1 or not isinstance(norm, nn.BatchNorm1d):
        return norm(rows)
    return nn.functional.batch_norm(rows, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)


def _width(relation_dim: int | None, dim: int) -> int:
    in_range(f"[1, {MAX_DIM}]", relation_dim=relation_dim)
    return relation_dim or dim
