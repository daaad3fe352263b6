"""What a benchmark ran on: printed with every figure."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import torch

import falsum
from falsum.process import processor


def machine() -> dict[str, Any]:
    """Processor, threads, device, versions and commit."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False)
    return {
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "torch": torch.__version__,
        "falsum": falsum.__version__,
        "commit": commit.stdout.strip(),
    }


def report(**figures: Any) -> None:
    """Print one JSON line."""
    print(json.dumps({**figures, **machine()}), flush=True)
