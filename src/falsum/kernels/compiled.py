"""torch.compile where it can work, the same function eagerly elsewhere (said once)."""

from __future__ import annotations

import functools
import os
import shutil
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Below this many elements a call is cheaper than the seconds that compiling it costs.
WORTH_COMPILING = 1 << 20


@functools.cache
def can_compile(device_type: str) -> bool:
    """Whether torch.compile can produce code for the device; FALSUM_COMPILE=0 turns it off."""
    if os.environ.get("FALSUM_COMPILE", "1") == "0":
        return False
    if device_type == "cuda":
        found = torch.cuda.is_available() and torch.cuda.get_device_capability() >= (7, 0)
        missing = "a GPU of compute capability 7.0"
    else:
        found = shutil.which(os.environ.get("CXX", "g++")) is not None or shutil.which("clang++") is not None
        missing = "a C++ compiler"
    if not found:
        warnings.warn(f"{missing} was not found: fused kernels run as plain (slower) blocks", stacklevel=2)
    return found


def largest(*args: Any) -> int:
    """Elements of the largest tensor."""
    return max(x.numel() for x in args if isinstance(x, Tensor))


def fused(function: Callable[..., Any], work: Callable[..., int] = largest) -> Callable[..., Any]:
    """`function` of tensors, compiled for large inputs when the device allows it. work: elements that it computes.

    The choice depends on sizes and on the machine only, so a resumed run makes the same one.
    """
    built: list[Callable[..., Any]] = []

    @functools.wraps(function)
    def call(first: Tensor, *rest: Any) -> Any:
        if work(first, *rest) < WORTH_COMPILING or not can_compile(first.device.type):
            return function(first, *rest)
        if not built:
            built.append(torch.compile(function, dynamic=True))
        return built[0](first, *rest)

    return call
