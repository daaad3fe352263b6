"""Seeds: every random draw is a pure function of (recipe seed, step, purpose), so a resumed run repeats it exactly."""

from __future__ import annotations

import hashlib

import torch


def derive(seed: int, *path: int | str) -> int:
    """A 63-bit seed for one purpose, e.g. derive(recipe.seed, step, "noise"). Independent across paths."""
    text = "/".join(str(part) for part in (seed, *path))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator on `device`."""
    return torch.Generator(device=device).manual_seed(seed)
