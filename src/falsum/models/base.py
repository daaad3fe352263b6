"""ScoreModel: rows in, scores out. A model knows no ids, losses, noise or devices; higher is more plausible."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from falsum.graph.graph import Side

Compare = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Relations:
    """The relations of a batch: rows (u, w_r), one per *distinct* relation, and index (b,), the row of each query."""

    rows: Tensor
    index: Tensor

    def each(self) -> Tensor:
        """(b, w_r): the relation row of each query. Not for relations that are whole matrices."""
        # index_select: the gradient of plain indexing sorts the indices first and takes several times as long.
        return self.rows.index_select(0, self.index)


class ScoreModel(nn.Module, ABC):
    """A score model with entity rows of `dim` reals.

    `compare` is a plain function, named by the class, so that fast paths can be chosen by it: `dot` or a distance.
    """

    compare: Compare
    relation_width: int
    # Whether a relation acts as a matrix, which is then built once per distinct relation and never once per query.
    relation_is_matrix: ClassVar[bool] = False
    # The initialiser of relation rows where the general default would not do, as a recipe writes it.
    relation_init: ClassVar[Mapping[str, Any] | None] = None

    def __init__(self, dim: int) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f"dim is the number of reals per entity, at least 1; got {dim}")
        self.dim = dim

    @abstractmethod
    def query(self, anchor: Tensor, relations: Relations, side: Side) -> Tensor:
        """(b, dim) anchor rows and their relations -> (b, v), what `compare` holds against candidate rows."""

    def moduli(self, rows: Tensor) -> Tensor:
        """Row entries as the absolute values that a norm penalty acts on; complex models return complex moduli."""
        return rows.abs()


def dot(query: Tensor, rows: Tensor) -> Tensor:
    """Inner products: (..., m, v), (..., n, v) -> (..., m, n)."""
    if query.shape[-2] == rows.shape[-2] == 1:  # many products of one pair each: no matrices to multiply
        return (query * rows).sum(-1, keepdim=True)
    return query @ rows.mT


def per_relation(matrices: Tensor, anchor: Tensor, index: Tensor) -> Tensor:
    """anchor[i] @ matrices[index[i]]: (u, d, e), (b, d), (b,) -> (b, e), each matrix read about once.

    Queries are sorted by relation and cut into chunks of about b/u rows, so at most 2u chunks and 2b + u rows (padding
    included) go through one batched product, however uneven the relations are. A (b, d, e) tensor never exists.
    """
    b, u = len(index), len(matrices)
    order = torch.argsort(index, stable=True)
    size = max(1, -(-b // max(1, u)))
    counts = torch.bincount(index, minlength=u)
    chunks = (counts + size - 1) // size
    first_chunk = torch.cumsum(chunks, 0) - chunks
    first_row = torch.cumsum(counts, 0) - counts
    relation = index[order]
    slot = first_chunk[relation] * size + torch.arange(b, device=index.device) - first_row[relation]
    owner = torch.repeat_interleave(torch.arange(u, device=index.device), chunks)
    # index_select, not plain indexing, whose gradient sorts: of a step of RESCAL that was a fifth.
    padded = anchor.new_zeros(len(owner) * size, anchor.shape[1]).index_copy(0, slot, anchor.index_select(0, order))
    product = torch.bmm(padded.view(len(owner), size, anchor.shape[1]), matrices.index_select(0, owner))
    back = torch.empty_like(slot).index_copy_(0, order, slot)
    return product.flatten(0, 1).index_select(0, back)
