"""What a benchmark ran on: printed with every figure."""

from __future__ import annotations

import json
from typing import Any

import torch

import falsum
from falsum.reproduce.checkout import commit
from falsum.run.machine import processor


def machine() -> dict[str, Any]:
    """Processor, threads, device, versions and commit."""
    return {
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "torch": torch.__version__,
        "falsum": falsum.__version__,
        "commit": commit(),
    }


def report(**figures: Any) -> None:
    """Print one JSON line."""
    print(json.dumps({**figures, **machine()}), flush=True)
