"""ScoreModel: rows in, scores out. Network: a graph in, rows out. Neither knows losses or noise; higher is more
plausible.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from falsum.errors import in_range
from falsum.graph.graph import Side
from falsum.kernels.compare import Compare
from falsum.kernels.edges import Edges


@dataclass(frozen=True, slots=True)
class Relations:
    """The relations of a batch: rows (u, w_r), one per *distinct* relation, and index (b,), the row of each query."""

    rows: Tensor
    index: Tensor

    def each(self) -> Tensor:
        """(b, w_r): the relation row of each query. Not for relations that are whole matrices."""
        # index_select: the gradient of plain indexing sorts the indices first and takes several times as long.
        return self.rows.index_select(0, self.index)


# More reals per row than any use has; beyond it sizes of matrices leave 64 bits.
MAX_DIM = 1 << 16


class ScoreModel(nn.Module, ABC):
    """A score model with entity rows of `dim` reals.

    compare holds query vectors against candidate rows: fast paths are chosen by it. relation_width: reals per relation
    row. relation_is_matrix: a relation acts as a matrix, which is then built once per distinct relation of a batch and
    never once per query. relation_init: the initialiser of relation rows where the general default would not do, as a
    recipe writes it.
    """

    compare: ClassVar[Compare]
    relation_width: int
    relation_is_matrix: ClassVar[bool] = False
    relation_init: ClassVar[Mapping[str, Any] | None] = None

    def __init__(self, dim: int) -> None:
        super().__init__()
        in_range(f"[1, {MAX_DIM}]", dim=dim)
        self.dim = dim

    @abstractmethod
    def query(self, anchor: Tensor, relations: Relations, side: Side, seed: int) -> Tensor:
        """(b, dim) anchor rows and their relations -> (b, v), what `compare` holds against candidate rows.

        seed: of whatever is random in it while training (dropout inside the model); nothing else may be.
        """

    def moduli(self, rows: Tensor) -> Tensor:
        """Row entries as the absolute values that a norm penalty acts on; complex models return complex moduli."""
        return rows.abs()

    def used(self, anchor: Tensor, target: Tensor, side: Side) -> tuple[Tensor, Tensor]:
        """What a score on `side` reads of anchor (b, dim) and target (t, dim) rows: penalties act on it."""
        return anchor, target


class Network(ABC):
    """Settings of a model without entity rows: it makes the candidates' rows for each question, from a graph.

    dim: reals per row. hides: which edges of the graph a question of training does not see, since they would answer it:
    its "triple" and the inverse of it, or every edge between the ends of a "pair", drawn candidates included.
    """

    dim: int

    @property
    @abstractmethod
    def hides(self) -> Literal["triple", "pair"]: ...

    @abstractmethod
    def built(self, num_relations: int) -> NetworkModule:
        """Its parameters, not filled yet. num_relations: without inverses, of which the network makes its own."""

    @abstractmethod
    def working(self, edges: int, pairs: int, entities: int, questions: int) -> int:
        """Bytes that a step of training takes besides the parameters, at most, on `edges` edges that carry `pairs`
        distinct pairs of entity and relation.
        """


class NetworkModule(nn.Module, ABC):
    """A network's parameters. num_relations: without inverses; relation + num_relations is the inverse of a relation.

    compare holds the vectors of questions against the rows that are made for them.
    """

    compare: Compare
    num_relations: int
    dim: int

    @abstractmethod
    def reset(self, seed: int) -> None:
        """Fill all parameters."""

    @abstractmethod
    def forward(self, edges: Edges, anchor: Tensor, relation: Tensor) -> Tensor:
        """(b, E, dim) rows of all entities for tail questions (anchor, relation), each (b,), on a graph."""

    @abstractmethod
    def vector(self, relation: Tensor) -> Tensor:
        """(b, v) vectors of questions about relation (b,)."""


def even(dim: int, model: str) -> int:
    """dim, for a model whose rows have two halves. Raises ValueError when it is odd."""
    if dim % 2:
        raise ValueError(f"{model} keeps two halves per row: dim must be even, got {dim}")
    return dim


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
