"""Objectives and penalties by name."""

from falsum.objectives.base import Objective, Rivals
from falsum.objectives.contrastive import HardContrastive
from falsum.objectives.logistic import BinaryCrossEntropy, NegativeSampling, SelfAdversarial, SoftNegatives
from falsum.objectives.margin import DoubleMargin, MarginRanking, SoftMargin
from falsum.objectives.pointwise import FalseNegativeAware, Focal, GeneralisedBCE, PositiveUnlabelled, TunableMass
from falsum.objectives.softmax import InfoNCE, SoftmaxCrossEntropy, UnboundedLabelSmoothing
from falsum.objectives.squared import Squared

OBJECTIVES: dict[str, type[Objective]] = {
    "softmax": SoftmaxCrossEntropy,
    "unbounded-label-smoothing": UnboundedLabelSmoothing,
    "infonce": InfoNCE,
    "hard-contrastive": HardContrastive,
    "negative-sampling": NegativeSampling,
    "self-adversarial": SelfAdversarial,
    "soft-negatives": SoftNegatives,
    "gbce": GeneralisedBCE,
    "tunable-mass": TunableMass,
    "focal": Focal,
    "false-negative-aware": FalseNegativeAware,
    "positive-unlabelled": PositiveUnlabelled,
    "bce": BinaryCrossEntropy,
    "margin": MarginRanking,
    "soft-margin": SoftMargin,
    "double-margin": DoubleMargin,
    "squared": Squared,
}

__all__ = ["OBJECTIVES", "Objective", "Rivals", *(cls.__name__ for cls in OBJECTIVES.values())]
