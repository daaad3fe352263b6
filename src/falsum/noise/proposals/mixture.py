"""Two proposals together: some draws of each."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from falsum.curves import Constant, Curve
from falsum.errors import in_range
from falsum.graph.graph import Graph, Query
from falsum.noise.base import Candidates, Live, Size
from falsum.noise.dials import Dial
from falsum.noise.proposals.base import Proposal, Proposer, Sees, more
from falsum.noise.proposals.odds import Even
from falsum.noise.request import Request
from falsum.seeds import derive


@dataclass(frozen=True)
class Mixture(Proposal):
    """A share of the draws by `second`, the others by `first`.

    share: in [0, 1], a number or a curve. The counts of a row are the share of its draws, rounded by chance, so that
    the odds of every draw are exactly (1 - share) first + share second.
    """

    first: Proposal = Even()  # noqa: RUF009 (frozen)
    second: Proposal = Even()  # noqa: RUF009 (frozen)
    share: Curve = Constant(0.5)  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        for end in self.share.ends:
            in_range("[0, 1]", share=end)

    @property
    def sees(self) -> Sees:
        return more(self.first.sees, self.second.sees)

    @property
    def exact(self) -> bool:
        return self.first.exact and self.second.exact

    @property
    def looks(self) -> int:
        return max(self.first.looks, self.second.looks)

    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        return Mixed(self.first.bind(graph, device), self.second.bind(graph, device), Dial(self.share, graph, device))

    def state_bytes(self, size: Size) -> int:
        return self.first.state_bytes(size) + self.second.state_bytes(size) + Dial.bytes(self.share, size)


class Mixed(Proposer):
    """The draws of two proposers side by side."""

    def __init__(self, first: Proposer, second: Proposer, share: Dial) -> None:
        super().__init__()
        self.first, self.second, self.share = first, second, share
        self.lr = next((part.lr for part in (first, second) if any(True for _ in part.parameters())), first.lr)

    def draw(self, request: Request) -> Tensor:
        wanted = request.num * self.share.at(request.live.epoch)
        sure = min(request.num, math.floor(wanted + 1e-9))
        chance = max(0.0, wanted - sure)
        open_ = chance > 1e-9  # one more column, whose rows go to either
        second = drawn(self.second, request, sure + open_)
        first = drawn(self.first, request, request.num - sure)
        if not open_:
            return torch.cat([first, second], 1)
        coin = torch.rand(request.rows, generator=request.random, device=second.device) < chance
        last = torch.where(coin, second[:, -1], first[:, -1])
        return torch.cat([first[:, :-1], second[:, :-1], last[:, None]], 1)

    def log_q(self, request: Request, ids: Tensor) -> Tensor:
        share = self.share.at(request.live.epoch)
        parts = [self.first.log_q(request, ids), self.second.log_q(request, ids)]
        if share in (0.0, 1.0):
            return parts[int(share)]
        return torch.logaddexp(parts[0] + math.log1p(-share), parts[1] + math.log(share))

    def learn(self, query: Query, drawn: Candidates, live: Live, seed: int) -> Tensor | None:
        values = [part.learn(query, drawn, live, derive(seed, i)) for i, part in enumerate((self.first, self.second))]
        self.share.learn(self.draw, query, live, derive(seed, "share"))
        losses = [value for value in values if value is not None]
        return torch.stack(losses).sum() if losses else None


def drawn(proposer: Proposer, request: Request, num: int) -> Tensor:
    """`num` draws for each row. None cost nothing: a share of 0 asks no model."""
    if num == 0:
        return request.query.anchor.new_empty(request.rows, 0)
    return proposer.draw(replace(request, num=num))
