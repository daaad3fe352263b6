"""Entities around the target in an order in which neighbours are alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.curves import Constant, Curve
from falsum.errors import in_range
from falsum.graph.graph import Graph
from falsum.noise.base import Live, Size
from falsum.noise.clusters import alike_in_order
from falsum.noise.drawing import by_steps, row_totals
from falsum.noise.proposals.base import Proposal, Proposer
from falsum.noise.request import Request
from falsum.noise.standing import one_target

# Steps beyond so many standard deviations have odds below 10^-18 and are never made.
REACH = 9.0


@dataclass(frozen=True)
class Around(Proposal):
    """The target's place plus a normal step of standard deviation sigma, rounded, never 0, round the ends (Je 2022).

    Entities are put in an order in which neighbours have similar rows: K-means clusters, strung along a chain. every:
    epochs between new orders. clusters: 0 is sqrt(entities). A draw costs no score, and its odds are known: a normal
    distribution by whole numbers.

    EANS leaves open how clusters are strung together and how entities stand within one: see `clusters.alike_in_order`.
    Its auxiliary loss for false negatives is left out. State: two int32 per entity. An order costs
    rounds x entities x clusters products of a row.
    """

    sigma: Curve = Constant(100.0)  # noqa: RUF009 (frozen)
    every: int = 5
    clusters: int = 0
    rounds: int = 10

    def __post_init__(self) -> None:
        for end in self.sigma.ends:
            in_range("[0.1, 1e6]", sigma=end)
        in_range("[1, 1e6]", every=self.every)
        in_range("[0, 100000]", clusters=self.clusters)
        in_range("[1, 1000]", rounds=self.rounds)

    @property
    def exact(self) -> bool:
        return True

    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        return Placed(self, graph.num_entities, device)

    def state_bytes(self, size: Size) -> int:
        return 8 * size.entities + 8


class Placed(Proposer):
    """order (E,) int32: the entities in order. place (E,) int32: where each stands. made (): when, -1 for never."""

    def __init__(self, settings: Around, num_entities: int, device: torch.device) -> None:
        super().__init__()
        if num_entities < 2:
            raise ValueError("there is nobody around the one entity of a graph")
        self.settings, self.num_entities = settings, num_entities
        self.order: Tensor
        self.place: Tensor
        self.made: Tensor
        for name in ("order", "place"):
            self.register_buffer(name, torch.arange(num_entities, dtype=torch.int32, device=device))
        self.register_buffer("made", torch.tensor(-1, device=device))

    def draw(self, request: Request) -> Tensor:
        self._arrange(request.live, request.random)
        step, odds = steps(self.settings.sigma.at(request.live.epoch), self.num_entities, request.random.device)
        moved = step[by_steps(request.shape, odds.cumsum(0), request.random)]
        start = self.place[one_target(request.query, request.random)].long()
        return self.order[(start[:, None] + moved) % self.num_entities].long()

    def log_q(self, request: Request, ids: Tensor) -> Tensor:
        query = request.query
        step, odds = steps(self.settings.sigma.at(request.live.epoch), self.num_entities, ids.device)
        place = self.place[ids].long().expand(len(query), -1)
        moved = (place[query.row] - self.place[query.target].long()[:, None]) % self.num_entities
        at = torch.searchsorted(step, moved).clamp_(max=len(step) - 1)
        q = torch.where(step[at] == moved, odds[at], 0)
        if not query.single:  # any target of a question may be the one
            num = torch.bincount(query.row, minlength=len(query))[:, None]
            q = q.new_zeros(len(query), q.shape[1]).index_add(0, query.row, q) / num
        return q.log()

    def _arrange(self, live: Live, random: torch.Generator) -> None:
        now = int(live.epoch) // self.settings.every
        if int(self.made) == now:
            return
        rows = live.rows(torch.arange(self.num_entities, device=self.order.device))
        num = self.settings.clusters or math.isqrt(self.num_entities)
        order = alike_in_order(rows, num, self.settings.rounds, random)
        self.order.copy_(order)
        self.place[order] = torch.arange(len(order), dtype=torch.int32, device=order.device)
        self.made.fill_(now)


def steps(sigma: float, num_entities: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Steps (k,) int64 in [1, E), ascending, and their odds (k,) float64: a normal, rounded, round the ends, no 0."""
    reach = math.ceil(REACH * sigma)
    far = torch.arange(1, reach + 1, device=device, dtype=torch.float64)
    # Of the lower tail, where differences keep their digits.
    odds = torch.special.ndtr((0.5 - far) / sigma) - torch.special.ndtr((-0.5 - far) / sigma)
    moved = torch.cat([far, -far]).long() % num_entities
    step, at = torch.unique(moved, return_inverse=True)
    total = row_totals(torch.cat([odds, odds]), at, len(step))
    kept = step > 0
    return step[kept], total[kept] / total[kept].sum()
