"""Train named recipes to the end, evaluate them, and append a row per run to a ledger. Interrupted runs go on.

    python bench/reproduce.py 'kamigaito2021/wn18rr/complex/*' --runs runs --ledger results/reproduction.csv
    python bench/reproduce.py default --graph wn18rr

A run whose folder is finished is only evaluated. Seconds are those of training, validations included.
"""

from __future__ import annotations

import argparse
import csv
import fnmatch
import hashlib
from pathlib import Path
from typing import Any

from machine import machine

import falsum
from falsum.files import read_json
from falsum.recipe import parse_setting
from falsum.recipes import names, recipe
from falsum.run import Run

# Published test MRR and the distance to it that counts as reproduced, or a floor that the recipe is meant to reach.
TARGETS: dict[tuple[str, str], tuple[float, float]] = {
    ("wn18rr", "kamigaito2021/wn18rr/complex/sce"): (0.463, 0.005),
    ("wn18rr", "kamigaito2021/wn18rr/complex/sce-ls"): (0.477, 0.005),
    ("wn18rr", "kamigaito2021/wn18rr/distmult/sce"): (0.438, 0.005),
    ("wn18rr", "kamigaito2021/wn18rr/distmult/sce-ls"): (0.448, 0.005),
    ("wn18rr", "kamigaito2021/wn18rr/rescal/sce"): (0.451, 0.008),
    ("wn18rr", "kamigaito2021/wn18rr/rescal/sce-ls"): (0.469, 0.008),
    ("fb15k-237", "kamigaito2021/fb15k-237/complex/sce"): (0.300, 0.005),
    ("fb15k-237", "kamigaito2021/fb15k-237/complex/sce-ls"): (0.318, 0.005),
    ("fb15k-237", "kamigaito2021/fb15k-237/distmult/sce"): (0.342, 0.005),
    ("fb15k-237", "kamigaito2021/fb15k-237/distmult/sce-ls"): (0.344, 0.005),
    ("fb15k-237", "kamigaito2021/fb15k-237/rescal/sce"): (0.352, 0.008),
    ("fb15k-237", "kamigaito2021/fb15k-237/rescal/sce-ls"): (0.363, 0.008),
}
FLOORS = {
    ("wn18rr", "default"): 0.470,
    ("fb15k-237", "default"): 0.350,
    ("wn18rr", "strong"): 0.485,
    ("fb15k-237", "strong"): 0.362,
}


def verdict(graph: str, name: str, mrr: float) -> tuple[float | str, str]:
    """(reference, verdict) of a test MRR."""
    if (graph, name) in TARGETS:
        target, band = TARGETS[graph, name]
        return target, "inside" if abs(mrr - target) <= band else f"outside by {abs(mrr - target) - band:.4f}"
    if (graph, name) in FLOORS:
        floor = FLOORS[graph, name]
        return floor, "reached" if mrr >= floor else f"short by {floor - mrr:.4f}"
    return "", ""


def train(graph: str, name: str, folder: Path, settings: dict[str, Any]) -> Run:
    if (folder / "recipe.toml").exists():
        return falsum.resume(folder)
    return falsum.train(graph, name, folder=folder, **settings)


def row(graph: str, name: str, run: Run, settings: dict[str, Any]) -> dict[str, Any]:
    result = run.evaluate("test")
    metrics = result.metrics()
    last = run.history()[-1]
    reference, said = verdict(graph, name, metrics["mrr"]) if not settings else ("", "settings changed")
    return {
        "graph": graph,
        "recipe": name,
        "settings": " ".join(f"{k}={v}" for k, v in settings.items()),
        **{k: round(v, 4) for k, v in metrics.items()},
        "reference": reference,
        "verdict": said,
        "epochs": last["epoch"],
        "train_seconds": round(last["seconds"]),
        "seed": run.recipe.train.seed,
        "recipe_sha256": hashlib.sha256(run.recipe.to_toml().encode()).hexdigest()[:12],
        **machine(),
        "threads": read_json(run.folder / "environment.json")["threads"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pattern", help="recipe name or glob")
    parser.add_argument("--graph", help="for recipes that name no graph")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="key=value, as in falsum train")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--ledger", type=Path, default=Path("results/reproduction.csv"))
    arguments = parser.parse_args()
    settings = dict(parse_setting(text) for text in arguments.settings)
    for name in fnmatch.filter(names(), arguments.pattern):
        graph = name.split("/")[1] if "/" in name else arguments.graph
        recipe(name, falsum.load(graph))  # an unknown name or graph fails before hours are spent
        suffix = "".join(f"-{key}={value}" for key, value in settings.items())
        run = train(graph, name, arguments.runs / f"{graph}-{name.replace('/', '-')}{suffix}", settings)
        entry = row(graph, name, run, settings)
        print(entry, flush=True)
        arguments.ledger.parent.mkdir(parents=True, exist_ok=True)
        fresh = not arguments.ledger.exists()
        with arguments.ledger.open("a", newline="") as file:
            writer = csv.DictWriter(file, entry)
            if fresh:
                writer.writeheader()
            writer.writerow(entry)


if __name__ == "__main__":
    main()
