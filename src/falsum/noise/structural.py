"""Random walks from the anchor: near entities without any set of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.graph.graph import Graph
from falsum.noise.base import Size
from falsum.noise.drawing import even_draws
from falsum.noise.lists import Lists, neighbours
from falsum.noise.pools.base import Members
from falsum.noise.proposals.base import Proposal, Proposer
from falsum.noise.request import Request


@dataclass(frozen=True)
class Walk(Proposal):
    """Where a random walk of `hops` steps from the anchor ends, each draw a walk of its own (structure-aware negatives:
    Ahrabian et al. 2020). Steps go along training triples, in either direction, each neighbour alike.

    So no draw is further than `hops` away, near and well linked entities come more often, and hubs are no burden: a
    draw costs `hops` look-ups, on a graph of any size. A walk that ends where it began counts as ending a step before.
    An anchor without triples draws any other entity. Odds are known for one hop only.

    Deviation: walks are drawn anew for each batch; the paper draws some thousand per entity once.
    """

    hops: int = 2

    def __post_init__(self) -> None:
        in_range("[1, 1000]", hops=self.hops)

    @property
    def exact(self) -> bool:
        return self.hops == 1

    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        return Walks(self.hops, graph, device)

    def state_bytes(self, size: Size) -> int:
        return Lists.bytes(size.entities, 2 * size.triples)


@dataclass(frozen=True)
class Chain(Proposal):
    """The draws of a question are stages of one random walk, `hops` steps apart, of which only the first begins at the
    anchor: the released code of Ahrabian et al. 2020, which never puts its walkers back.

    For replication. Draws leave the neighbourhood at once and come in proportion to degree, wherever the anchor is. The
    code makes one chain per entity, of 1,000 to 4,500 stages, and draws evenly from the distinct ones; here each batch
    makes its own, as long as its draws, one stage after the other. What is filtered is drawn again at the anchor.
    """

    hops: int = 2

    def __post_init__(self) -> None:
        in_range("[1, 1000]", hops=self.hops)

    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        return Stages(self.hops, graph, device)

    def state_bytes(self, size: Size) -> int:
        return Lists.bytes(size.entities, 2 * size.triples)


class Walks(Proposer):
    """Walks over the neighbours of every entity."""

    def __init__(self, hops: int, graph: Graph, device: torch.device) -> None:
        super().__init__()
        self.hops, self.num_entities = hops, graph.num_entities
        self.neighbours = neighbours(graph, device)

    def draw(self, request: Request) -> Tensor:
        anchor = request.query.anchor[:, None].expand(request.shape)
        return self.elsewhere(request, self.walked(anchor, anchor, request.random)[1])

    def walked(self, start: Tensor, anchor: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Where walks from `start` end, and that again, but the place before where it is the anchor."""
        before = here = start
        for _ in range(self.hops):
            before, here = here, self.step(here, random)
        return here, torch.where(here == anchor, before, here)

    def step(self, here: Tensor, random: torch.Generator) -> Tensor:
        """A neighbour of each of the entities; itself where it has none."""
        start, member = self.neighbours.start, self.neighbours.member
        if len(member) == 0:
            return here
        first = start[here]
        count = start[here + 1] - first
        uniform = torch.rand(here.shape, generator=random, device=here.device, dtype=torch.float64)
        place = (first + (uniform * count).long()).clamp_(max=len(member) - 1)
        return torch.where(count > 0, member[place], here)

    def elsewhere(self, request: Request, ids: Tensor) -> Tensor:
        """The draws, but any other entity where the anchor has no neighbour."""
        anchor = request.query.anchor[:, None]
        alone = self._count(anchor) == 0
        if not bool(alone.any()):
            return ids
        other = even_draws(request.shape, max(1, self.num_entities - 1), request.random)
        return torch.where(alone, (other + (other >= anchor)).clamp(max=self.num_entities - 1), ids)

    def log_q(self, request: Request, ids: Tensor) -> Tensor:
        """Of one hop: every neighbour alike."""
        anchor = request.query.anchor[:, None]
        ids, count = ids.expand(len(anchor), -1), self._count(anchor)
        near = Members(self.neighbours.start[anchor[:, 0]], count[:, 0], self.neighbours.member)
        alone, found = count == 0, near.holds(ids)
        among = torch.where(alone, max(1, self.num_entities - 1), count).double().log()
        other = (ids != anchor) | (self.num_entities == 1)
        return -among.masked_fill(~torch.where(alone, other, found), math.inf)

    def _count(self, entity: Tensor) -> Tensor:
        return self.neighbours.start[entity + 1] - self.neighbours.start[entity]


class Stages(Walks):
    """Walks that go on where the last one ended."""

    def draw(self, request: Request) -> Tensor:
        here = anchor = request.query.anchor
        drawn = []
        for _ in range(request.num):
            here, end = self.walked(here, anchor, request.random)
            drawn.append(end)
        return self.elsewhere(request, torch.stack(drawn, 1))
