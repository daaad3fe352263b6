"""Mutations by name."""

from falsum.mutations.base import Mix, Mutation, Spread
from falsum.mutations.cutmix import CutMix
from falsum.mutations.demix import DeMix
from falsum.mutations.emu import EMU, EMUAnnealed, EMUNormal
from falsum.mutations.gaussian import GaussianNoise
from falsum.mutations.mixkg import MixKG
from falsum.mutations.mixup import Mixup

MUTATIONS: dict[str, type[Mutation]] = {
    "emu": EMU,
    "emu-normal": EMUNormal,
    "emu-annealed": EMUAnnealed,
    "mixup": Mixup,
    "cutmix": CutMix,
    "mixkg": MixKG,
    "gaussian": GaussianNoise,
    "demix": DeMix,
}

__all__ = ["MUTATIONS", "Mix", "Mutation", "Spread", *(cls.__name__ for cls in MUTATIONS.values())]
