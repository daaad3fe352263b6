"""Noises by name."""

from falsum.noise.base import Candidates, Draw, Noise
from falsum.noise.frequency import Expected, Frequency, FrequencyWeighted
from falsum.noise.uniform import All, Uniform

NOISES: dict[str, type[Noise]] = {
    "all": All,
    "uniform": Uniform,
    "frequency": Frequency,
    "frequency-weighted": FrequencyWeighted,
    "expected": Expected,
}

__all__ = [
    "NOISES",
    "All",
    "Candidates",
    "Draw",
    "Expected",
    "Frequency",
    "FrequencyWeighted",
    "Noise",
    "Uniform",
]
