"""How many shared negatives equal 1-vs-all? Validation MRR against the number of draws, plain and corrected by log q.

    python bench/negatives.py run --graph wn18rr --model complex            # resumable; a line per training
    python bench/negatives.py table                                         # Markdown, from the lines

Every training of a graph and model has the recipe below; what changes is the number of uniform entities that a batch
shares (the target joins them in the softmax), and whether each counts E / n times. Epochs are equal; "equal seconds"
reads each curve where 1-vs-all had spent a share of its time. Validation alone is read for the table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cells import Cell, at_seconds, recipe, rows, run_all

LEDGER = Path("results/negatives.csv")
NUMS = (64, 256, 1024, 4096, 128, 512, 2048, 8192)
PENALTY = {"wn18rr": 0.1, "fb15k-237": 0.05}


def settings(graph: str, model: str, noise: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "model": {"name": model, "dim": arguments.dim},
        "objective": "softmax",
        "noise": noise,
        "penalty": [{"name": "n3", "weight": PENALTY.get(graph, 0.05)}],
        "optimizer": {"name": "adagrad", "lr": 0.1},
        "init": {"entity": {"name": "normal", "std": 1e-3}, "relation": {"name": "normal", "std": 1e-3}},
        "train": {"epochs": arguments.epochs, "batch_size": 500, "inverses": True, "precision": "fp32"},
        "validation": {"every": 1, "patience": 0, "queries": 1000},
    }


def cells(arguments: argparse.Namespace) -> Iterator[Cell]:
    wanted: list[tuple[str, int, dict[str, Any]]] = [] if arguments.sampled else [("all", 0, {"name": "all"})]
    for num in arguments.nums:
        for correction in ("refined", "none"):
            noise = {"name": "uniform", "num": num, "shared": "batch", "correction": correction}
            wanted.append((correction, num, noise))
    for correction, num, noise in wanted:
        about = {"graph": arguments.graph, "model": arguments.model, "correction": correction, "num": num}
        name = f"{arguments.graph}-{arguments.model}-{arguments.dim}-{arguments.epochs}epochs-{correction}-{num}"
        yield Cell(name, arguments.graph, recipe(settings(arguments.graph, arguments.model, noise, arguments)), about)


def table() -> None:
    """Validation MRR at equal epochs and at equal seconds, and the number of draws for 95 and 99 % of 1-vs-all."""
    found = rows(LEDGER)
    for graph, model, epochs in dict.fromkeys((row["graph"], row["model"], row["epochs"]) for row in found):
        own = [row for row in found if (row["graph"], row["model"], row["epochs"]) == (graph, model, epochs)]
        whole = next((row for row in own if row["correction"] == "all"), None)
        full = float(whole["valid_mrr"]) if whole else float("nan")
        seconds = float(whole["step_seconds"]) / 2 if whole else 0.0
        print(
            f"\n**{graph}, {model}, {epochs} epochs**: 1-vs-all {full:.4f}\n"
            if whole
            else f"\n**{graph}, {model}, {epochs} epochs**\n"
        )
        print("| draws | E/n times | once | seconds an epoch | in half the time of 1-vs-all: E/n times | once |")
        print("|---:|---:|---:|---:|---:|---:|")
        drawn = {(row["correction"], int(row["num"])): row for row in own}
        for num in sorted(NUMS):
            pair = [drawn.get((correction, num)) for correction in ("refined", "none")]
            if not any(pair):
                continue
            mrr = [f"{float(row['valid_mrr']):.4f}" if row else "not run" for row in pair]
            soon = [f"{at_seconds(row, seconds):.4f}" if row and whole else "not run" for row in pair]
            pace = next(float(row["step_seconds"]) / int(row["epochs"]) for row in pair if row)
            print(f"| {num} | {mrr[0]} | {mrr[1]} | {pace:.1f} | {soon[0]} | {soon[1]} |")
        if whole:
            pace = float(whole["step_seconds"]) / int(whole["epochs"])
            print(f"| all | {full:.4f} | | {pace:.1f} | {at_seconds(whole, seconds):.4f} | |")
        for correction, words in (("refined", "counting E/n times"), ("none", "counting once")) if whole else ():
            least = [least_for(drawn, correction, share * full) for share in (0.95, 0.99)]
            print(f"\nFewest draws tried, {words}: {least[0]} for 95 %, {least[1]} for 99 % of 1-vs-all.")


def least_for(drawn: dict[tuple[str, int], dict[str, str]], correction: str, wanted: float) -> str:
    enough = [n for (kind, n), row in drawn.items() if kind == correction and float(row["valid_mrr"]) >= wanted]
    return str(min(enough)) if enough else "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("--graph", default="wn18rr")
    run.add_argument("--model", default="complex")
    run.add_argument("--dim", type=int, default=128)
    run.add_argument("--epochs", type=int, default=6)
    run.add_argument("--nums", nargs="+", type=int, default=NUMS)
    run.add_argument("--sampled", action="store_true", help="leave 1-vs-all out")
    run.add_argument("--runs", type=Path, default=Path("runs/negatives"))
    commands.add_parser("table")
    arguments = parser.parse_args()
    if arguments.command == "table":
        table()
    else:
        run_all(cells(arguments), LEDGER, arguments.runs)


if __name__ == "__main__":
    main()
