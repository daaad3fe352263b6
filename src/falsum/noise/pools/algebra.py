"""Pools made of pools: who is in either, in both, or in one and not in the other."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.graph.graph import Graph, Query
from falsum.noise.base import Size
from falsum.noise.pools.base import Members, Pool, Provider, members_of
from falsum.noise.pools.everyone import Everyone
from falsum.noise.proposals.base import Sees, more


@dataclass(frozen=True)
class Pair(Pool):
    """A pool made of two, worked out for each batch: costs a pass over the sets of its questions."""

    first: Pool = Everyone()  # noqa: RUF009 (frozen)
    second: Pool = Everyone()  # noqa: RUF009 (frozen)

    @property
    def sees(self) -> Sees:
        return more(self.first.sees, self.second.sees)

    @abstractmethod
    def keys(self, first: Tensor, second: Tensor) -> Tensor:
        """Ascending keys of members of the two pools -> those of the made one."""

    def bind(self, graph: Graph, device: torch.device) -> Provider:
        return Made(self, self.first.bind(graph, device), self.second.bind(graph, device), graph.num_entities)

    def state_bytes(self, size: Size) -> int:
        return self.first.state_bytes(size) + self.second.state_bytes(size)


class Made(Provider):
    """The sets of two providers put together."""

    def __init__(self, settings: Pair, first: Provider, second: Provider, num_entities: int) -> None:
        super().__init__()
        self.settings, self.first, self.second, self.num_entities = settings, first, second, num_entities

    def of(self, query: Query) -> Members:
        keys = (provider.of(query).keys(self.num_entities) for provider in (self.first, self.second))
        return members_of(self.settings.keys(*keys), len(query), self.num_entities)


@dataclass(frozen=True)
class Union(Pair):
    """Entities of either pool."""

    def keys(self, first: Tensor, second: Tensor) -> Tensor:
        return torch.unique(torch.cat([first, second]))


@dataclass(frozen=True)
class Intersection(Pair):
    """Entities of both pools."""

    def keys(self, first: Tensor, second: Tensor) -> Tensor:
        return first[torch.isin(first, second, assume_unique=True)]


@dataclass(frozen=True)
class Difference(Pair):
    """Entities of the first pool that are not in the second."""

    def keys(self, first: Tensor, second: Tensor) -> Tensor:
        return first[torch.isin(first, second, assume_unique=True, invert=True)]
