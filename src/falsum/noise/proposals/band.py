"""Hard candidates by rank: from a band of the model's own ranking, or from above the target."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.curves import Constant, Curve
from falsum.errors import in_range
from falsum.graph.graph import Graph
from falsum.noise.drawing import Request
from falsum.noise.proposals.base import Proposer
from falsum.noise.proposals.ranked import Chooser, Ranked, best_first, open_scores, spread
from falsum.noise.standing import ceilings, target_scores


@dataclass(frozen=True)
class Stretch(Ranked):
    """Even draws from a stretch of the ranking, none twice where it is long enough."""

    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        return StretchDraws(self, graph, device)

    @abstractmethod
    def stretch(self, request: Request, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """scores (b, m), -inf where barred -> those to rank by; first and last rank + 1 of the stretch, (b,) each."""


@dataclass(frozen=True)
class Band(Stretch):
    """Candidates whose rank, as a share of all that can be chosen, lies in [low, high): 0 is the best.

    low above 0 skips the very best, which are the likeliest to be true. ceiling: candidates above this share of the
    way from the mean score of the pool to the target's are left out before ranking (NV-Retriever, Moreira et al. 2024:
    0.95), see `falsum.noise.standing.ceilings`; where that leaves nobody, it is lifted.
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

    def stretch(self, request: Request, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.ceiling is not None:
            scores = _below(scores, target_scores(request.query, request.live), self.ceiling)
        count, epoch = (scores > -torch.inf).sum(1), request.live.epoch
        # The share of a whole number of ranks is that number, whatever its last bit.
        low = (count * self.low.at(epoch) + 1e-6).floor().long().minimum(count - 1).clamp(min=0)
        high = (count * self.high.at(epoch) - 1e-6).ceil().long()
        return scores, low, torch.maximum(high, low + 1)


@dataclass(frozen=True)
class Above(Stretch):
    """Candidates that score at least the target's score - slack: those that the model ranks above the truth.

    Where they are fewer than `least`, the stretch goes on below until it has that many: a good model ranks nobody above
    the target.
    """

    slack: float = 0.0
    least: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range("[-1e6, 1e6]", slack=self.slack)
        in_range("[1, 1e7]", least=self.least)

    def stretch(self, request: Request, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        limit = target_scores(request.query, request.live) - self.slack
        count = (scores > -torch.inf).sum(1)
        last = (scores >= limit[:, None]).sum(1).clamp(min=self.least).minimum(count).clamp(min=1)
        return scores, torch.zeros_like(last), last


class StretchDraws(Chooser):
    """Draws from a stretch of what the pool offers."""

    def __init__(self, settings: Stretch, graph: Graph, device: torch.device) -> None:
        super().__init__(settings, graph, device)
        self.settings = settings

    def draw(self, request: Request) -> Tensor:
        offer = self.offer(request)
        scores, first, last = self.settings.stretch(request, open_scores(request, offer))
        place = first[:, None] + spread(last - first, request.num, request.random)
        return offer.take(best_first(scores, place))


def _below(scores: Tensor, target: Tensor, share: float) -> Tensor:
    """Scores without those above the ceiling; as they are where that leaves none."""
    there = scores > -torch.inf
    mean = scores.masked_fill(~there, 0).sum(1) / there.sum(1).clamp(min=1)
    below = there & (scores <= ceilings(mean, target, share)[:, None])
    return scores.masked_fill(~below & below.any(1, keepdim=True), -torch.inf)
