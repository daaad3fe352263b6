"""A generator that learns to draw what the trained model scores high: KBGAN."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from falsum.curves import Constant, Curve
from falsum.errors import in_range
from falsum.graph.graph import Graph, Query
from falsum.noise.base import Candidates, Live, Size
from falsum.noise.dials import Dial
from falsum.noise.drawing import by_odds
from falsum.noise.known import KnownAnswers
from falsum.noise.proposals.base import Proposal, Proposer
from falsum.noise.proposals.odds import Even
from falsum.noise.proposals.small import SmallModel, check
from falsum.noise.request import Request
from falsum.seeds import derive, generator

# What is left of a candidate that must not be drawn, finite so that its entropy is 0 and not NaN.
BARRED = -1e30


@dataclass(frozen=True)
class Generator(Proposal):
    """Of `of` draws of `pool`, one by the softmax of a small model's scores over `temperature` (Cai & Wang 2018).

    The small model (`model`, `dim`) learns by REINFORCE after every step: one entity per question is drawn as above,
    its reward is the score that the trained model gives it now, and the baseline is the running mean of the rewards
    before it, with weight `memory`.

    The reward sends the generator to unknown truths: nothing scores higher. avoid: what a known training answer costs;
    above: what it costs to score above every answer at hand. entropy: what an even choice earns, per nat. scrub: known
    answers are no choice of the generator's in its lessons either, as they are not where the noise is filtered.

    Deviations: all negatives of a question come from one set of `of` draws, with replacement; the paper takes one, and
    has both models trained before. The baseline moves with every batch; the paper's code has that of the epoch before.
    Costs `of` small scores per question to draw, and as many to learn. The odds of a draw are not known: they depend on
    the set.
    """

    model: str = "complex"
    dim: int = 50
    of: int = 20
    temperature: Curve = Constant(1.0)  # noqa: RUF009 (frozen)
    pool: Proposal = Even()  # noqa: RUF009 (frozen)
    avoid: float = 0.0
    above: float = 0.0
    entropy: float = 0.0
    memory: float = 0.99
    lr: float = 1e-3
    scrub: bool = False

    def __post_init__(self) -> None:
        check(self.model, self.dim)
        in_range("[1, 1e6]", of=self.of)
        in_range("[0, 1e6]", avoid=self.avoid, above=self.above, entropy=self.entropy)
        in_range("[0, 1)", memory=self.memory)
        in_range("(0, 1e3]", lr=self.lr)
        for end in self.temperature.ends:
            in_range("(0, 1e6]", temperature=end)

    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        return Generated(self, graph, device)

    def state_bytes(self, size: Size) -> int:
        own = SmallModel.bytes(self.model, self.dim, size) + Dial.bytes(self.temperature, size)
        return own + self.pool.state_bytes(size) + 16 + (KnownAnswers.bytes(size) if self.avoid or self.scrub else 0)


class Generated(Proposer):
    """The generator on a graph. Persistent buffer: the running sums of rewards and of their weights, (2,) float64."""

    def __init__(self, settings: Generator, graph: Graph, device: torch.device) -> None:
        super().__init__()
        self.settings, self.num_entities, self.lr = settings, graph.num_entities, settings.lr
        self.pool = settings.pool.bind(graph, device)
        self.small = SmallModel(settings.model, settings.dim, graph, device)
        self.temperature = Dial(settings.temperature, graph, device)
        self.known = KnownAnswers(graph, device) if settings.avoid or settings.scrub else None
        self.register_buffer("rewards", torch.zeros(2, dtype=torch.float64, device=device))

    @torch.no_grad()
    def draw(self, request: Request) -> Tensor:
        ids, logits = self._offered(request)
        return ids.gather(1, by_odds(logits.softmax(1), request.num, request.random))

    def learn(self, query: Query, drawn: Candidates, live: Live, seed: int) -> Tensor | None:
        if len(query) == 0:
            return None
        random = generator(derive(seed, "generator"), query.anchor.device)
        barred = self.known if self.settings.scrub else None
        request = Request(query, len(query), 1, query.target, random, live, barred)
        ids, logits = self._offered(request)
        log_odds = logits.log_softmax(1)
        pick = by_odds(log_odds.detach().exp(), 1, random)
        reward = self._reward(query, ids.gather(1, pick), live)
        gain = (reward - self._baseline(reward)).to(log_odds.dtype)
        loss = -(gain * log_odds.gather(1, pick).flatten()).mean()
        if self.settings.entropy:
            loss = loss + self.settings.entropy * (log_odds.exp() * log_odds).sum(1).mean()
        self.temperature.learn(self.draw, query, live, derive(seed, "temperature"))
        below = self.pool.learn(query, drawn, live, derive(seed, "pool"))
        return loss if below is None else loss + below

    def _offered(self, request: Request) -> tuple[Tensor, Tensor]:
        """(b, of) entities to choose among, and the logits of the choice, differentiable."""
        ids = self.pool.draw(replace(request, num=self.settings.of))
        scores = self.small.scores(self.small.vectors(request.query), ids)
        logits = scores / self.temperature.at(request.live.epoch)
        return ids, logits.masked_fill(request.bars(ids), BARRED)

    @torch.no_grad()
    def _reward(self, query: Query, chosen: Tensor, live: Live) -> Tensor:
        """(b,) float64 for chosen (b, 1)."""
        settings = self.settings
        score = live.score(query, chosen).flatten().double()
        reward = score
        if self.known is not None:
            reward = reward - settings.avoid * self.known.holds(query, chosen).flatten()
        if settings.above:
            row = query.row
            alone = torch.arange(len(row), device=row.device)
            each = replace(query, anchor=query.anchor[row], relation=query.relation[row], row=alone)
            answer = live.score(each, query.target[:, None]).flatten().double()
            best = torch.full_like(score, -torch.inf).scatter_reduce(0, row, answer, "amax")
            reward = reward - settings.above * (score > best)
        return reward

    @torch.no_grad()
    def _baseline(self, reward: Tensor) -> Tensor:
        """0-dim: the mean of earlier rewards, those of the batch where it is the first; the batch joins it after."""
        total, weight = self.get_buffer("rewards")
        mean = torch.where(weight > 0, total / weight.clamp(min=1e-300), reward.mean())
        joined = torch.stack([reward.mean(), torch.ones_like(weight)])
        self.get_buffer("rewards").lerp_(joined, 1 - self.settings.memory)
        return mean
