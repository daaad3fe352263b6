"""Entities near the anchor."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.graph.graph import Graph, Query
from falsum.noise.base import Size
from falsum.noise.lists import Lists, distinct_keys, neighbours, without
from falsum.noise.pools.base import Pool, Provider
from falsum.noise.pools.typed import placed
from falsum.noise.pools.worked import Worked, kept_bytes


@dataclass(frozen=True)
class Ball(Pool):
    """Entities at most `hops` training triples away from the anchor, in either direction by any relation
    (structure-aware negatives: Ahrabian et al. 2020, whose k-hop matrix has this pattern and the anchor in it).

    anchor: whether the anchor itself is eligible. near: whether its neighbours are; as many of them are true by a
    relation that nobody wrote down, they may be left out. Nobody is near an anchor without triples.

    Balls fill quickly: 4,953 of the 14,541 entities of FB15k-237 are within two hops on average, 12,154 within three;
    70 of the 40,943 of WN18RR, and 257. All balls are kept where they take at most `KEPT_BYTES` (4 bytes per member),
    else those of the anchors of a batch are worked out each time, for about the sum over the neighbours of their
    numbers of neighbours. Past some 100,000 members each that is hopeless: take the proposal "walk".
    """

    hops: int = 2
    anchor: bool = False
    near: bool = True

    def __post_init__(self) -> None:
        in_range("[1, 100]", hops=self.hops)
        if not (self.near or self.anchor or self.hops > 1):
            raise ValueError("near must be true where hops is 1: nobody else is there")

    def bind(self, graph: Graph, device: torch.device) -> Provider:
        return Around(self, graph, device)

    def state_bytes(self, size: Size) -> int:
        return Lists.bytes(size.entities, 2 * size.triples) + kept_bytes(size.entities, size.entities)


class Around(Worked):
    """Key: the anchor."""

    def __init__(self, settings: Ball, graph: Graph, device: torch.device) -> None:
        super().__init__(graph.num_entities)
        self.settings = settings
        self.neighbours = neighbours(graph, device)
        self.keep(torch.arange(graph.num_entities, device=device))

    def key(self, query: Query) -> Tensor:
        return query.anchor

    def work(self, key: Tensor) -> Tensor:
        centre = placed(key, self.num_entities)
        first = self.neighbours.follow(centre)
        ball, edge = distinct_keys(torch.cat([centre, first])), first
        for hop in range(2, self.settings.hops + 1):
            found = self.neighbours.follow(edge)
            edge = found if hop == self.settings.hops else without(found, ball)
            ball = distinct_keys(torch.cat([ball, edge]))
        if not self.settings.near:
            ball = without(ball, first)
        return ball if self.settings.anchor else ball[ball % self.num_entities != key[ball // self.num_entities]]
