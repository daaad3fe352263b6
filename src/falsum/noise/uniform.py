"""All entities, or uniform draws from them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.graph.graph import Graph, Query, Side
from falsum.noise.base import Candidates, Live, Noise, Sampler, known_answers
from falsum.noise.draws import Drawn


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


class Everyone(Sampler):
    """Every entity for every query."""

    def __init__(self, graph: Graph, device: torch.device, filtered: bool) -> None:
        super().__init__()
        self.everything = range(graph.num_entities)
        self.known = known_answers(graph, device) if filtered else None

    def num(self, query: Query) -> int:
        return len(self.everything)

    def draw(self, query: Query, seed: int, live: Live) -> Candidates:
        drop = self.known[query.slot].of(query.anchor, query.relation) if self.known else None
        return Candidates(self.everything, drop=drop)


@dataclass(frozen=True)
class Uniform(Drawn):
    """`num` uniform entities per query; for the other settings see `Drawn`."""

    def odds(self, graph: Graph) -> dict[Side, Tensor]:
        return dict.fromkeys(Side, torch.ones(graph.num_entities))
