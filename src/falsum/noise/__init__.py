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
from falsum.noise.named_learned import KBGAN, Child, Curriculum, StatedFalse
from falsum.noise.structural import (
    Concepts,
    KHop,
    RandomWalk,
    Relational,
    TypeConstrained,
    Typed,
    TypeExcluded,
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
    "kbgan": KBGAN,
    "child": Child,
    "curriculum": Curriculum,
    "stated-false": StatedFalse,
    "frequency-weighted": FrequencyWeighted,
    "expected": Expected,
    "composed": Composed,
    "type-constrained": TypeConstrained,
    "typed": Typed,
    "type-excluded": TypeExcluded,
    "relational": Relational,
    "concepts": Concepts,
    "k-hop": KHop,
    "random-walk": RandomWalk,
}

__all__ = [
    "KBGAN",
    "NOISES",
    "All",
    "Bernoulli",
    "BestOf",
    "Candidates",
    "CardinalityAware",
    "Child",
    "Composed",
    "Concepts",
    "Curriculum",
    "Degree",
    "Drawn",
    "Expected",
    "Frequency",
    "FrequencyWeighted",
    "InBatch",
    "KHop",
    "Live",
    "NSCaching",
    "Noise",
    "PseudoTyped",
    "RandomWalk",
    "Relational",
    "Sampler",
    "Size",
    "StatedFalse",
    "TypeConstrained",
    "TypeExcluded",
    "Typed",
    "Uniform",
]
