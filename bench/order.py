"""Validation MRR of a recipe with the questions of a triple apart and together (`train.order`), seed by seed.

    python bench/order.py umls --seeds 8
    python bench/order.py wn18rr --seeds 1 --set model.dim=128 --set train.epochs=20

Prints, for every seed and order, the best MRR on validation and the seconds of the steps; test is never read.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from machine import report

import falsum
from falsum.api import recipe as recipe_of
from falsum.recipe.text import parse_setting
from falsum.run.run import Run


def best(graph: falsum.Graph, recipe: falsum.Recipe) -> tuple[float, float]:
    """The best validation MRR of a run, and the seconds that its steps took."""
    with tempfile.TemporaryDirectory() as folder:
        records = list(Run.create(graph, recipe, Path(folder) / "run").train())
    return max(r.metrics["mrr"] for r in records if r.metrics), records[-1].step_seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("graph")
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    arguments = parser.parse_args()
    graph = falsum.load(arguments.graph)
    settings = dict(parse_setting(text) for text in arguments.settings)
    for seed in range(arguments.seeds):
        for order in ("apart", "together"):
            changed = {**settings, "train.seed": seed, "train.order": order}
            mrr, seconds = best(graph, recipe_of(arguments.recipe, graph, **changed))
            report(
                bench="order",
                graph=arguments.graph,
                settings=arguments.settings,
                seed=seed,
                order=order,
                mrr=round(mrr, 4),
                seconds=round(seconds, 1),
            )


if __name__ == "__main__":
    main()
