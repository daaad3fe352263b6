"""Mutations by name."""

from falsum.mutations.base import Mix, Mutation
from falsum.mutations.mixup import Mixup

MUTATIONS: dict[str, type[Mutation]] = {"mixup": Mixup}

__all__ = ["MUTATIONS", "Mix", "Mixup", "Mutation"]
