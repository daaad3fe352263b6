"""Noise: which entities a query is compared with. Sampler: a noise on a graph, with whatever state it keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from falsum.graph.graph import BOTH_SIDES, Graph, Pairs, Query, Side


@dataclass(frozen=True, slots=True)
class Candidates:
    """The rivals of a batch of b queries.

    ids: range(E) for all entities, or (c, n) int64 where row j serves the queries [j s, (j + 1) s), s = ceil(b / c):
    c = 1 is shared by the batch, c = b is each query's own. drop: (query row, entity) pairs that are never counted, or
    None. Of drawn ids only, each (c, n) or (b, n) float, or None:
    weight: how often each counts (None: once). shift: what is added to each score, and own_shift (t,) to the scores of
    the targets, so that draws of known odds correct a loss for them.
    share: (b,) float, how much each query counts as a whole, or None for once.
    """

    ids: range | Tensor
    weight: Tensor | None = None
    drop: Pairs | None = None
    shift: Tensor | None = None
    own_shift: Tensor | None = None
    share: Tensor | None = None

    def __post_init__(self) -> None:
        if isinstance(self.ids, range) and any(x is not None for x in (self.weight, self.shift, self.own_shift)):
            raise ValueError("weights and shifts belong to drawn candidates: give the ids as a tensor")


@dataclass(frozen=True, slots=True)
class Live:
    """What a sampler may see of the model as it is now: never the model itself, no gradients, no dropout.

    score: (query of b rows, ids range(E) or (c, n)) -> (b, n) fp32. rows: ids (...) -> entity rows (..., w).
    against: (query, rows (b, n, w)) -> (b, n) scores of given rows, differentiable by these rows and nothing else.
    epoch: fractional.
    """

    score: Callable[[Query, range | Tensor], Tensor]
    rows: Callable[[Tensor], Tensor]
    against: Callable[[Query, Tensor], Tensor]
    epoch: float


@dataclass(frozen=True, slots=True)
class Size:
    """How large a graph is, for estimates: training triples, entities, relations, distinct questions of either side,
    and triples that are stated to be false with the training split.
    """

    triples: int
    entities: int
    relations: int
    questions: int
    false: int = 0

    @classmethod
    def of(cls, graph: Graph) -> Size:
        keys = [graph.answers(["train"], side).key for side in BOTH_SIDES]
        train = graph.splits["train"]
        false = len(graph.false.get("train", ()))
        return cls(len(train), graph.num_entities, graph.num_base_relations, sum(len(key) for key in keys), false)


class Sampler(nn.Module, ABC):
    """A noise bound to a graph. Whatever it keeps is a buffer, not persistent where it follows from the graph (a table
    of odds), persistent where a resumed run needs it (caches), or a parameter (generators).

    lr: the learning rate of the Adam that updates the sampler's own parameters, if it has any.
    """

    lr: float = 1e-3

    @abstractmethod
    def draw(self, query: Query, seed: int, live: Live) -> Candidates:
        """The candidates of a batch. Everything random comes from seed."""

    def learn(self, query: Query, drawn: Candidates, live: Live, seed: int) -> Tensor | None:
        """After the step that `drawn` was used in: refresh caches; a 0-dim loss of own parameters, or None."""
        return None

    def watched(self, epoch: float) -> dict[str, float]:
        """Settings that change while a model trains, by name, as they stand: they are written into its records."""
        return {}

    @abstractmethod
    def num(self, query: Query) -> int:
        """How many candidates each query of the batch gets at most, known without drawing."""


class Noise(ABC):
    """Settings of a noise.

    everyone: every entity is a candidate, so every row has a gradient at every step. groups: equal queries of a batch
    always have the same candidates, so they can share a row. blind: candidates depend on nothing of a query, not even
    on its open slot, so that questions of both sides can share a batch. looks: how many entities are looked at for each
    candidate that is drawn.
    """

    @property
    def everyone(self) -> bool:
        return False

    @property
    def groups(self) -> bool:
        return False

    @property
    def blind(self) -> bool:
        return False

    @property
    def looks(self) -> int:
        return 1

    @abstractmethod
    def bind(self, graph: Graph, device: torch.device) -> Sampler:
        """The sampler on this graph, its tensors on `device`. Raises ValueError when it cannot draw from the graph."""

    @abstractmethod
    def state_bytes(self, size: Size) -> int:
        """Bytes that the sampler keeps on a graph of this size, from a formula: nothing is built."""


def bytes_of(module: nn.Module) -> int:
    """Bytes of the parameters and buffers of a module."""
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


def slot_counts(graph: Graph, slot: Side) -> Tensor:
    """(E,) float64: how often each entity fills `slot` in the training triples."""
    column = 2 if slot is Side.TAIL else 0
    return torch.bincount(graph.splits["train"][:, column], minlength=graph.num_entities).double()


def each(shared: Tensor, num_queries: int) -> Tensor:
    """(b, n): the row of every query in a (c, n) that serves ceil(b / c) queries a row."""
    if len(shared) == 1:
        return shared.expand(num_queries, -1)  # no copy
    return shared.repeat_interleave(-(-num_queries // len(shared)), 0)[:num_queries]
