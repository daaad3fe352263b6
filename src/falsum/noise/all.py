"""All entities as candidates."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from falsum.graph.graph import Graph, Query
from falsum.noise.base import Candidates, Live, Noise, Sampler, Size
from falsum.noise.known import KnownAnswers


@dataclass(frozen=True)
class All(Noise):
    """Every entity: 1-vs-all training. filtered leaves out the other known answers of a query."""

    filtered: bool = False

    @property
    def everyone(self) -> bool:
        return True

    @property
    def groups(self) -> bool:
        return True

    @property
    def blind(self) -> bool:
        return not self.filtered

    def bind(self, graph: Graph, device: torch.device) -> Sampler:
        return Everyone(graph, device, self.filtered)

    def state_bytes(self, size: Size) -> int:
        return KnownAnswers.bytes(size) if self.filtered else 0


class Everyone(Sampler):
    """Every entity for every query."""

    def __init__(self, graph: Graph, device: torch.device, filtered: bool) -> None:
        super().__init__()
        self.everything = range(graph.num_entities)
        self.known = KnownAnswers(graph, device) if filtered else None

    def num(self, query: Query) -> int:
        return len(self.everything)

    def draw(self, query: Query, seed: int, live: Live) -> Candidates:
        drop = self.known.of(query) if self.known else None
        return Candidates(self.everything, drop=drop)
