"""Noises by name."""

from falsum.noise.base import Candidates, Draw, Noise
from falsum.noise.uniform import All, Uniform

NOISES: dict[str, type[Noise]] = {"all": All, "uniform": Uniform}

__all__ = ["NOISES", "All", "Candidates", "Draw", "Noise", "Uniform"]
