"""Objectives and penalties by name."""

from falsum.objectives.base import Objective
from falsum.objectives.logistic import BinaryCrossEntropy, NegativeSampling, SelfAdversarial
from falsum.objectives.margin import MarginRanking, SoftMargin
from falsum.objectives.softmax import SoftmaxCrossEntropy

OBJECTIVES: dict[str, type[Objective]] = {
    "softmax": SoftmaxCrossEntropy,
    "negative-sampling": NegativeSampling,
    "self-adversarial": SelfAdversarial,
    "bce": BinaryCrossEntropy,
    "margin": MarginRanking,
    "soft-margin": SoftMargin,
}

__all__ = ["OBJECTIVES", "Objective", *(cls.__name__ for cls in OBJECTIVES.values())]
