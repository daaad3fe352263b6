"""Hard candidates by choice: the best of several draws."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.graph.graph import Graph, Query
from falsum.noise.base import Candidates, Live, Size
from falsum.noise.proposals.base import Proposal, Proposer, past
from falsum.noise.proposals.odds import Even
from falsum.noise.request import Request


@dataclass(frozen=True)
class Best(Proposal):
    """Of every `of` draws of `pool`, the one with the highest score now (dynamic sampling; Zhang et al. 2013).

    The simplest hard negatives, and the null against which others are held: with uniform draws the best of M lies at
    the M / (M + 1) quantile of all scores on average. What a filter bars is chosen last.
    """

    of: int = 4
    pool: Proposal = Even()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        in_range("[1, 1e6]", of=self.of)

    @property
    def looks(self) -> int:
        return self.of * self.pool.looks

    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        return BestDraws(self, self.pool.bind(graph, device))

    def state_bytes(self, size: Size) -> int:
        return self.pool.state_bytes(size)


class BestDraws(Proposer):
    """The best of every `of` draws of a proposer."""

    def __init__(self, settings: Best, pool: Proposer) -> None:
        super().__init__()
        self.of, self.sees, self.pool, self.lr = settings.of, settings.pool.sees, pool, pool.lr

    def draw(self, request: Request) -> Tensor:
        wide = replace(request, num=request.num * self.of)
        ids = self.pool.draw(wide)
        # Drawn again before the choice: a known answer in a group would leave it the best of fewer.
        barred = past(self.pool, self.sees, wide, ids, request.look(), turns=3)
        scores = request.live.score(request.query, ids).masked_fill(barred, -torch.inf)
        best = scores.unflatten(1, (-1, self.of)).argmax(-1, keepdim=True)
        return ids.unflatten(1, (-1, self.of)).gather(-1, best).squeeze(-1)

    def learn(self, query: Query, drawn: Candidates, live: Live, seed: int) -> Tensor | None:
        return self.pool.learn(query, drawn, live, seed)
