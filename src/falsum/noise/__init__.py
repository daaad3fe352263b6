"""Noises by name."""

from falsum.noise.all import All
from falsum.noise.base import Candidates, Live, Noise, Sampler, Size
from falsum.noise.drawn import Composed, Drawn
from falsum.noise.named import (
    Bernoulli,
    BestOf,
    CardinalityAware,
    Degree,
    Frequency,
    InBatch,
    NSCaching,
    PseudoTyped,
    Uniform,
)
from falsum.noise.weighted import Expected, FrequencyWeighted

NOISES: dict[str, type[Noise]] = {
    "all": All,
    "uniform": Uniform,
    "bernoulli": Bernoulli,
    "cardinality-aware": CardinalityAware,
    "frequency": Frequency,
    "degree": Degree,
    "in-batch": InBatch,
    "pseudo-typed": PseudoTyped,
    "best-of": BestOf,
    "nscaching": NSCaching,
    "frequency-weighted": FrequencyWeighted,
    "expected": Expected,
    "composed": Composed,
}

__all__ = [
    "NOISES",
    "All",
    "Bernoulli",
    "BestOf",
    "Candidates",
    "CardinalityAware",
    "Composed",
    "Degree",
    "Drawn",
    "Expected",
    "Frequency",
    "FrequencyWeighted",
    "InBatch",
    "Live",
    "NSCaching",
    "Noise",
    "PseudoTyped",
    "Sampler",
    "Size",
    "Uniform",
]
