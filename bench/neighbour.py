"""Seconds of training `world` beside a busy process, with idle threads that sleep (falsum's choice) or spin (torch's).

    python bench/neighbour.py

The neighbour is another training, of one thread, in a session of its own, as from another terminal: Linux gives every
session the same share. Each figure is the median of a few short trainings in fresh processes. Spinning is 300,000 times
round before sleep, what torch's GNU OpenMP does when nobody chooses.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from machine import report

TRAINING = """
import sys, falsum
run = falsum.train("world", "default", folder=sys.argv[1], **{"train.epochs": int(sys.argv[2]), "validation.every": 0})
print(run.history()[-1]["seconds"])
"""
NEIGHBOUR = """
import sys, falsum
falsum.train("world", "default", folder=sys.argv[1], **{"train.epochs": 100_000, "validation.every": 0})
"""
WAITING = {"sleep": {}, "spin": {"GOMP_SPINCOUNT": "300000"}}


def seconds(waiting: str, epochs: int) -> float:
    """Seconds of one training, without the start of the process."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", TRAINING, str(Path(folder, "run")), str(epochs)],
            env=os.environ | WAITING[waiting], capture_output=True, text=True, check=True,
        )  # fmt: skip
    return float(done.stdout.split()[-1])


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """That many trainings of one thread, from the second they start until the end of the block."""
    with tempfile.TemporaryDirectory() as folder:
        busy = [
            subprocess.Popen([sys.executable, "-c", NEIGHBOUR, str(Path(folder, str(i)))],
                             env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL,
                             start_new_session=True)
            for i in range(count)
        ]  # fmt: skip
        try:
            while not all(Path(folder, str(i), "metrics.jsonl").exists() for i in range(count)):
                if any(process.poll() is not None for process in busy):
                    raise SystemExit("A neighbour ended before it was asked to.")
                time.sleep(0.5)
            yield
        finally:
            for process in busy:
                process.kill()
                process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    for count in (0, 1):
        runs: dict[str, list[float]] = {waiting: [] for waiting in WAITING}
        with neighbours(count):
            for _ in range(given.repeats):
                for waiting in WAITING:
                    runs[waiting].append(round(seconds(waiting, given.epochs), 2))
        for waiting, values in runs.items():
            report(bench="neighbour", neighbours=count, waiting=waiting, epochs=given.epochs,
                   seconds=statistics.median(values), runs=values)  # fmt: skip


if __name__ == "__main__":
    main()
