"""A cache of hard candidates for every question of the training split, or for every bucket of questions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from falsum.curves import Constant, Curve
from falsum.errors import in_range
from falsum.graph.graph import Graph, Query, Side
from falsum.noise.base import Candidates, Live, Size
from falsum.noise.dials import Dial
from falsum.noise.drawing import by_odds, even_draws, repeated
from falsum.noise.known import KnownAnswers
from falsum.noise.proposals.base import Proposal, Proposer
from falsum.noise.request import Request
from falsum.seeds import derive, generator


@dataclass(frozen=True)
class Cached(Proposal):
    """Draws from a cache of hard candidates per question (Zhang et al. 2019, Algorithms 2 and 3).

    cache: entities kept per question (N1); `fresh` uniform ones (N2) compete with them at each refresh; the survivors
    are drawn without replacement in proportion to e^(refreshing score). every: epochs between refreshes of a question
    (the paper's lazy n + 1). scrub: known training answers never survive a refresh; the paper keeps them. drawing: how
    draws prefer high scores within a cache, e^(drawing score); 0, the default and the paper's, is evenly and asks no
    score. drawing and refreshing are alpha_2 and alpha_3 of the automated NSCaching (Zhang et al. 2021), which searches
    both in [0.01, 100]; its alpha_1 weighs positives by the hardness of their caches, and is no matter of a noise.

    buckets: above 0, questions share so many caches per side: each relation has its stretch of them, as long as its
    share of the distinct questions, and a hash of the anchor picks one, so what collides is of one relation wherever
    there are as many buckets as relations. Of the questions of a batch that share a cache, the first refreshes it.

    Deviation: all negatives of a question come from its cache, with replacement; the paper takes one. State: int32,
    (questions x cache) over both sides, or (2 x buckets x cache).
    """

    cache: int = 50
    fresh: int = 50
    every: int = 1
    scrub: bool = False
    drawing: Curve = Constant(0.0)  # noqa: RUF009 (frozen)
    refreshing: Curve = Constant(1.0)  # noqa: RUF009 (frozen)
    buckets: int = 0

    def __post_init__(self) -> None:
        in_range("[1, 100000]", cache=self.cache, fresh=self.fresh)
        in_range("[1, 1e6]", every=self.every)
        in_range("[0, 1e9]", buckets=self.buckets)
        for end in (*self.drawing.ends, *self.refreshing.ends):
            in_range("[0, 1e6]", drawing=end)

    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        return Caches(self, graph, device)

    def state_bytes(self, size: Size) -> int:
        known = KnownAnswers.bytes(size) if self.scrub or not self.buckets else 0
        rows = 32 * size.relations if self.buckets else 0
        caches = 4 * self.cache * (2 * self.buckets or size.questions)
        return known + rows + caches + Dial.bytes(self.drawing, size) + Dial.bytes(self.refreshing, size)


class Buckets(nn.Module):
    """Which cache a question has where caches are shared: buffers start and width (2, R) by open slot and relation."""

    def __init__(self, buckets: int, graph: Graph, device: torch.device) -> None:
        super().__init__()
        self.num_base_relations = graph.num_base_relations
        head, relation, tail = graph.splits["train"].unbind(1)
        starts, widths = [], []
        for anchor in (head, tail):
            asked = torch.unique(relation * graph.num_entities + anchor)
            asked = torch.div(asked, graph.num_entities, rounding_mode="floor")
            ends = torch.bincount(asked, minlength=graph.num_base_relations).cumsum(0)
            ends = torch.div(ends * buckets, ends[-1:].clamp(min=1), rounding_mode="floor")
            starts.append(torch.cat([ends.new_zeros(1), ends[:-1]]).clamp(max=buckets - 1))
            widths.append(ends.diff(prepend=ends.new_zeros(1)).clamp(min=1))
        self.register_buffer("start", torch.stack(starts).to(device), persistent=False)
        self.register_buffer("width", torch.stack(widths).to(device), persistent=False)

    def row(self, query: Query) -> Tensor:
        """(b,)."""
        slot, relation = int(query.slot is Side.HEAD), query.relation % self.num_base_relations
        # Fibonacci hashing: the high bits of a product with 2^64 / golden ratio, which wraps.
        mixed = (query.anchor * -7046029254386353131) >> 33 & 0x7FFFFFFF
        return self.get_buffer("start")[slot][relation] + mixed % self.get_buffer("width")[slot][relation]


class Caches(Proposer):
    """One row of candidates per training question, or per bucket. Persistent buffers: tail and head, int32."""

    def __init__(self, settings: Cached, graph: Graph, device: torch.device) -> None:
        super().__init__()
        self.settings, self.num_entities = settings, graph.num_entities
        self.drawing, self.refreshing = (
            Dial(curve, graph, device) for curve in (settings.drawing, settings.refreshing)
        )
        known = KnownAnswers(graph, device) if settings.scrub or not settings.buckets else None
        self.known = known
        self.buckets = Buckets(settings.buckets, graph, device) if settings.buckets else None
        for slot in Side:
            rows = len(known.counts(slot)) if known and not settings.buckets else settings.buckets
            random = generator(derive(0, "cache", slot.value), device)
            cache = even_draws((rows, settings.cache), graph.num_entities, random)
            self.register_buffer(slot.value, cache.to(torch.int32))

    def draw(self, request: Request) -> Tensor:
        cache, at = self._rows(request.query)
        power = self.drawing.at(request.live.epoch)
        if power == 0:
            pick = torch.randint(self.settings.cache, request.shape, generator=request.random, device=at.device)
            return cache[at[:, None], pick].long()
        ids = cache[at].long()
        scores = power * request.live.score(request.query, ids)
        # Finite: where all are barred, any will do, since it is drawn again.
        odds = scores.double().masked_fill(request.bars(ids), -1e30).softmax(1)
        return ids.gather(1, by_odds(odds, request.num, request.random))

    def learn(self, query: Query, drawn: Candidates, live: Live, seed: int) -> None:
        """Refresh the caches of the batch's questions, each once, with the scores after the step."""
        for dial, name in ((self.drawing, "drawing"), (self.refreshing, "refreshing")):
            dial.learn(self.draw, query, live, derive(seed, name))
        if int(live.epoch) % self.settings.every or len(query) == 0:
            return
        cache, at = self._rows(query)
        rows = first_of_each(at)
        asked, at = query.select(rows), at[rows]
        random = generator(seed, at.device)
        fresh = even_draws((len(at), self.settings.fresh), self.num_entities, random)
        ids = torch.cat([cache[at].long(), fresh], 1)
        # An entity that stands twice competes once.
        scores = self.refreshing.at(live.epoch) * live.score(asked, ids).double()
        scores = scores.masked_fill(repeated(ids), -torch.inf)
        if self.settings.scrub:
            assert self.known is not None
            scores = scores.masked_fill(self.known.holds(asked, ids), -torch.inf)
        # Gumbel top-k: the k largest of score + noise are k draws without replacement from softmax(score).
        uniform = torch.rand(scores.shape, generator=random, device=at.device, dtype=scores.dtype)
        keys = scores - (-uniform.clamp(min=1e-300).log()).log()
        cache[at] = ids.gather(1, keys.topk(self.settings.cache, dim=1).indices).to(torch.int32)

    def _rows(self, query: Query) -> tuple[Tensor, Tensor]:
        """The cache of the open slot, and which of its rows belongs to each query: of the training split, or any."""
        if self.buckets is not None:
            return self.get_buffer(query.slot.value), self.buckets.row(query)
        assert self.known is not None
        return self.get_buffer(query.slot.value), self.known.row(query)


def first_of_each(values: Tensor) -> Tensor:
    """Positions of the first of equal values, ascending."""
    first = torch.ones_like(values, dtype=torch.bool)
    order = torch.argsort(values, stable=True)
    first[order[1:]] = values[order[1:]] != values[order[:-1]]
    return first.nonzero().flatten()
