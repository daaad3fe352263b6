"""Mixup of a candidate with the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from falsum.errors import in_range
from falsum.kernels.dropout import uniform_of
from falsum.mutations.base import Mix, Mutation


@dataclass(frozen=True)
class Mixup(Mutation):
    """z = w candidate + (1 - w) target with one w ~ Beta(concentration, 1) per candidate (Zhang et al. 2018, as the
    baseline of Takamoto et al. 2025 has it, there with concentration 2: on average two thirds of the candidate stay).

    An entity that is drawn twice in one step has one w. Labels are not mixed: what a mutated candidate should count for
    is the objective's business (label smoothing).
    """

    concentration: float = 2.0

    only_shares: ClassVar = True

    def __post_init__(self) -> None:
        in_range("(0, 1e6]", concentration=self.concentration)

    def mix(self, ids: Tensor, rows: Tensor, seed: int) -> Mix:
        # The distribution function of Beta(a, 1) is x^a, so u^(1/a) follows it.
        keep = uniform_of(ids, seed).to(rows.dtype).pow(1 / self.concentration)
        return Mix(rows, (1 - keep).unsqueeze(-1))
