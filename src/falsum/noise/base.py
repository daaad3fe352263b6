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
    c = 1 is shared by the batch, c = b is each query's own. log_q: (c, n) log expected count under the proposal, or
    None. drop: (query row, entity) pairs that are never counted, or None.
    """

    ids: range | Tensor
    log_q: Tensor | None = None
    drop: Pairs | None = None


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


def known_answers(graph: Graph, device: torch.device) -> Known:
    """Training answers of both sides, to filter candidates with."""
    return {side: graph.answers(["train"], side).to(device) for side in Side}
