"""What holds for all tests: one thread, known examples of properties, no network, real graphs where there are any."""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# Before anything imports torch. Tests are small: threads that wait for each other cost more than they bring, and
# `make test` keeps each core busy with a process. OMP_NUM_THREADS=2 tries another number.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What torch.compile keeps on disk for the vectors of one processor does not compile for those of another.
if asked := os.environ.get("ATEN_CPU_CAPABILITY"):
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"torchinductor-{asked}"))

# Lets torch's threads sleep, so that a busy machine does not slow the suite down.
import falsum  # noqa: F401

# steady: the same examples every time, so that a law that fails does so for who broke it. random: new ones each time;
# what fails is kept in .hypothesis and tried first from then on.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("random", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


def pytest_collection_finish() -> None:
    """Modules and tests are there to the end: looking through them again and again for garbage takes time."""
    gc.collect()
    gc.freeze()


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
