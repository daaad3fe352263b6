"""What turns questions into scores: rows gathered once per batch, query vectors made of them, and the tables behind."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from falsum.errors import UserError
from falsum.graph.graph import Query
from falsum.kernels.compare import Compare
from falsum.kernels.compiled import can_compile
from falsum.kernels.dropout import dropout
from falsum.models.base import NetworkModule, Relations, ScoreModel
from falsum.noise.base import Candidates
from falsum.objectives.penalties import Factors
from falsum.rows.table import Rows, Table
from falsum.seeds import derive

# Elements that one block of candidates may take, scores or (where nothing fuses them) differences: 16 MiB in fp32.
BLOCK = 1 << 22


@dataclass(frozen=True, slots=True)
class Asked:
    """A batch of questions, ready to be held against candidates.

    vector: (b, v) query vectors. target: (t, w) rows of the known answers. rows: where candidates are read. dtype: of
    inner products. rate, seed: of the dropout of candidate rows, which target has had. factors: what penalties read.
    """

    vector: Tensor
    target: Tensor
    rows: Rows
    compare: Compare
    dtype: torch.dtype
    rate: float
    seed: int
    factors: Callable[[], Factors]


class Scorer(ABC):
    """Whatever scores candidates for questions: tables with a score model, or a network that makes rows for each one.

    model: what is trained besides tables; its mode says whether training goes on. dtype: of inner products.
    """

    model: ScoreModel | NetworkModule
    dtype: torch.dtype

    @property
    def num_entities(self) -> int:
        return self.table("entities").num

    @property
    def device(self) -> torch.device:
        return next(iter(self.parameters().values())).device

    @property
    def tables(self) -> Mapping[str, Table]:
        """The rows of "entities" and "relations"; none where rows are made for each question."""
        return {}

    @property
    def at_once(self) -> int:
        """How many questions to ask at a time at most: what is made for each takes memory."""
        return sys.maxsize

    @abstractmethod
    def ask(self, query: Query, candidates: Candidates, seed: int) -> Asked:
        """A batch made ready. candidates: whom it will be held against. seed: of dropout; read while training only."""

    def table(self, name: str) -> Table:
        """The rows of "entities" or "relations". Raises UserError where there are none."""
        if name not in self.tables:
            raise UserError(
                f"This model keeps no rows of {name}: it makes rows for each question, from the graph. Neighbours, "
                "embeddings, exports, probes, and noises and suspects that look at rows need a model that keeps them, "
                "such as complex."
            )
        return self.tables[name]

    def parameters(self) -> dict[str, nn.Parameter]:
        """Everything that is trained, by name."""
        own = {f"model.{name}": p for name, p in self.model.named_parameters()}
        return {name: table.whole() for name, table in self.tables.items()} | own

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the model by its name in a file, sharing memory with the model."""
        own = {name: p.detach() for name, p in self.parameters().items()}
        return own | {f"buffers.{name}": b for name, b in self.model.named_buffers()}


@dataclass(frozen=True)
class Scoring(Scorer):
    """Tables and a score model, and how they are regularised and rounded while training.

    dropout_entity, dropout_relation: rates on looked-up rows, candidates included. dtype: of inner products
    (bfloat16 or float32); distances are always fp32.
    """

    entities: Table
    relations: Table
    model: ScoreModel
    dropout_entity: float = 0.0
    dropout_relation: float = 0.0
    dtype: torch.dtype = torch.float32

    @property
    def tables(self) -> Mapping[str, Table]:
        return {"entities": self.entities, "relations": self.relations}

    def ask(self, query: Query, candidates: Candidates, seed: int) -> Asked:
        unique, index = torch.unique(query.relation, return_inverse=True)
        rows = self.entities.of(torch.cat([query.anchor, query.target]))
        anchor, target = rows.split([len(query.anchor), len(query.target)])
        relations = Relations(self.relations.of(unique), index)
        vector = self._encode(query, anchor, relations, seed)
        rate = self.dropout_entity if self.model.training else 0.0
        mask_seed = derive(seed, "candidates")
        masked = dropout(target, query.target, rate, mask_seed)
        factors = partial(self._factors, query, anchor, relations, target)
        return Asked(vector, masked, self.entities, self.model.compare, self.dtype, rate, mask_seed, factors)

    def _encode(self, query: Query, anchor: Tensor, relations: Relations, seed: int) -> Tensor:
        """(b, v) query vectors. Dropout masks: one per query for anchors and relation vectors."""
        if self.model.training:
            own = torch.arange(len(query), device=anchor.device)
            anchor = dropout(anchor, own, self.dropout_entity, derive(seed, "anchor"))
            if self.dropout_relation:
                if not self.model.relation_is_matrix:  # matrices have one mask per distinct relation
                    relations = Relations(relations.each(), own)
                ids = torch.arange(len(relations.rows), device=anchor.device)
                masked = dropout(relations.rows, ids, self.dropout_relation, derive(seed, "relation"))
                relations = Relations(masked, relations.index)
        return self.model.query(anchor, relations, query.side, derive(seed, "model"))

    def _factors(self, query: Query, anchor: Tensor, relations: Relations, target: Tensor) -> Factors:
        """What penalties read of a batch, without dropout, and no batch norm learns from it."""

        def vectors() -> Tensor:
            with evaluating(self.model):
                return self.model.query(anchor, relations, query.side, 0)

        held, answer = self.model.used(anchor, target, query.side)
        of_target = relations.index[query.row]
        return Factors(held, relations.rows, answer, query.row, of_target, self.model.moduli, vectors)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode, then as it was."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def block_size(compare: Compare, vector: Tensor) -> int:
    """How many candidates to hold against the (b, v) queries at a time."""
    fuses = compare.products or (compare.by_rows is not None and can_compile(vector.device.type))
    return at_a_time(len(vector) if fuses else vector.numel())


def at_a_time(elements: int) -> int:
    """How many things of so many elements each to hold in memory together."""
    return max(1, BLOCK // max(1, elements))


def scores_of(compare: Compare, vector: Tensor, rows: Tensor, dtype: torch.dtype) -> Tensor:
    """(b, n) scores of (b, v) against (n, w), or each against its own (b, n, w): see `Compare.scores`."""
    if rows.dim() == 2:
        return compare.scores(vector, rows, dtype)
    return compare.scores(vector.unsqueeze(1), rows, dtype).squeeze(1)


def pair_scores(compare: Compare, vector: Tensor, rows: Tensor, dtype: torch.dtype) -> Tensor:
    """(t,) scores of (t, v) each against one row (t, w), rounded as its rivals' are."""
    if compare.linear and dtype is torch.bfloat16:
        # As a matrix product does: exact products, summed in fp32, then rounded once.
        query, row = (x.to(dtype).to(vector.dtype) for x in (vector, rows))
        return (query * row).sum(-1).to(dtype).to(vector.dtype)
    return compare(vector.unsqueeze(1), rows.unsqueeze(1)).flatten()
