"""A trained run as the judge of candidates, in the place of the model that is being trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from falsum.graph.graph import Graph, Query
from falsum.noise.base import Candidates, Live, Size
from falsum.noise.proposals.base import Proposal, Proposer, Sees
from falsum.noise.proposals.best import Best
from falsum.noise.request import Request


@dataclass(frozen=True)
class Frozen(Proposal):
    """The draws of `proposal`, with the best weights of the run folder `source` in the place of the present model.

    So a proposal that ranks finds near-misses and neighbours of a pre-trained model (Kotnis & Nastase 2017), or those
    that a small model proposes to a large one. Entities and relations are matched by label; the run must know all.
    """

    source: str = ""
    proposal: Proposal = Best()  # noqa: RUF009 (frozen)

    @property
    def sees(self) -> Sees:
        return self.proposal.sees

    @property
    def exact(self) -> bool:
        return self.proposal.exact

    @property
    def looks(self) -> int:
        return self.proposal.looks

    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        if not self.source:
            raise ValueError("source must name the folder of a trained run")
        return FrozenDraws(self.source, self.proposal.bind(graph, device))

    def state_bytes(self, size: Size) -> int:
        """Beside the weights of the run itself."""
        return self.proposal.state_bytes(size)


class FrozenDraws(Proposer):
    """A proposer that asks a trained run. `take` must come before the first draw."""

    def __init__(self, source: str, inner: Proposer) -> None:
        super().__init__()
        self.source, self.inner, self.lr = source, inner, inner.lr
        self.judge: Live | None = None

    def take(self, trained: Callable[[str], Live]) -> None:
        """Open the run."""
        self.judge = trained(self.source)

    def draw(self, request: Request) -> Tensor:
        return self.inner.draw(replace(request, live=self._live(request.live)))

    def log_q(self, request: Request, ids: Tensor) -> Tensor:
        return self.inner.log_q(replace(request, live=self._live(request.live)), ids)

    def learn(self, query: Query, drawn: Candidates, live: Live, seed: int) -> Tensor | None:
        return self.inner.learn(query, drawn, self._live(live), seed)

    def _live(self, live: Live) -> Live:
        """The run's scores and rows, at the epoch of the training."""
        assert self.judge is not None
        return replace(self.judge, epoch=live.epoch)
