"""Fixtures for all tests: real graphs where there are any, and no network anywhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before any test imports torch: it lets torch's threads sleep, so that a busy machine does not slow the suite down.
import falsum  # noqa: F401


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test fetches anything."""
    monkeypatch.setenv("FALSUM_OFFLINE", "1")


@pytest.fixture(scope="session")
def falsum_data() -> Path:
    """The folder of real graphs that FALSUM_DATA names."""
    folder = os.environ.get("FALSUM_DATA")
    if not folder:
        pytest.skip("FALSUM_DATA is unset: no real graphs")
    if not Path(folder).is_dir():
        pytest.skip(f"FALSUM_DATA={folder} is not a folder")
    return Path(folder)
