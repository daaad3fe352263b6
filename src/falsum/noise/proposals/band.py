"""Hard candidates by rank: from a band of the model's own ranking, or from above the target."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.curves import Constant, Curve
from falsum.errors import in_range
from falsum.graph.graph import Graph
from falsum.noise.proposals.base import Proposer
from falsum.noise.proposals.ranked import Chooser, Ranked, best_first, open_scores, spread
from falsum.noise.request import Request
from falsum.noise.standing import ceilings, target_scores


@dataclass(frozen=True)
class Band(Ranked):
    """Even draws from candidates whose rank, as a share of all that can be chosen, lies in [low, high): 0 is the best.

    None comes twice where the band holds enough. low above 0 skips the very best, which are the likeliest to be true.
    ceiling: candidates above this share of the way from the mean score of the pool to the target's are left out before
    ranking (NV-Retriever, Moreira et al. 2024: 0.95), see `falsum.noise.standing.ceilings`; where that leaves nobody,
    it is lifted.
    """

    low: Curve = Constant(0.0)  # noqa: RUF009 (frozen)
    high: Curve = Constant(0.05)  # noqa: RUF009 (frozen)
    ceiling: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for low, high in zip(self.low.ends, self.high.ends, strict=True):
            in_range("[0, 1)", low=low)
            in_range("(0, 1]", high=high)
        if isinstance(self.low, Constant) and self.low.value >= min(self.high.ends):
            raise ValueError(f"low must be less than high, got {self.low.value} and {min(self.high.ends)}")
        in_range("(0, 1]", ceiling=self.ceiling)

    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        return BandDraws(self, graph, device)


class BandDraws(Chooser):
    """Sorts what its pool offers as far as the band goes."""

    def __init__(self, settings: Band, graph: Graph, device: torch.device) -> None:
        super().__init__(settings, graph, device)
        self.settings = settings

    def draw(self, request: Request) -> Tensor:
        offer, settings, epoch = self.offer(request), self.settings, request.live.epoch
        scores = open_scores(request, offer)
        if settings.ceiling is not None:
            scores = _below(scores, target_scores(request.query, request.live), settings.ceiling)
        count = (scores > -torch.inf).sum(1)
        # The share of a whole number of ranks is that number, whatever its last bit.
        low = (count * settings.low.at(epoch) + 1e-6).floor().long().minimum(count - 1).clamp(min=0)
        high = (count * settings.high.at(epoch) - 1e-6).ceil().long().maximum(low + 1)
        return offer.take(best_first(scores, low[:, None] + spread(high - low, request.num, request.random)))


@dataclass(frozen=True)
class Above(Ranked):
    """Even draws from candidates that score at least the target's score - slack: those that the model ranks above the
    truth (NMiss of a talk by Moon 2025). None comes twice where they are enough.

    Where they are fewer than `least`, the `least` best are drawn from: a good model ranks nobody above the target.
    """

    slack: float = 0.0
    least: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range("[-1e6, 1e6]", slack=self.slack)
        in_range("[1, 1e7]", least=self.least)

    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        return AboveDraws(self, graph, device)


class AboveDraws(Chooser):
    """Sorts no more than `least` of what its pool offers: early in training half of it may lie above the target."""

    def __init__(self, settings: Above, graph: Graph, device: torch.device) -> None:
        super().__init__(settings, graph, device)
        self.settings = settings

    def draw(self, request: Request) -> Tensor:
        offer, least = self.offer(request), self.settings.least
        scores = open_scores(request, offer)
        limit = target_scores(request.query, request.live) - self.settings.slack
        above = (scores >= limit[:, None]).cumsum(1)
        few = above[:, -1] < least
        size = torch.where(few, offer.open.sum(1).clamp(min=1, max=least), above[:, -1])
        place = spread(size, request.num, request.random)
        best = best_first(scores, place.clamp(max=least - 1))
        member = torch.searchsorted(above, place + 1).clamp(max=above.shape[1] - 1)
        return offer.take(torch.where(few[:, None], best, member))


def _below(scores: Tensor, target: Tensor, share: float) -> Tensor:
    """Scores without those above the ceiling; as they are where that leaves none."""
    there = scores > -torch.inf
    mean = scores.masked_fill(~there, 0).sum(1) / there.sum(1).clamp(min=1)
    below = there & (scores <= ceilings(mean, target, share)[:, None])
    return scores.masked_fill(~below & below.any(1, keepdim=True), -torch.inf)
