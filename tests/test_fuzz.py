"""A small share of bench/fuzz.py: hostile input ends in an answer or a message, and the campaign can tell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks")

FUZZ = Path(__file__).parent.parent / "bench" / "fuzz.py"


def test_hostile_input_ends_in_an_answer_or_a_message(tmp_path: Path) -> None:
    """In a process of its own: this one has threads, which a fork would lose."""
    command = [sys.executable, FUZZ, "--count", "60", "--alone", "30", "--seed", "0", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\nSee one whole: bench/fuzz.py --seed 0 --replay NUMBER"
    assert done.stdout.rstrip().splitlines()[-1].startswith("60 tries")


def exited(code: int) -> int:
    return code << 8


@pytest.mark.parametrize(
    ("status", "text", "found"),
    [
        (exited(0), "ok", "fine"),
        (exited(2), "Error: no.", "refused"),
        (exited(130), "Interrupted.", "interrupted"),
        (exited(1), "", "traceback"),
        (exited(0), "Exception ignored in: x", "traceback"),
        (exited(2), "Error: x\nTraceback (most recent call last):", "traceback"),
        (exited(2), "thread '<unnamed>' panicked at src/lib.rs", "traceback"),
        (exited(99), "", "broken"),
        (11, "", "abort"),
        (None, "", "hang"),
    ],
)
def test_every_end_has_its_class(monkeypatch: pytest.MonkeyPatch, status: int | None, text: str, found: str) -> None:
    monkeypatch.syspath_prepend(str(FUZZ.parent))
    import fuzz

    assert fuzz.classify(status, text, refuse=False, long=False) == found
    if found in ("fine", "hang"):
        assert fuzz.classify(status, text, refuse=True, long=True) == {"fine": "wrong", "hang": "long"}[found]
