"""All entities."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from falsum.graph.graph import Graph, Query
from falsum.noise.base import Size
from falsum.noise.pools.base import Members, Pool, Provider
from falsum.noise.proposals.base import Sees


@dataclass(frozen=True)
class Everyone(Pool):
    """Every entity is eligible."""

    @property
    def sees(self) -> Sees:
        return "nothing"

    def bind(self, graph: Graph, device: torch.device) -> Provider:
        return All(graph.num_entities, device)

    def state_bytes(self, size: Size) -> int:
        return 8 * size.entities


class All(Provider):
    """One set for all queries."""

    def __init__(self, num_entities: int, device: torch.device) -> None:
        super().__init__()
        self.register_buffer("entity", torch.arange(num_entities, device=device), persistent=False)

    def of(self, query: Query) -> Members:
        entity = self.get_buffer("entity")
        start = torch.zeros(len(query), dtype=torch.int64, device=entity.device)
        return Members(start, torch.full_like(start, len(entity)), entity)
