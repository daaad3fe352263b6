"""Dial: a setting that follows a curve, with what the curve remembers where it is steered."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from falsum.curves import Curve, Steered
from falsum.graph.graph import Graph, Query
from falsum.noise.base import Live, Size
from falsum.noise.known import KnownAnswers
from falsum.noise.request import Request
from falsum.seeds import generator

# What is looked at after each batch where a curve is steered: questions, and draws for each.
PROBED_QUESTIONS = 128
PROBED_DRAWS = 32
# A gradient is alive above this share of the largest there can be.
ALIVE = 0.05


class Dial(nn.Module):
    """A setting of a proposer. Buffer `state` of a steered curve: its few numbers, float64, so that runs resume."""

    def __init__(self, curve: Curve, graph: Graph, device: torch.device) -> None:
        super().__init__()
        self.curve, self.num_entities = curve, graph.num_entities
        self.known: KnownAnswers | None = None
        if isinstance(curve, Steered):
            self.register_buffer("state", torch.tensor(curve.start, dtype=torch.float64, device=device))
            self.known = KnownAnswers(graph, device) if curve.watched == "known" else None

    def at(self, epoch: float) -> float:
        """The value now."""
        if isinstance(self.curve, Steered):
            return self.curve.value(epoch, tuple(self.get_buffer("state").tolist()))
        return self.curve.at(epoch)

    @torch.no_grad()
    def learn(self, draw: Callable[[Request], Tensor], query: Query, live: Live, seed: int) -> None:
        """Look at fresh draws of the proposer whose setting this is, and move. Costs nothing in an open loop."""
        if not isinstance(self.curve, Steered) or len(query) == 0:
            return
        state = self.get_buffer("state")
        random = generator(seed, state.device)
        rows = torch.randint(len(query), (PROBED_QUESTIONS,), generator=random, device=state.device)
        probe = query.select(rows)
        ids = draw(Request(probe, len(probe), PROBED_DRAWS, probe.target, random, live))
        part, whole = self._known(probe, ids) if self.known else self._alive(live.score(probe, ids), self.curve)
        moved = self.curve.step(live.epoch, tuple(state.tolist()), part, whole)
        state.copy_(torch.tensor(moved, dtype=state.dtype))

    def _known(self, probe: Query, ids: Tensor) -> tuple[float, float]:
        """How many draws are known answers, and how many even draws would be on average."""
        assert self.known is not None
        known = len(self.known.of(probe).row)
        return float(self.known.holds(probe, ids).sum()), known * ids.shape[1] / self.num_entities

    @staticmethod
    def _alive(scores: Tensor, curve: Steered) -> tuple[float, float]:
        """How many scores (b, n) have a gradient to speak of, and how many there are."""
        if curve.watched == "logistic":
            alive = (scores + curve.offset).sigmoid() > ALIVE
        else:
            alive = scores > scores.amax(1, keepdim=True) + math.log(ALIVE)
        return float(alive.sum()), float(alive.numel())

    @staticmethod
    def bytes(curve: Curve, size: Size) -> int:
        """Bytes that a dial of this curve keeps."""
        if not isinstance(curve, Steered):
            return 0
        return 8 * len(curve.start) + (KnownAnswers.bytes(size) if curve.watched == "known" else 0)
