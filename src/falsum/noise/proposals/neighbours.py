"""Entities whose rows are nearest to the target's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from falsum.errors import in_range
from falsum.graph.graph import Graph
from falsum.noise.base import Live, Size
from falsum.noise.proposals.base import Proposal, Proposer
from falsum.noise.proposals.ranked import spread
from falsum.noise.request import Request
from falsum.noise.standing import one_target

Metric = Literal["cosine", "euclid"]
# Rows compared at once: questions x entities of so many fill 64 MB.
QUESTIONS, ENTITIES = 1024, 16384


@dataclass(frozen=True)
class Neighbours(Proposal):
    """Even draws from the k entities nearest to the target in the entity table, none twice where num <= k.

    every: epochs after which the neighbours of an entity are looked for again, when it is next a target. A search
    compares its row with all rows: entities^2 products of a row per `every` epochs. The target itself is no neighbour.
    State: (entities x k) int32.
    """

    k: int = 64
    every: int = 1
    metric: Metric = "cosine"

    def __post_init__(self) -> None:
        in_range("[1, 100000]", k=self.k)
        in_range("[1, 1e6]", every=self.every)

    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        return Nearby(self, graph.num_entities, device)

    def state_bytes(self, size: Size) -> int:
        return 4 * size.entities * (min(self.k, size.entities - 1) + 1)


class Nearby(Proposer):
    """near (E, k) int32: the neighbours of every entity. looked (E,) int32: when they were looked for, -1 for never."""

    def __init__(self, settings: Neighbours, num_entities: int, device: torch.device) -> None:
        super().__init__()
        if num_entities < 2:
            raise ValueError("a graph of one entity has no neighbours")
        self.settings, self.num_entities = settings, num_entities
        self.k = min(settings.k, num_entities - 1)
        self.near: Tensor
        self.looked: Tensor
        self.register_buffer("near", torch.zeros(num_entities, self.k, dtype=torch.int32, device=device))
        self.register_buffer("looked", torch.full((num_entities,), -1, dtype=torch.int32, device=device))

    def draw(self, request: Request) -> Tensor:
        target = one_target(request.query, request.random)
        self._look(torch.unique(target), request.live)
        place = spread(torch.full_like(target, self.k), request.num, request.random)
        return self.near[target].gather(1, place).long()

    def _look(self, entities: Tensor, live: Live) -> None:
        """Find the neighbours of those whose last search is too old."""
        now = int(live.epoch) // self.settings.every
        for ids in entities[self.looked[entities] != now].split(QUESTIONS):
            self.near[ids] = nearest(ids, self.k, self.num_entities, live, self.settings.metric).to(torch.int32)
            self.looked[ids] = now


def nearest(ids: Tensor, k: int, num_entities: int, live: Live, metric: Metric) -> Tensor:
    """(c, k): the entities nearest to each of ids (c,), nearest first, itself left out."""
    rows = live.rows(ids)
    values, best = rows.new_zeros(len(ids), 0), ids.new_zeros(len(ids), 0)
    for block in torch.arange(num_entities, device=ids.device).split(ENTITIES):
        near = nearness(rows, live.rows(block), metric).masked_fill(ids[:, None] == block, -torch.inf)
        values, best = torch.cat([values, near], 1), torch.cat([best, block.expand(len(ids), -1)], 1)
        values, place = values.topk(min(k, values.shape[1]), dim=1)
        best = best.gather(1, place)
    return best


def nearness(rows: Tensor, others: Tensor, metric: Metric) -> Tensor:
    """(..., c, n): how near rows (..., c, w) are to others (..., n, w): the cosine; or minus the squared distance, but
    for |row|^2, which changes no order."""
    if metric == "cosine":
        return normalize(rows, dim=-1) @ normalize(others, dim=-1).mT
    return 2 * rows @ others.mT - others.square().sum(-1).unsqueeze(-2)
