"""A small model that proposes what it thinks true, with odds that are known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from falsum.curves import Constant, Curve
from falsum.errors import in_range
from falsum.graph.graph import Graph, Pairs, Query
from falsum.noise.base import Candidates, Live, Size
from falsum.noise.dials import Dial
from falsum.noise.drawing import even_draws
from falsum.noise.known import OwnTarget
from falsum.noise.proposals.base import Proposal, Proposer
from falsum.noise.proposals.small import BLOCK, SmallModel, check
from falsum.noise.request import Request
from falsum.seeds import derive, generator

# How often an even draw is made again where it hits what is barred; then the noise takes over.
LOOKS = 4


@dataclass(frozen=True)
class Child(Proposal):
    """q = share softmax(child scores / temperature) + (1 - share) even: a small model proposes, and log q is exact.

    After an idea of Moon (2025), a generator that is trained beside the main model; a reconstruction. mode says who
    teaches the child after every step: "co-trained", the training answers at hand, by a softmax over them and `fresh`
    even draws, corrected to stand for all entities; "distilled", the trained model, whose softmax over `fresh` even
    draws the child's is drawn to (in the sense of Kullback and Leibler).

    of: how many entities the softmax ranges over, drawn anew after every step and shared by all questions, so that a
    draw costs `of` small scores per question; 0: all entities. Odds are exact given them.

    What a filter bars is never drawn while anything else can be, which spares drawing again at E small scores for each
    hit; without replacement, repeats still cost that.

    Not here: the mean of the trained model's rows over time (a noise is bound before their width is known, and its
    scores would cost as much as those of the model itself), and a child taken from a finished run.
    """

    model: str = "complex"
    dim: int = 32
    temperature: Curve = Constant(1.0)  # noqa: RUF009 (frozen)
    share: Curve = Constant(0.5)  # noqa: RUF009 (frozen)
    mode: Literal["co-trained", "distilled"] = "co-trained"
    of: int = 0
    fresh: int = 256
    lr: float = 1e-2

    def __post_init__(self) -> None:
        check(self.model, self.dim)
        in_range("[0, 1e9]", of=self.of)
        in_range("[1, 1e6]", fresh=self.fresh)
        in_range("(0, 1e3]", lr=self.lr)
        for end in self.temperature.ends:
            in_range("(0, 1e6]", temperature=end)
        for end in self.share.ends:
            in_range("[0, 1]", share=end)

    @property
    def exact(self) -> bool:
        return True

    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        return ChildDraws(self, graph, device)

    def state_bytes(self, size: Size) -> int:
        dials = Dial.bytes(self.temperature, size) + Dial.bytes(self.share, size)
        return SmallModel.bytes(self.model, self.dim, size) + dials + 8 * min(self.of, size.entities)


class ChildDraws(Proposer):
    """The child on a graph. Persistent buffer: `some` (of,) int64, ascending, the entities that its softmax is over."""

    some: Tensor | None

    def __init__(self, settings: Child, graph: Graph, device: torch.device) -> None:
        super().__init__()
        self.settings, self.num_entities, self.lr = settings, graph.num_entities, settings.lr
        self.small = SmallModel(settings.model, settings.dim, graph, device)
        self.temperature = Dial(settings.temperature, graph, device)
        self.share = Dial(settings.share, graph, device)
        some = self._chosen(generator(derive(0, "child"), device)) if settings.of else None
        self.register_buffer("some", some)

    def _chosen(self, random: torch.Generator) -> Tensor:
        order = torch.randperm(self.num_entities, generator=random, device=random.device)
        return order[: self.settings.of].sort().values

    @torch.no_grad()
    def draw(self, request: Request) -> Tensor:
        random, share = request.random, self.share.at(request.live.epoch)
        even = self._even(request)
        if share == 0:
            return even
        uniform = torch.rand(request.shape, generator=random, device=even.device, dtype=torch.float64)
        rest = (1 - share) * self._open(request)
        vectors = self.small.vectors(request.query)
        ids = [even[:0]]
        for low, logits in self._blocks(vectors, request.live.epoch):
            rows = slice(low, low + len(logits))
            odds = self._unbarred(logits.softmax(1), low, request.barred)
            steps = odds.cumsum(1, dtype=torch.float64)
            # What is barred leaves either part, and so the whole: what is left keeps its proportions.
            mass = share * steps[:, -1:]
            at = uniform[rows] * (mass + rest[rows])
            place = torch.searchsorted(steps, at / share, right=True).clamp_(max=steps.shape[1] - 1)
            ids.append(torch.where(at < mass, place if self.some is None else self.some[place], even[rows]))
        return torch.cat(ids)

    @torch.no_grad()
    def log_q(self, request: Request, ids: Tensor) -> Tensor:
        epoch, even = request.live.epoch, -math.log(self.num_entities)
        share = self.share.at(epoch)
        ids = ids.expand(len(request.query), -1)
        if share == 0:
            return torch.full(ids.shape, even, dtype=torch.float64, device=ids.device)
        asked, which = self.small.distinct(request.query)
        vectors = self.small.vectors(asked)
        log_sum = [logits.logsumexp(1).double() for _, logits in self._blocks(vectors, epoch)]
        own = self.small.scores(vectors[which], ids).double() / self.temperature.at(epoch)
        log_q = own - torch.cat([own.new_zeros(0), *log_sum])[which, None] + math.log(share)
        log_q = log_q.masked_fill(~self._places(ids)[1], -torch.inf)
        return log_q if share == 1 else torch.logaddexp(log_q, log_q.new_tensor(even + math.log1p(-share)))

    def learn(self, query: Query, drawn: Candidates, live: Live, seed: int) -> Tensor | None:
        if len(query) == 0:
            return None
        random = generator(derive(seed, "child"), query.anchor.device)
        fresh = even_draws((1, self.settings.fresh), self.num_entities, random)
        taught = self.settings.mode == "co-trained"
        loss = self._answers(query, fresh) if taught else self._model(query, fresh, live)
        for name, dial in (("share", self.share), ("temperature", self.temperature)):
            dial.learn(self.draw, query, live, derive(seed, name))
        if self.some is not None:
            self.some.copy_(self._chosen(random))
        return loss

    def _answers(self, query: Query, fresh: Tensor) -> Tensor:
        """The mean over targets of -log of their share against even draws, each of which stands for E / fresh."""
        vectors = self.small.vectors(query)
        hits = OwnTarget(self.num_entities).holds(query, fresh)
        rivals = self.small.scores(vectors, fresh).masked_fill(hits, -torch.inf).logsumexp(1)
        rivals = rivals + math.log(self.num_entities / fresh.shape[1])
        own = self.small.scores(vectors[query.row], query.target[:, None]).flatten()
        return (torch.logaddexp(rivals[query.row], own) - own).mean()

    def _model(self, query: Query, fresh: Tensor, live: Live) -> Tensor:
        """The mean over questions of the cross-entropy of the child to the trained model, over even draws."""
        teacher = live.score(query, fresh).softmax(1)
        own = self.small.scores(self.small.vectors(query), fresh).log_softmax(1)
        return -(teacher.to(own.dtype) * own).sum(1).mean()

    def _even(self, request: Request) -> Tensor:
        """Even draws that look past what is barred."""
        ids = even_draws(request.shape, self.num_entities, request.random)
        if request.filter is None:
            return ids
        look = request.look()
        row, place = look(torch.arange(len(ids), device=ids.device)[:, None], ids).nonzero(as_tuple=True)
        for _ in range(LOOKS):
            if len(row) == 0:
                break
            again = even_draws(row.shape, self.num_entities, request.random)
            ids[row, place] = again
            hit = look(row, again)
            row, place = row[hit], place[hit]
        return ids

    def _open(self, request: Request) -> Tensor:
        """(b, 1) float64: the share of the entities that are not barred."""
        num, barred = len(request.query), request.barred
        taken = torch.zeros(num, 1) if barred is None else torch.bincount(barred.row, minlength=num)[:, None]
        return 1 - taken.to(request.query.anchor.device, torch.float64) / self.num_entities

    def _blocks(self, vectors: Tensor, epoch: float) -> Iterator[tuple[int, Tensor]]:
        """(first question, logits (k, n) of the next k questions over what the softmax is over)."""
        rows = self.small.entities if self.some is None else self.small.entities.index_select(0, self.some)
        size, temperature = max(1, BLOCK // len(rows)), self.temperature.at(epoch)
        for low in range(0, len(vectors), size):
            yield low, self.small.model.compare(vectors[low : low + size], rows) / temperature

    def _unbarred(self, odds: Tensor, low: int, barred: Pairs | None) -> Tensor:
        """odds (k, n) of the questions from `low` on, 0 where they are barred."""
        if barred is None:
            return odds
        first, last = torch.searchsorted(barred.row, torch.tensor([low, low + len(odds)], device=odds.device)).tolist()
        place, inside = self._places(barred.entity[first:last])
        return odds.index_put_((barred.row[first:last][inside] - low, place[inside]), odds.new_zeros(()))

    def _places(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Where ids stand among what the softmax is over, and whether they do."""
        if self.some is None:
            return ids, torch.ones_like(ids, dtype=torch.bool)
        place = torch.searchsorted(self.some, ids.contiguous()).clamp_(max=len(self.some) - 1)
        return place, self.some[place] == ids
