"""Weightings by name: how much each training triple counts, for each open slot."""

from falsum.graph.weighting.base import Scored, Trained, Weighting, untrained
from falsum.graph.weighting.counts import ERDNS, BackwardCorrection, Equal, Subsampling
from falsum.graph.weighting.scored import TANS, ModelBased

WEIGHTINGS: dict[str, type[Weighting]] = {
    "equal": Equal,
    "backward-correction": BackwardCorrection,
    "subsampling": Subsampling,
    "erdns": ERDNS,
    "model-based": ModelBased,
    "tans": TANS,
}

__all__ = [
    "ERDNS",
    "TANS",
    "WEIGHTINGS",
    "BackwardCorrection",
    "Equal",
    "ModelBased",
    "Scored",
    "Subsampling",
    "Trained",
    "Weighting",
    "untrained",
]
