"""The closest of several draws to the target, and what was good among them before."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.curves import Constant, Curve
from falsum.errors import in_range
from falsum.graph.graph import Graph, Query
from falsum.noise.base import Candidates, Live, Size
from falsum.noise.drawing import repeated
from falsum.noise.known import KnownAnswers
from falsum.noise.proposals.base import Proposer
from falsum.noise.proposals.caches import first_of_each
from falsum.noise.proposals.neighbours import Metric, nearness
from falsum.noise.proposals.ranked import Chooser, Ranked, best_first
from falsum.noise.request import Request
from falsum.noise.standing import one_target


@dataclass(frozen=True)
class Closest(Ranked):
    """Of `of` draws, the `num` whose rows are closest to the target's; a share of them from memory instead.

    The memory of an entity holds what was drawn in its place and scored highest after the step: `memory` entities,
    chosen among those it holds and as many of the last draw. exploit: the share of draws that are taken from it, once
    it holds something. scrub: known training answers of the question are not remembered.

    After SNS (Islam, Aridhi & Smail-Tabbone 2021), read from its abstract: exploration by closeness and exploitation
    of good negatives are the paper's, the form of the memory is a reconstruction. State: (entities x memory) int32.
    """

    exploit: Curve = Constant(0.5)  # noqa: RUF009 (frozen)
    memory: int = 8
    metric: Metric = "euclid"
    scrub: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for end in self.exploit.ends:
            in_range("[0, 1]", exploit=end)
        in_range("[1, 100000]", memory=self.memory)

    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        return Remembering(self, graph, device)

    def state_bytes(self, size: Size) -> int:
        known = KnownAnswers.bytes(size) if self.scrub else 0
        return super().state_bytes(size) + 4 * size.entities * self.memory + known


class Remembering(Chooser):
    """good (E, memory) int32: good negatives in the place of every entity, best first; -1 for none yet."""

    def __init__(self, settings: Closest, graph: Graph, device: torch.device) -> None:
        super().__init__(settings, graph, device)
        self.settings = settings
        self.known = KnownAnswers(graph, device) if settings.scrub else None
        self.good: Tensor
        shape = (graph.num_entities, settings.memory)
        self.register_buffer("good", torch.full(shape, -1, dtype=torch.int32, device=device))

    def draw(self, request: Request) -> Tensor:
        target, random = one_target(request.query, request.random), request.random
        closest = self._closest(request, target)
        good = self.good[target].long()
        held = (good >= 0).sum(1)
        pick = torch.rand(2, *request.shape, generator=random, device=random.device, dtype=torch.float64)
        old = good.gather(1, (pick[0] * held[:, None]).long())
        exploits = pick[1] < self.settings.exploit.at(request.live.epoch)
        return torch.where(exploits & (held > 0)[:, None], old, closest)

    def learn(self, query: Query, drawn: Candidates, live: Live, seed: int) -> Tensor | None:
        """Remember for one target of every question, each target once."""
        assert isinstance(drawn.ids, Tensor)
        target = query.target[first_of_each(query.row)]
        rows = first_of_each(target)
        target, asked = target[rows], query.select(rows)
        ids = torch.cat([self.good[target].long(), drawn.ids[rows, : self.settings.memory]], 1)
        bad = (ids < 0) | repeated(ids) | (ids == target[:, None])
        if self.known is not None:
            bad |= self.known.holds(asked, ids)
        scores = live.score(asked, ids.clamp(min=0)).masked_fill(bad, -torch.inf)
        best = scores.topk(self.settings.memory, dim=1)
        kept = ids.gather(1, best.indices).masked_fill(best.values == -torch.inf, -1)
        self.good[target] = kept.to(torch.int32)
        return super().learn(query, drawn, live, seed)

    def _closest(self, request: Request, target: Tensor) -> Tensor:
        """(b, num): the closest of what is offered, in a shuffled order; again from the closest where they run out."""
        offer = self.offer(request)
        near = self._nearness(offer.ids, request.live.rows(target), request.live)
        near = near.masked_fill(~offer.open | (offer.ids == target[:, None]), -torch.inf)
        count = (near > -torch.inf).sum(1, keepdim=True).clamp(min=1)
        order = torch.randperm(request.num, generator=request.random, device=near.device)
        return offer.take(best_first(near, order % count))

    def _nearness(self, ids: Tensor, rows: Tensor, live: Live) -> Tensor:
        if len(ids) == 1:
            return nearness(rows, live.rows(ids[0]), self.settings.metric)
        return nearness(rows[:, None], live.rows(ids), self.settings.metric).squeeze(1)
