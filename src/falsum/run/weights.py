"""The tensors of a file against those of a model or a training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from falsum.errors import UserError
from falsum.scan.scoring import Scorer


def load(scoring: Scorer, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy tensors read from a file into a model. Raises UserError when they are not those of this model."""
    targets = scoring.tensors()
    if wrong := misfits(tensors, targets):
        raise UserError(f"{path} does not fit the recipe and graph beside it: {'; '.join(wrong)}.")
    for name, target in targets.items():
        target.detach().copy_(tensors[name])


def misfits(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """Where tensors are not there, or have another shape or type than wanted, in words."""
    return [
        f"{name} was {_told(tensors.get(name))} and is {_told(value)}"
        for name, value in wanted.items()
        if name not in tensors or (tensors[name].shape, tensors[name].dtype) != (value.shape, value.dtype)
    ]


def _told(tensor: Tensor | None) -> str:
    if tensor is None:
        return "not there"
    dtype = "" if tensor.dtype is torch.float32 else f" of {str(tensor.dtype).removeprefix('torch.')}"
    return f"{list(tensor.shape)}{dtype}"
