"""Makes tests/ importable whichever folder pytest is pointed at."""

import sys
from pathlib import Path

import pytest

TESTS = str(Path(__file__).parents[1])
if TESTS not in sys.path:
    sys.path.insert(0, TESTS)


def pytest_configure(config: pytest.Config) -> None:
    # Said once per process where there is no compiler; the laws hold on the plain blocks too.
    config.addinivalue_line("filterwarnings", r"ignore:a C\+\+ compiler was not found")
