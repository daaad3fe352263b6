"""Targets of the same batch as candidates."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.graph.graph import Graph
from falsum.noise.base import Size
from falsum.noise.proposals.base import Proposal, Proposer, Sees
from falsum.noise.proposals.odds import CountedDraws, count_odds
from falsum.noise.request import Request


@dataclass(frozen=True)
class Targets(Proposal):
    """Targets of the batch, each drawn with equal odds.

    Over the batches of an epoch that is the unigram noise of the open slot, and log q is taken from its counts, as in
    the correction of Yi et al. 2019. An answer of one question is an accidental hit of another that shares it: filter
    the noise.
    """

    @property
    def sees(self) -> Sees:
        return "batch"

    @property
    def exact(self) -> bool:
        return True

    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        return TargetDraws(count_odds(graph, 1.0), device)

    def state_bytes(self, size: Size) -> int:
        return 48 * size.entities


class TargetDraws(CountedDraws):
    """Draws from the targets at hand, log q from the counts of the slot."""

    def draw(self, request: Request) -> Tensor:
        targets = request.targets
        place = torch.randint(len(targets), request.shape, generator=request.random, device=targets.device)
        return targets[place]
