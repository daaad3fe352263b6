"""All entities, or uniform draws from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from falsum.graph.graph import Graph, Pairs, Query, Side
from falsum.noise.base import Candidates, Draw, Noise, known_answers
from falsum.seeds import generator


@dataclass(frozen=True)
class All(Noise):
    """Every entity: 1-vs-all training. filtered leaves out the other known answers of a query (and its targets)."""

    filtered: bool = False

    @property
    def groups(self) -> bool:
        return not self.filtered

    def bind(self, graph: Graph, device: torch.device) -> Draw:
        everything = range(graph.num_entities)
        if not self.filtered:
            return lambda query, seed: Candidates(everything)
        known = known_answers(graph, device)
        return lambda query, seed: Candidates(everything, drop=known[query.slot].of(query.anchor, query.relation))


@dataclass(frozen=True)
class Uniform(Noise):
    """`num` uniform entities per query (num_head overrides it where the head is open).

    shared: "query", each query draws its own; "batch", one draw serves all queries, which turns gathers into one
    matrix product; "chunk", one draw per `chunk` queries. filtered: known training answers of a query are redrawn
    (own draws) or not counted (shared draws); otherwise draws may hit the target itself, as in Kamigaito & Hayashi
    2021. replacement: whether one draw may hold an entity twice.
    """

    num: int = 256
    num_head: int | None = None
    shared: Literal["query", "batch", "chunk"] = "query"
    chunk: int = 64
    filtered: bool = False
    replacement: bool = True

    def __post_init__(self) -> None:
        if min(self.num, self.num_head if self.num_head is not None else self.num, self.chunk) < 1:
            raise ValueError("num, num_head and chunk must be at least 1")

    @property
    def groups(self) -> bool:
        return False

    def bind(self, graph: Graph, device: torch.device) -> Draw:
        most = max(self.num, self.num_head or 0)
        if not self.replacement and most > graph.num_entities:
            raise ValueError(f"cannot draw {most} of {graph.num_entities} entities without replacement")
        known = known_answers(graph, device) if self.filtered else None
        redraws = known is not None and self.shared == "query"
        if known and redraws:
            most += max((int(a.start.diff().max()) for a in known.values() if len(a.key)), default=0)
        sparse = self.replacement or most <= SPARSE * graph.num_entities

        def draw(query: Query, seed: int) -> Candidates:
            num = self.num_head if query.slot is Side.HEAD and self.num_head is not None else self.num
            rows = {"query": len(query), "batch": 1, "chunk": -(-len(query) // self.chunk)}[self.shared]
            random = generator(seed, device)
            drop = known[query.slot].of(query.anchor, query.relation) if known else None
            avoid = drop if redraws else None
            if not sparse:
                return Candidates(shuffled(rows, num, graph.num_entities, avoid, random), drop=drop)
            ids = torch.randint(graph.num_entities, (rows, num), generator=random, device=device)
            for _ in range(REDRAWS):
                bad = torch.zeros_like(ids, dtype=torch.bool) if self.replacement else repeated(ids)
                if avoid is not None:
                    bad |= contains(avoid, ids, graph.num_entities)
                where = bad.nonzero(as_tuple=True)
                if len(where[0]) == 0:
                    break
                fresh = torch.randint(graph.num_entities, where[0].shape, generator=random, device=device)
                ids = ids.index_put(where, fresh)
            return Candidates(ids, drop=drop)

        return draw


# Rejection ends almost surely; the bound only stops queries whose answers are nearly all entities (then `drop` acts).
REDRAWS = 100
# Share of the entities that distinct draws and what they avoid may take for rejection to end within REDRAWS.
SPARSE = 0.75


def shuffled(rows: int, num: int, num_entities: int, avoid: Pairs | None, random: torch.Generator) -> Tensor:
    """(rows, num) distinct entities per row in random order; those to avoid only where nothing else is left."""
    key = torch.rand(rows, num_entities, generator=random, device=random.device)
    if avoid is not None:
        key = key.index_put(tuple(avoid), key.new_tensor(2.0))
    return key.argsort(1)[:, :num]


def repeated(ids: Tensor) -> Tensor:
    """(c, n) bool: True where an entity already stands further left in its row."""
    value, order = ids.sort(dim=1, stable=True)
    again = torch.zeros_like(ids, dtype=torch.bool)
    again[:, 1:] = value[:, 1:] == value[:, :-1]
    return torch.zeros_like(again).scatter(1, order, again)


def contains(pairs: Pairs, ids: Tensor, num_entities: int) -> Tensor:
    """(b, n) bool: whether (i, ids[i, j]) is one of the pairs. pairs sorted by row, then entity."""
    if len(pairs.row) == 0:
        return torch.zeros_like(ids, dtype=torch.bool)
    keys = pairs.row * num_entities + pairs.entity
    rows = torch.arange(len(ids), device=ids.device)[:, None]
    wanted = rows * num_entities + ids
    at = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
    return keys[at] == wanted
