"""HAKE beside RotatE: the same reals per entity, the same loss, negatives, batch and epochs, each with its best rate.

    python bench/hake.py run --graph wn18rr              # resumable
    python bench/hake.py table

Self-adversarial weights as both papers have them, draws shared by the batch. The learning rate of each model is chosen
on validation among the same rates. The bound of HAKE's rows is that of its entities' initialiser.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cells import Cell, recipe, rows, run_all

LEDGER = Path("results/hake.csv")
MODELS = ("rotate", "hake")
BOUND = 0.1


def settings(arguments: argparse.Namespace, model: str, lr: float, seed: int) -> dict[str, Any]:
    part: dict[str, Any] = {"name": model, "dim": arguments.dim}
    rows = {"name": "uniform", "low": -BOUND, "high": BOUND}
    if model == "hake":
        part |= {"bound": BOUND, "phase_weight": arguments.phase, "modulus_weight": arguments.modulus}
    return {
        "model": part,
        "objective": {"name": "self-adversarial", "inverse_temperature": 0.5, "offset": arguments.offset},
        "noise": {"name": "uniform", "num": arguments.num, "shared": "batch", "filtered": True},
        "optimizer": {"name": "adam", "lr": lr},
        "init": {"entity": rows, **({"relation": rows} if model == "hake" else {})},
        "train": {"epochs": arguments.epochs, "batch_size": arguments.batch, "precision": "fp32", "seed": seed},
        "validation": {"every": max(1, arguments.epochs // 8), "patience": 0, "queries": 1000},
    }


def cells(arguments: argparse.Namespace) -> Iterator[Cell]:
    keys = ("graph", "dim", "epochs", "num", "offset", "phase", "modulus")
    for lr in arguments.rates:
        for model in arguments.models:
            about = {key: getattr(arguments, key) for key in keys} | {"model": model, "lr": lr, "seed": 0}
            name = "-".join(str(value) for value in about.values())
            yield Cell(name, arguments.graph, recipe(settings(arguments, model, lr, 0)), about)


def table() -> None:
    """The best rate of each model by validation."""
    found = rows(LEDGER)
    print("| graph | model | reals | epochs | lr | valid MRR | test MRR | hits@10 | seconds of steps |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for key in dict.fromkeys((row["graph"], row["model"], row["dim"], row["epochs"]) for row in found):
        own = [row for row in found if (row["graph"], row["model"], row["dim"], row["epochs"]) == key]
        best = max(own, key=lambda row: float(row["valid_mrr"]))
        numbers = (best[k] for k in ("lr", "valid_mrr", "test_mrr", "test_hits@10", "step_seconds"))
        print("|", " | ".join([*key, *numbers]), "|")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("--graph", default="wn18rr")
    run.add_argument("--models", nargs="+", default=MODELS)
    run.add_argument("--dim", type=int, default=200)
    run.add_argument("--num", type=int, default=256)
    run.add_argument("--batch", type=int, default=512)
    run.add_argument("--epochs", type=int, default=40)
    run.add_argument("--offset", type=float, default=6.0)
    run.add_argument("--phase", type=float, default=0.5)
    run.add_argument("--modulus", type=float, default=0.5)
    run.add_argument("--rates", nargs="+", type=float, default=(0.003, 0.001))
    run.add_argument("--runs", type=Path, default=Path("runs/hake"))
    commands.add_parser("table")
    arguments = parser.parse_args()
    if arguments.command == "table":
        table()
    else:
        run_all(cells(arguments), LEDGER, arguments.runs)


if __name__ == "__main__":
    main()
