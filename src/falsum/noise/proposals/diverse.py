"""Hard candidates that differ from each other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from falsum.curves import Constant, Curve
from falsum.errors import in_range
from falsum.graph.graph import Graph
from falsum.noise.base import Live
from falsum.noise.proposals.base import Proposer
from falsum.noise.proposals.ranked import Chooser, Offer, Ranked, open_scores
from falsum.noise.request import Request


@dataclass(frozen=True)
class Diverse(Ranked):
    """`num` of `of` draws, one after the other, each with the largest hardness x its score - (1 - hardness) x its
    likeness to the likest of those before it: maximal marginal relevance (Carbonell & Goldstein 1998).

    The score is scaled to [0, 1] between the least and the largest of a question's draws, likeness is the cosine of the
    rows. hardness 1 takes the best; 0 takes entities that are unlike each other, whatever their score.

    Costs num x of numbers per question, in `num` rounds, and of^2 products of a row for the batch; where the pool
    depends on the question, num x of products of a row per question, and (questions x of) rows in memory.
    """

    of: int = 256
    hardness: Curve = Constant(0.7)  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        super().__post_init__()
        for end in self.hardness.ends:
            in_range("[0, 1]", hardness=end)

    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        return DiverseDraws(self, graph, device)


class DiverseDraws(Chooser):
    """Chooses greedily, all questions at once."""

    def __init__(self, settings: Diverse, graph: Graph, device: torch.device) -> None:
        super().__init__(settings, graph, device)
        self.settings = settings

    def draw(self, request: Request) -> Tensor:
        offer, hardness = self.offer(request), self.settings.hardness.at(request.live.epoch)
        worth = hardness * scaled(open_scores(request, offer))
        left, likeness = worth.masked_fill(~offer.open, -torch.inf), Likeness(offer, request.live)
        likest, chosen = torch.full_like(left, -1.0), []
        for _ in range(request.num):
            at = (left - (1 - hardness) * likest).argmax(1, keepdim=True)
            chosen.append(at)
            left = left.scatter(1, at, -torch.inf)
            likest = torch.maximum(likest, likeness.of(at).to(likest.dtype))
        # Where they run out, from the first again. Shuffled, since a question may count only some of its draws.
        count = offer.open.sum(1, keepdim=True).clamp(min=1)
        order = torch.randperm(request.num, generator=request.random, device=count.device)
        return offer.take(torch.cat(chosen, 1).gather(1, order % count))


class Likeness:
    """Cosines between what is offered."""

    def __init__(self, offer: Offer, live: Live) -> None:
        self.rows = normalize(live.rows(offer.ids), dim=-1)
        self.shared = self.rows[0] @ self.rows[0].mT if len(offer.ids) == 1 else None

    def of(self, place: Tensor) -> Tensor:
        """(b, m): of all that is offered with the candidate at place (b, 1)."""
        if self.shared is not None:
            return self.shared[place[:, 0]]
        own = self.rows.gather(1, place[:, :, None].expand(-1, -1, self.rows.shape[-1]))
        return (self.rows * own).sum(-1)


def scaled(scores: Tensor) -> Tensor:
    """Scores (b, m) between the least, 0, and the largest, 1, of a row; -inf becomes 0."""
    there = scores > -torch.inf
    low = scores.masked_fill(~there, torch.inf).amin(1, keepdim=True)
    high = scores.amax(1, keepdim=True)
    span = torch.where(high > low, high - low, 1)
    return torch.where(there, (scores - low) / span, 0)
