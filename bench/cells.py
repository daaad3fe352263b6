"""Cells of a study: one training each, resumable, one line of a CSV file when it ends."""

from __future__ import annotations

import csv
import datetime
import json
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from machine import machine

import falsum
from falsum.recipe.settings import Recipe, read
from falsum.run.run import Run

MACHINE = ("processor", "threads", "device", "torch", "falsum", "commit")


@dataclass(frozen=True)
class Cell:
    """One training: its name (also its folder), the graph, the recipe, and what the ledger says of it."""

    name: str
    graph: str
    recipe: Recipe
    about: Mapping[str, Any]


@cache
def load(name: str) -> falsum.Graph:
    return falsum.load(name)


def rows(ledger: Path) -> list[dict[str, str]]:
    """The lines of a ledger."""
    if not ledger.exists():
        return []
    with ledger.open(newline="") as file:
        return list(csv.DictReader(file))


def run_all(cells: Iterable[Cell], ledger: Path, runs: Path) -> None:
    """Train every cell that is not in the ledger, in order; what was interrupted goes on."""
    for cell in cells:
        if any(row["cell"] == cell.name for row in rows(ledger)):
            continue
        print(f"{datetime.datetime.now():%H:%M:%S} {cell.name}", flush=True)
        append(ledger, {"cell": cell.name, **cell.about, **train(cell, runs / cell.name)})


def train(cell: Cell, folder: Path) -> dict[str, Any]:
    """Train a cell, or go on; its figures. curve: [step seconds, validation MRR] of every validation."""
    begun = (folder / "recipe.toml").exists()
    run = Run.open(folder) if begun else Run.create(load(cell.graph), cell.recipe, folder)
    if not run.finished:
        for _ in run.train():
            pass
    lines = run.history()
    checked = [line for line in lines if line.get("metrics")]
    curve = [[round(line["step_seconds"], 2), round(line["metrics"]["mrr"], 5)] for line in checked]
    test = run.evaluate("test").metrics()
    return {
        "valid_mrr": max(mrr for _, mrr in curve),
        "test_mrr": round(test["mrr"], 5),
        "test_hits@10": round(test["hits@10"], 5),
        "epochs": lines[-1]["epoch"],
        "step_seconds": round(lines[-1]["step_seconds"], 2),
        "curve": json.dumps(curve),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", *without(sys.argv, "--runs")]),
        **{key: machine()[key] for key in MACHINE},
    }


def without(words: list[str], option: str) -> list[str]:
    """A command without an option and its value: where runs lie on this machine is nobody's business."""
    at = words.index(option) if option in words else len(words)
    return words[:at] + words[at + 2 :]


def append(ledger: Path, row: Mapping[str, Any]) -> None:
    """One more line, whole."""
    before = rows(ledger)
    names = list(before[0]) if before else list(row)
    if set(names) != set(row):
        raise SystemExit(f"{ledger} has other columns: {sorted(set(names) ^ set(row))}")
    ledger.parent.mkdir(parents=True, exist_ok=True)
    with ledger.open("a", newline="") as file:
        writer = csv.DictWriter(file, names)
        if not before:
            writer.writeheader()
        writer.writerow(row)


def recipe(values: Mapping[str, Any]) -> Recipe:
    return read(dict(values))


def at_seconds(row: Mapping[str, str], seconds: float) -> float:
    """The best validation MRR of a cell within so many seconds of steps; 0 before its first validation."""
    return max((mrr for spent, mrr in json.loads(row["curve"]) if spent <= seconds), default=0.0)
