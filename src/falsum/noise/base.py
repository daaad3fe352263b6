"""Noise: which entities a query is compared with. Sampler: a noise on a graph, with whatever state it keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from falsum.graph.graph import Answers, Graph, Pairs, Query, Side


@dataclass(frozen=True, slots=True)
class Candidates:
    """The rivals of a batch of b queries.

    ids: range(E) for all entities, or (c, n) int64 where row j serves the queries [j s, (j + 1) s), s = ceil(b / c):
    c = 1 is shared by the batch, c = b is each query's own. weight: (c, n) float, how often each of drawn ids counts,
    or None for once. drop: (query row, entity) pairs that are never counted, or None.
    """

    ids: range | Tensor
    weight: Tensor | None = None
    drop: Pairs | None = None

    def __post_init__(self) -> None:
        if self.weight is not None and isinstance(self.ids, range):
            raise ValueError("weights belong to drawn candidates: give the ids as a tensor")


@dataclass(frozen=True, slots=True)
class Live:
    """What a sampler may see of the model as it is now: never the model itself, no gradients, no dropout.

    score: (query of b rows, ids (c, n)) -> (b, n) fp32. rows: ids (...) -> entity rows (..., w). epoch: fractional.
    """

    score: Callable[[Query, Tensor], Tensor]
    rows: Callable[[Tensor], Tensor]
    epoch: float


class Sampler(nn.Module, ABC):
    """A noise bound to a graph. State that a resumed run needs stands in buffers (caches) or parameters (generators).

    lr: the learning rate of the Adam that updates the sampler's own parameters, if it has any.
    """

    lr: float = 1e-3

    @abstractmethod
    def draw(self, query: Query, seed: int, live: Live) -> Candidates:
        """The candidates of a batch. Everything random comes from seed."""

    def learn(self, query: Query, drawn: Candidates, live: Live, seed: int) -> Tensor | None:
        """After the step that `drawn` was used in: refresh caches; a 0-dim loss of own parameters, or None."""
        return None

    @abstractmethod
    def num(self, query: Query) -> int:
        """How many candidates each query of the batch gets, known without drawing."""


class Noise(ABC):
    """Settings of a noise.

    everyone: every entity is a candidate, so every row has a gradient at every step. groups: equal queries of a batch
    always have the same candidates, so they can share a row. blind: candidates depend on nothing of a query, not even
    on its open slot, so that questions of both sides can share a batch.
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

    @abstractmethod
    def bind(self, graph: Graph, device: torch.device) -> Sampler:
        """The sampler on this graph, its tensors on `device`. Raises ValueError when it cannot draw from the graph."""


Known = dict[Side, Answers]


def slot_counts(graph: Graph, slot: Side) -> Tensor:
    """(E,) float64: how often each entity fills `slot` in the training triples."""
    column = 2 if slot is Side.TAIL else 0
    return torch.bincount(graph.splits["train"][:, column], minlength=graph.num_entities).double()


def known_answers(graph: Graph, device: torch.device) -> Known:
    """Training answers of both sides, to filter candidates with."""
    return {side: graph.answers(["train"], side).to(device) for side in Side}
