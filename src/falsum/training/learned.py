"""Numbers that objectives learn."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from falsum.objectives.base import Learned


class LearnedNumbers:
    """The numbers that one objective learns. A positive one is held as its logarithm."""

    def __init__(self, settings: Mapping[str, Learned], device: torch.device) -> None:
        self.settings = settings
        starts = {name: math.log(s.start) if s.positive else s.start for name, s in settings.items()}
        self.held = {name: nn.Parameter(torch.tensor(start, device=device)) for name, start in starts.items()}

    def values(self) -> dict[str, Tensor]:
        """Every number as the objective reads it, differentiable."""
        return {name: p.exp() if self.settings[name].positive else p for name, p in self.held.items()}

    def listed(self) -> list[tuple[str, nn.Parameter, float]]:
        """(name, parameter, learning rate) of each."""
        return [(name, p, self.settings[name].lr) for name, p in self.held.items()]
