"""Noise: which entities a query is compared with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

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


Draw = Callable[[Query, int], Candidates]
Known = dict[Side, Answers]


class Noise(ABC):
    """Settings of a noise. `bind` fixes the graph and gives the function that draws candidates for (query, seed)."""

    @property
    @abstractmethod
    def groups(self) -> bool:
        """Whether equal queries always have the same candidates, so that they can share a row."""

    @abstractmethod
    def bind(self, graph: Graph, device: torch.device) -> Draw:
        """The draw function on this graph, its tensors on `device`."""


def slot_counts(graph: Graph, slot: Side) -> Tensor:
    """(E,) float64: how often each entity fills `slot` in the training triples."""
    column = 2 if slot is Side.TAIL else 0
    return torch.bincount(graph.splits["train"][:, column], minlength=graph.num_entities).double()


def known_answers(graph: Graph, device: torch.device) -> Known:
    """Training answers of both sides, to filter candidates with."""
    return {side: graph.answers(["train"], side).to(device) for side in Side}


def positive(**counts: int | None) -> None:
    """Raise ValueError unless all counts that are given are at least 1."""
    if any(count is not None and count < 1 for count in counts.values()):
        raise ValueError(f"{' and '.join(counts)} must be at least 1")
