"""DeMix: candidates that look true are mixed with the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from falsum.errors import in_range
from falsum.mutations.base import Mix, Mutation
from falsum.mutations.mixup import Mixup


@dataclass(frozen=True)
class DeMix(Mutation):
    """Candidates that score above the target minus `margin` may be true: they are mixed with it as in `Mixup`, the
    others stay (after Chen et al. 2023).

    A reconstruction from the idea, for no code was published: their negatives that are surely false are mixed with hard
    ones besides (`MixKG` as a further term), and labels are mixed with rows (here the label of a loss such as
    `soft-negatives`). The model judges from the first step on; they let it learn first.
    """

    margin: float = 0.0
    concentration: float = 2.0

    selective: ClassVar = True

    def __post_init__(self) -> None:
        in_range("[-1e6, 1e6]", margin=self.margin)
        in_range("(0, 1e6]", concentration=self.concentration)

    def mix(self, ids: Tensor, rows: Tensor, seed: int) -> Mix:
        return Mixup(self.concentration).mix(ids, rows, seed)

    def chosen(self, scores: Tensor, positive: Tensor) -> Tensor:
        return scores > positive[:, None] - self.margin
