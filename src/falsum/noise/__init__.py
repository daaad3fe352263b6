"""Noises by name."""

from falsum.noise.base import Candidates, Live, Noise, Sampler
from falsum.noise.frequency import Expected, Frequency, FrequencyWeighted
from falsum.noise.live import BestOf, NSCaching
from falsum.noise.uniform import All, Uniform

NOISES: dict[str, type[Noise]] = {
    "all": All,
    "uniform": Uniform,
    "frequency": Frequency,
    "frequency-weighted": FrequencyWeighted,
    "expected": Expected,
    "best-of": BestOf,
    "nscaching": NSCaching,
}

__all__ = [
    "NOISES",
    "All",
    "BestOf",
    "Candidates",
    "Expected",
    "Frequency",
    "FrequencyWeighted",
    "Live",
    "NSCaching",
    "Noise",
    "Sampler",
    "Uniform",
]
