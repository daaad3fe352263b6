"""Pool: which entities are eligible for a question. Provider: a pool on a graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from falsum.graph.graph import Graph, Query, expand
from falsum.noise.base import Size
from falsum.noise.known import bisected
from falsum.noise.proposals.base import Sees


@dataclass(frozen=True, slots=True)
class Members:
    """Sets of entities, one for each query: entity[start[i] : start[i] + count[i]], ascending and distinct.

    start, count: (b,) int64. entity: (a,) int64 or int32; the sets may overlap in it, and need not cover it.
    """

    start: Tensor
    count: Tensor
    entity: Tensor

    def holds(self, ids: Tensor) -> Tensor:
        """(b, n) bool: whether ids (b, n) or (1, n) are in the set of their row. Bisects all sets at once."""
        if len(self.entity) == 0:
            return torch.zeros(len(self.start), ids.shape[1], dtype=torch.bool, device=ids.device)
        ids = ids.expand(len(self.start), -1)
        low = self.start[:, None].expand_as(ids)
        return bisected(self.entity, low, low + self.count[:, None], ids)

    def keys(self, num_entities: int) -> Tensor:
        """row * num_entities + entity of every member, ascending."""
        take, row = expand(self.start, self.count)
        return row * num_entities + self.entity[take]


def members_of(keys: Tensor, num_rows: int, num_entities: int) -> Members:
    """Sets from ascending keys row * num_entities + entity."""
    row = torch.div(keys, num_entities, rounding_mode="floor")
    count = torch.bincount(row, minlength=num_rows)
    return Members(count.cumsum(0) - count, count, keys - row * num_entities)


class Provider(nn.Module, ABC):
    """The sets of a pool on a graph. What it keeps is a buffer that is not persistent: it follows from the graph."""

    @abstractmethod
    def of(self, query: Query) -> Members:
        """The eligible entities of every query; empty where there are none."""


class Pool(ABC):
    """Settings of a pool. sees: what the sets depend on."""

    @property
    def sees(self) -> Sees:
        return "query"

    @abstractmethod
    def bind(self, graph: Graph, device: torch.device) -> Provider:
        """The pool on this graph. Raises ValueError when it cannot be made of it."""

    @abstractmethod
    def state_bytes(self, size: Size) -> int:
        """Bytes that its provider keeps on a graph of this size."""


class Sets(Provider):
    """A table of sets by number: row i of s is entity[start[i] : start[i + 1]]."""

    def __init__(self, row: Tensor, entity: Tensor, num_rows: int, num_entities: int, device: torch.device) -> None:
        """row, entity: (a,) members in any order, repeats allowed."""
        super().__init__()
        members = members_of(torch.unique(row * num_entities + entity), num_rows, num_entities)
        start = torch.cat([members.start, torch.tensor([len(members.entity)])])
        self.register_buffer("start", start.to(device), persistent=False)
        self.register_buffer("entity", members.entity.to(device), persistent=False)

    def rows(self, query: Query) -> Tensor:
        """(b,) which set each query has."""
        raise NotImplementedError

    def of(self, query: Query) -> Members:
        row = self.rows(query)
        start, entity = self.get_buffer("start"), self.get_buffer("entity")
        return Members(start[row], start[row + 1] - start[row], entity)
