"""Translations between projected entities. The relation travels in the query, so candidate rows are plain rows.

Each score is a squared distance between a moved anchor and a projected candidate, expanded into matrix products of the
query with the rows: no (b, n, w) tensor and no copy of the rows per relation. In fp32 the expansion is exact to about
1e-7 of the squared norms, which is what distances below a thousandth of the norms are lost in.
"""

from __future__ import annotations

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.graph.graph import Side
from falsum.kernels.compare import Compare
from falsum.models.base import MAX_DIM, Relations, ScoreModel, even


def _to_hyperplane(query: Tensor, rows: Tensor) -> Tensor:
    """-|p - (e - (u.e) u)|^2 of queries [p | u], u a unit vector, and rows e: (..., m, 2d), (..., n, d) -> (..., m, n).

    Expanded: |p|^2 + |e|^2 - (u.e)^2 - 2 p.e + 2 (u.e)(p.u).
    """
    point, normal = query.chunk(2, -1)
    along = normal @ rows.mT
    size = point.square().sum(-1, keepdim=True) + rows.square().sum(-1).unsqueeze(-2)
    return 2 * (point @ rows.mT) - size + along * (along - 2 * (point * normal).sum(-1, keepdim=True))


HYPERPLANE = Compare("hyperplane", _to_hyperplane, products=True)


class TransH(ScoreModel):
    """-|h' + d_r - t'|^2 with e' = e - (w_r.e) w_r (Wang et al. 2014, Eq. 1). A relation row is [d_r | w_r].

    The paper keeps |w_r| = 1 and d_r orthogonal to w_r by constraints; here w_r is divided by its norm in the score,
    and d_r is free.
    """

    compare = HYPERPLANE

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.relation_width = 2 * dim

    def query(self, anchor: Tensor, relations: Relations, side: Side, seed: int) -> Tensor:
        move, normal = relations.each().chunk(2, -1)
        normal = torch.nn.functional.normalize(normal, dim=-1)
        on_plane = anchor - (anchor * normal).sum(-1, keepdim=True) * normal
        return torch.cat([on_plane + move if side is Side.TAIL else on_plane - move, normal], -1)


def _to_mapped(query: Tensor, rows: Tensor) -> Tensor:
    """-|p - (e~ + (a.e) u)|^2 of queries [p | u] and rows [e | a]: (..., m, 2k), (..., n, 2d) -> (..., m, n).

    e~ is e cut or filled with zeros to k entries. With c = a.e of a row: |p|^2 + |e~|^2 + c^2 |u|^2 - 2 p.e~ - 2 c p.u
    + 2 c u.e~.
    """
    point, vector = query.chunk(2, -1)
    entity, own = rows.chunk(2, -1)
    share = (entity * own).sum(-1).unsqueeze(-2)
    entity = _resized(entity, point.shape[-1])
    size = point.square().sum(-1, keepdim=True) + entity.square().sum(-1).unsqueeze(-2)
    across = (point * vector).sum(-1, keepdim=True) - vector @ entity.mT
    return 2 * (point @ entity.mT + share * across) - size - share.square() * vector.square().sum(-1, keepdim=True)


def _resized(rows: Tensor, width: int) -> Tensor:
    """The product with a k x d matrix that is 1 on its diagonal, else 0."""
    return torch.nn.functional.pad(rows, (0, width - rows.shape[-1]))


MAPPED = Compare("mapped", _to_mapped, products=True)


class TransD(ScoreModel):
    """-|M_rh h + r - M_rt t|^2 with M_re = r_p e_p^T + I (Ji et al. 2015, Eqs. 11, 12). An entity row is [e | e_p].

    dim reals are an entity vector and a projection vector of dim / 2 each; a relation row is [r | r_p] with
    relation_dim reals each (default: as many as an entity vector). The paper's bounds on norms are left to penalties.
    """

    compare = MAPPED

    def __init__(self, dim: int, relation_dim: int | None = None) -> None:
        super().__init__(even(dim, "TransD"))
        in_range(f"[1, {MAX_DIM}]", relation_dim=relation_dim)
        self.relation_width = 2 * (relation_dim or dim // 2)

    def query(self, anchor: Tensor, relations: Relations, side: Side, seed: int) -> Tensor:
        entity, own = anchor.chunk(2, -1)
        move, vector = relations.each().chunk(2, -1)
        mapped = _resized(entity, move.shape[-1]) + (entity * own).sum(-1, keepdim=True) * vector
        return torch.cat([mapped + move if side is Side.TAIL else mapped - move, vector], -1)
