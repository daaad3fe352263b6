"""What a mutated term costs: a step with it over a step without, of the same layout, and the memory that it adds.

    python bench/mutation.py fb15k-237 --models distmult complex transe rotate hake --layouts shared own all

The vanilla step has one term, softmax cross-entropy. The mutated step has two, EMU with unbounded label smoothing and
the vanilla one, on the same candidates. Ratios are of the medians of steps that take turns in one process; the memory
is the peak of what a step adds to the process, each measured in a fresh one (Linux).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from machine import machine

import falsum
from falsum.recipe.assemble import assemble
from falsum.recipe.settings import Recipe, read
from falsum.training.loop import Trainer

LAYOUTS = {
    "shared": {"name": "uniform", "shared": "batch"},
    "own": {"name": "uniform", "shared": "query"},
    "all": {"name": "all"},
}
PLAIN = {"name": "softmax"}


def recipe(arguments: argparse.Namespace, model: str, layout: str, mutated: bool) -> Recipe:
    wide = 2 if model in ("complex", "rotate", "hake") else 1
    noise = LAYOUTS[layout] | ({} if layout == "all" else {"num": arguments.num})
    values: dict[str, Any] = {
        "model": {"name": model, "dim": wide * arguments.dim},
        "noise": noise,
        "objective": PLAIN,
        "train": {"batch_size": arguments.batch, "precision": "fp32", "grouped": False},
    }
    if mutated:
        values |= {
            "objective": {"name": "unbounded-label-smoothing"},
            "mutation": {"name": "emu"},
            "terms": [{"objective": PLAIN, "weight": 0.7}],
        }
    return read(values)


def times(arguments: argparse.Namespace, model: str, layout: str) -> tuple[float, float]:
    """Median seconds of a vanilla and of a mutated step, which take turns."""
    graph = falsum.load(arguments.graph)
    trainers = [Trainer(assemble(recipe(arguments, model, layout, mutated), graph)) for mutated in (False, True)]
    found: list[list[float]] = [[], []]
    for turn in range(arguments.steps + 2):
        for trainer, own in zip(trainers, found, strict=True):
            began = time.perf_counter()
            trainer.step()
            if turn > 1:  # the first ones compile
                own.append(time.perf_counter() - began)
    plain, mutated = (statistics.median(own) for own in found)
    return plain, mutated


def peak(arguments: argparse.Namespace, model: str, layout: str, mutated: bool) -> float:
    """MiB that two steps add at their peak to a process that has the tables: what is freed may stay with a process."""
    trainer = Trainer(assemble(recipe(arguments, model, layout, mutated), falsum.load(arguments.graph)))
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = status("VmRSS")
    for _ in range(2):
        trainer.step()
    return (status("VmHWM") - before) / 1024


def status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("graph", nargs="?", default="fb15k-237")
    parser.add_argument("--models", nargs="+", default=["distmult", "complex", "transe", "rotate", "hake"])
    parser.add_argument("--layouts", nargs="+", default=list(LAYOUTS), choices=LAYOUTS)
    parser.add_argument("--dim", type=int, default=100, help="complex numbers or pairs count once")
    parser.add_argument("--num", type=int, default=256)
    parser.add_argument("--batch", type=int, default=500, help="triples per step; both sides are asked")
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--memory", action="store_true", help="also the memory, in fresh processes")
    parser.add_argument("--one", choices=("plain", "mutated"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        (model,), (layout,) = arguments.models, arguments.layouts
        print(json.dumps(peak(arguments, model, layout, arguments.one == "mutated")))
        return
    print(f"{machine()['processor']}, {torch.get_num_threads()} threads, {arguments.batch} x 2 x {arguments.num}")
    print("| model | layout | vanilla ms | mutated ms | ratio | memory of a step, MiB | mutated |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for model in arguments.models:
        for layout in arguments.layouts:
            plain, mutated = times(arguments, model, layout)
            memory = ["", ""]
            if arguments.memory:
                own = ["--models", model, "--layouts", layout, "--one"]
                command = [sys.executable, *without(sys.argv), *own]
                memory = [
                    subprocess.run([*command, one], capture_output=True, text=True, check=True).stdout.split()[-1]
                    for one in ("plain", "mutated")
                ]
                memory = [f"{float(x):.0f}" for x in memory]
            print(
                f"| {model} | {layout} | {1e3 * plain:.1f} | {1e3 * mutated:.1f} | {mutated / plain:.2f} | "
                f"{memory[0]} | {memory[1]} |",
                flush=True,
            )


def without(words: list[str]) -> list[str]:
    """A command line without what chooses models and layouts."""
    kept, skipping = [], False
    for word in words:
        skipping = word in ("--models", "--layouts", "--memory") or (skipping and not word.startswith("--"))
        if not skipping:
            kept.append(word)
    return kept


if __name__ == "__main__":
    main()
