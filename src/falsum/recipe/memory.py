"""Whether a job fits into memory, asked before it takes any."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from falsum.errors import UserError

GIB, MIB = 1 << 30, 1 << 20


def refuse_too_large(parts: dict[str, int], device: torch.device) -> None:
    """parts: what is kept, in words -> bytes. Raises UserError with the largest when all of it is more than is free."""
    free, needed = free_bytes(device), sum(parts.values())
    if free is None or needed <= free:
        return
    largest = max(parts, key=lambda name: parts[name])
    raise UserError(
        f"This recipe needs {needed / GIB:,.1f} GiB of memory, {parts[largest] / GIB:,.1f} GiB of it for {largest}; "
        f"{free / GIB:,.1f} GiB are free. Lower model.dim, train.batch_size or noise.num."
    )


def told(parts: Mapping[str, int]) -> str:
    """All of it in words, with the largest."""
    largest = max(parts, key=lambda name: parts[name])
    return f"{sum(parts.values()) / MIB:,.0f} MiB, {parts[largest] / MIB:,.0f} MiB of it for {largest}"


def free_bytes(device: torch.device) -> int | None:
    """Bytes that can still be taken on a device; None where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) << 10
    except (OSError, KeyError, ValueError):
        return None
