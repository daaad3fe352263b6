"""Train `default` or `strong` to the end, evaluate, and append a row to a ledger. An interrupted run goes on.

    python bench/reproduce.py default wn18rr

Published tables have a command of their own: `falsum reproduce`. Seconds are those of training, validations included.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from pathlib import Path
from typing import Any

from machine import machine

import falsum
from falsum.errors import UserError
from falsum.recipe.text import parse_setting
from falsum.run.run import Run

# Test MRR that the recipe is meant to reach.
FLOORS = {
    ("wn18rr", "default"): 0.470,
    ("fb15k-237", "default"): 0.350,
    ("wn18rr", "strong"): 0.485,
    ("fb15k-237", "strong"): 0.362,
}


def row(graph: str, name: str, run: Run, settings: dict[str, Any]) -> dict[str, Any]:
    metrics = run.evaluate("test").metrics()
    last = run.history()[-1]
    floor = FLOORS[graph, name]
    verdict = "reached" if metrics["mrr"] >= floor else f"short by {floor - metrics['mrr']:.4f}"
    return {
        "graph": graph,
        "recipe": name,
        "settings": " ".join(f"{k}={v}" for k, v in settings.items()),
        **{k: round(v, 4) for k, v in metrics.items()},
        "reference": floor,
        "verdict": "settings changed" if settings else verdict,
        "epochs": last["epoch"],
        "train_seconds": round(last["seconds"]),
        "seed": run.recipe.train.seed,
        "recipe_sha256": hashlib.sha256(run.recipe.to_toml().encode()).hexdigest()[:12],
        **machine(),
        "threads": run.environment.threads,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", choices=sorted({name for _, name in FLOORS}))
    parser.add_argument("graph", choices=sorted({graph for graph, _ in FLOORS}))
    parser.add_argument("--set", action="append", default=[], dest="settings", help="key=value, as in falsum train")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--ledger", type=Path, default=Path("results/reproduction.csv"))
    given = parser.parse_args()
    settings = dict(parse_setting(text) for text in given.settings)
    folder = given.runs / "-".join([given.graph, given.recipe, *(f"{k}={v}" for k, v in settings.items())])
    begun = (folder / "recipe.toml").exists()
    try:
        run = falsum.resume(folder) if begun else falsum.train(given.graph, given.recipe, folder=folder, **settings)
    except UserError as error:
        raise SystemExit(str(error)) from None
    entry = row(given.graph, given.recipe, run, settings)
    print(entry, flush=True)
    given.ledger.parent.mkdir(parents=True, exist_ok=True)
    fresh = not given.ledger.exists()
    with given.ledger.open("a", newline="") as file:
        writer = csv.DictWriter(file, entry)
        if fresh:
            writer.writeheader()
        writer.writerow(entry)


if __name__ == "__main__":
    main()
