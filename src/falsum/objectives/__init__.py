"""Objectives and penalties by name."""

from falsum.objectives.base import Objective, Rivals
from falsum.objectives.logistic import BinaryCrossEntropy, NegativeSampling, SelfAdversarial
from falsum.objectives.margin import MarginRanking, SoftMargin
from falsum.objectives.softmax import InfoNCE, SoftmaxCrossEntropy

OBJECTIVES: dict[str, type[Objective]] = {
    "softmax": SoftmaxCrossEntropy,
    "infonce": InfoNCE,
    "negative-sampling": NegativeSampling,
    "self-adversarial": SelfAdversarial,
    "bce": BinaryCrossEntropy,
    "margin": MarginRanking,
    "soft-margin": SoftMargin,
}

__all__ = ["OBJECTIVES", "Objective", "Rivals", *(cls.__name__ for cls in OBJECTIVES.values())]
