"""Suspects: drawn candidates that may be true although nobody says so."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from falsum.graph.graph import Graph, Query
from falsum.noise.base import Live, Size


class Detector(nn.Module, ABC):
    """Suspects on a graph. What it keeps is as in `Sampler`."""

    @abstractmethod
    def doubt(self, query: Query, ids: Tensor, live: Live) -> Tensor:
        """(b, n) in [0, 1]: how likely each of ids (c, n) is true; a candidate counts 1 minus its doubt."""


class Suspects(ABC):
    """Settings of a detector."""

    @abstractmethod
    def bind(self, graph: Graph, device: torch.device) -> Detector | None:
        """The detector on this graph; None where nobody is suspected."""

    @abstractmethod
    def state_bytes(self, size: Size) -> int:
        """Bytes that the detector keeps on a graph of this size."""


@dataclass(frozen=True)
class Nobody(Suspects):
    """Every candidate that is no known answer counts as false."""

    def bind(self, graph: Graph, device: torch.device) -> None:
        return None

    def state_bytes(self, size: Size) -> int:
        return 0
