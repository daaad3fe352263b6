"""Makes tests/ importable whichever folder pytest is pointed at, and keeps small tensors on one thread."""

import sys
from pathlib import Path

import pytest
import torch

TESTS = str(Path(__file__).parents[1])
if TESTS not in sys.path:
    sys.path.insert(0, TESTS)

# Threads that wait for each other on a busy machine cost milliseconds per operation of microseconds.
torch.set_num_threads(1)


def pytest_configure(config: pytest.Config) -> None:
    # Said once per process where there is no compiler; the laws hold on the plain blocks too.
    config.addinivalue_line("filterwarnings", r"ignore:a C\+\+ compiler was not found")
