"""Kill a training run with SIGKILL at random moments, resume it each time, and compare with an undisturbed run.

    python bench/kill.py --kills 20
    python bench/kill.py --kills 20 --set noise=nscaching --set objective=infonce --set objective.temperature_lr=0.01

Every kill is also followed by a check that each file of the run folder is readable or not yet there.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from machine import report

from falsum.files import read_json, read_tensors
from falsum.recipe.settings import read_file
from falsum.run.run import Run

FALSUM = [sys.executable, "-m", "falsum"]


def command(folder: Path, arguments: argparse.Namespace) -> list[str]:
    if (folder / "recipe.toml").exists():
        return [*FALSUM, "resume", str(folder)]
    settings = [
        f"train.epochs={arguments.epochs}",
        "checkpoint_minutes=0.01",
        "validation.every=2",
        *arguments.settings,
    ]
    sets = [part for setting in settings for part in ("--set", setting)]
    return [*FALSUM, "train", arguments.graph, "--recipe", arguments.recipe, *sets, "--run", str(folder)]


def unreadable(folder: Path) -> list[str]:
    """Files of a run folder that exist and cannot be read."""
    readers = {".toml": read_file, ".json": read_json, ".safetensors": read_tensors, ".parquet": pl.read_parquet}
    bad = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith(".") and path.suffix in readers:
            try:
                readers[path.suffix](path)  # type: ignore[operator]
            except Exception as error:
                bad.append(f"{path}: {error}")
    if (folder / "recipe.toml").exists():
        Run.open(folder).history()
    return bad


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--graph", default="world")
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], dest="settings", help="settings of the recipe")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as scratch:
        calm, killed = Path(scratch) / "calm", Path(scratch) / "killed"
        start = time.monotonic()
        subprocess.run(command(calm, arguments), check=True, stdout=subprocess.DEVNULL)
        whole = time.monotonic() - start
        kills, bad, finished = 0, [], 0
        while kills < arguments.kills:
            process = subprocess.Popen(command(killed, arguments), stdout=subprocess.DEVNULL)
            try:
                process.wait(chance.uniform(0, whole * 0.6))
                finished += 1  # it was faster than the kill: start over, so that every kill hits a running process
                if digest(killed) != digest(calm):
                    bad.append("a resumed run ended with other weights")
                subprocess.run(["rm", "-r", str(killed)], check=True)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
                bad += unreadable(killed)
        subprocess.run(command(killed, arguments), check=True, stdout=subprocess.DEVNULL)
        same = digest(killed) == digest(calm)
        report(
            bench="kill",
            graph=arguments.graph,
            recipe=arguments.recipe,
            settings=arguments.settings,
            kills=kills,
            finished_runs=finished + 1,
            unreadable=bad,
            identical=same,
            undisturbed_seconds=round(whole, 1),
        )
    sys.exit(0 if same and not bad else 1)


if __name__ == "__main__":
    main()
