"""All entities, or uniform draws from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from falsum.graph.graph import Graph, Side
from falsum.noise.base import Candidates, Draw, Noise, known_answers, positive
from falsum.noise.draws import drawing


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
        positive(num=self.num, num_head=self.num_head, chunk=self.chunk)

    @property
    def groups(self) -> bool:
        return False

    def bind(self, graph: Graph, device: torch.device) -> Draw:
        equal = torch.ones(graph.num_entities, device=device)
        return drawing(self, graph, device, dict.fromkeys(Side, equal))
