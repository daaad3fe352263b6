"""Proposal: how candidates are drawn. Proposer: a proposal on a graph, with whatever it keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from falsum.graph.graph import Graph, Query
from falsum.noise.base import Candidates, Live, Size
from falsum.noise.known import Look
from falsum.noise.request import Request

# What the odds of a proposal may depend on, each more than the one before it.
Sees = Literal["nothing", "slot", "batch", "query"]
ORDER: tuple[Sees, ...] = ("nothing", "slot", "batch", "query")


class Proposer(nn.Module, ABC):
    """Draws entities for questions. Buffers and parameters as in `Sampler`; lr is that of its own parameters."""

    lr: float = 1e-3

    @abstractmethod
    def draw(self, request: Request) -> Tensor:
        """(rows, num) int64 entities, each drawn by its own chance."""

    def log_q(self, request: Request, ids: Tensor) -> Tensor:
        """The log-probability that one draw for a row is ids[row, j], float, -inf where it cannot be.

        ids: (rows, n) or (1, n); so is the result, or (rows, n) of (1, n). Only asked of proposals that are `exact`.
        """
        raise NotImplementedError

    def learn(self, query: Query, drawn: Candidates, live: Live, seed: int) -> Tensor | None:
        """See `Sampler.learn`."""
        return None


class Proposal(ABC):
    """Settings of a proposal.

    sees: what its odds depend on. Draws can be shared among questions only where they do not depend on the question.
    exact: whether the probability of every draw is known, as corrections of a loss need it. looks: how many entities
    are looked at for each draw, the others let go: they take memory while it is made.
    """

    @property
    def sees(self) -> Sees:
        return "query"

    @property
    def exact(self) -> bool:
        return False

    @property
    def looks(self) -> int:
        return 1

    @abstractmethod
    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        """The proposal on this graph. Raises ValueError when it cannot draw from the graph."""

    @abstractmethod
    def state_bytes(self, size: Size) -> int:
        """Bytes that its proposer keeps on a graph of this size."""


def past(proposer: Proposer, sees: Sees, request: Request, ids: Tensor, look: Look, turns: int) -> Tensor:
    """(b, n) bool: what is barred still of own draws ids (b, n), drawn again in place `turns` times."""
    barred = look(torch.arange(len(ids), device=ids.device)[:, None], ids)
    where = barred.nonzero(as_tuple=True)
    for _ in range(turns):
        if len(where[0]) == 0:
            break
        drawn = once(proposer, sees, request, where[0])
        hit = look(where[0], drawn)
        ids.index_put_(where, drawn)
        barred.index_put_(where, hit)
        where = (where[0][hit], where[1][hit])
    return barred


def once(proposer: Proposer, sees: Sees, request: Request, rows: Tensor) -> Tensor:
    """(k,): one more draw for each of the rows (k,), which may repeat."""
    again = request.single(rows) if sees == "query" else replace(request, rows=len(rows), num=1)
    return proposer.draw(again).flatten()


def more(*seen: Sees) -> Sees:
    """What is seen by whatever is put together of parts that see so much."""
    return max(seen, key=ORDER.index)
