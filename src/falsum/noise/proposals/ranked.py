"""What a pool offers to a batch, with its scores now: the base of proposals that rank."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.graph.graph import Graph, Pairs, Query
from falsum.noise.base import Candidates, Live, Size
from falsum.noise.drawing import repeated
from falsum.noise.proposals.base import Proposal, Proposer
from falsum.noise.proposals.odds import Even
from falsum.noise.request import Request


@dataclass(frozen=True)
class Ranked(Proposal):
    """A proposal that chooses among `of` draws of `pool`; of = 0: among all entities.

    Draws that do not depend on the question are made once for the batch, and every question chooses among the same:
    scores are then one matrix product, and `of` may be large. Costs of scores per question.
    """

    of: int = 1024
    pool: Proposal = Even()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        in_range("[0, 1e7]", of=self.of)
        if self.of == 0 and self.pool != Even():
            raise ValueError("of = 0 takes every entity, so there is nothing to draw: leave out pool, or give of >= 1")

    def state_bytes(self, size: Size) -> int:
        return self.pool.state_bytes(size)


@dataclass(frozen=True, slots=True)
class Offer:
    """ids: (1, m) ascending and distinct, offered to every question, or (b, m), each question's own.

    open: (b, m) bool, what can be chosen: neither barred nor a repeat.
    """

    ids: Tensor
    open: Tensor

    def take(self, place: Tensor) -> Tensor:
        """(b, n) entities at places (b, n)."""
        return self.ids.expand(len(place), -1).gather(1, place)


class Chooser(Proposer):
    """Chooses among what its pool offers."""

    def __init__(self, settings: Ranked, graph: Graph, device: torch.device) -> None:
        super().__init__()
        self.of, self.num_entities, self.device = settings.of, graph.num_entities, device
        self.together = settings.pool.sees != "query"
        self.pool = settings.pool.bind(graph, device)
        self.lr = self.pool.lr

    def offer(self, request: Request) -> Offer:
        if self.together or not self.of:
            ids = torch.arange(self.num_entities, device=self.device)
            if self.of:
                ids = torch.unique(self.pool.draw(replace(request, rows=1, num=self.of)))
            return Offer(ids[None], ~_barred(request.barred, ids, len(request.query)))
        ids = self.pool.draw(replace(request, num=self.of))
        return Offer(ids, ~(request.bars(ids) | repeated(ids)))

    def learn(self, query: Query, drawn: Candidates, live: Live, seed: int) -> Tensor | None:
        return self.pool.learn(query, drawn, live, seed)


def _barred(barred: Pairs | None, ids: Tensor, num_rows: int) -> Tensor:
    """(num_rows, m) bool: which of ids (m,), ascending, are barred for each question."""
    mask = torch.zeros(num_rows, len(ids), dtype=torch.bool, device=ids.device)
    if barred is None:
        return mask
    at = torch.searchsorted(ids, barred.entity).clamp_(max=len(ids) - 1)
    there = ids[at] == barred.entity
    return mask.index_put((barred.row[there], at[there]), torch.ones((), dtype=torch.bool, device=ids.device))


def open_scores(request: Request, offer: Offer) -> Tensor:
    """(b, m): the scores now of what is offered, -inf where it cannot be chosen."""
    return request.live.score(request.query, offer.ids).masked_fill(~offer.open, -torch.inf)


def spread(size: Tensor, num: int, random: torch.Generator) -> Tensor:
    """(b, num) places in [0, size) of each row, size (b,) >= 1: every place equally often, in a shuffled order.

    Systematic draws: steps of size / num from a random start. No place comes twice where size >= num.
    """
    start = torch.rand(len(size), 1, generator=random, device=random.device, dtype=torch.float64)
    step = torch.randperm(num, generator=random, device=random.device) + start
    place = (step * (size[:, None].double() / num)).long()
    return torch.minimum(place, size[:, None] - 1)


def best_first(scores: Tensor, place: Tensor) -> Tensor:
    """(b, n): where the candidates of rank `place` (b, n) stand in scores (b, m)."""
    most = min(int(place.max()) + 1, scores.shape[1]) if place.numel() else 1
    return scores.topk(most, dim=1).indices.gather(1, place.clamp(max=most - 1))
