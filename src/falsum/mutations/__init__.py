"""Mutations by name."""

from falsum.mutations.base import Mix, Mutation
from falsum.mutations.emu import EMU
from falsum.mutations.mixup import Mixup

MUTATIONS: dict[str, type[Mutation]] = {"emu": EMU, "mixup": Mixup}

__all__ = ["MUTATIONS", "Mix", "Mutation", *(cls.__name__ for cls in MUTATIONS.values())]
