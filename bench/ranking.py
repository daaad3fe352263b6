"""Seconds of a filtered ranking of the test split, both sides, with random ComplEx weights or those of a run.

python bench/ranking.py fb15k-237 --dim 256
python bench/ranking.py fb15k-237 --run runs/fb --export weights.npz     # for bench/peers/pykeen_bench.py rank
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
from machine import report

import falsum
from falsum.evaluation.metrics import metrics
from falsum.evaluation.protocol import PROTOCOLS, evaluate
from falsum.recipe.assemble import assemble
from falsum.recipe.settings import read
from falsum.run.run import Run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("graph", nargs="?", default="world")
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--run", type=Path, help="take graph and weights (a ComplEx without inverses) from a run")
    parser.add_argument("--export", type=Path, help="write the weights as NPZ")
    parser.add_argument("--protocol", default="falsum", choices=list(PROTOCOLS))
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.run:
        run = Run.open(arguments.run)
        graph, scoring = run.graph, run.scoring
    else:
        graph = falsum.load(arguments.graph)
        normal = {"name": "normal", "std": 0.1}
        settings = {
            "model": {"name": "complex", "dim": arguments.dim},
            "init": {"entity": normal, "relation": normal},
        }
        scoring = assemble(read(settings), graph).scoring
    if arguments.export:
        np.savez(
            arguments.export,
            entity=scoring.entities.weight.detach().numpy(),
            relation=scoring.relations.weight.detach().numpy(),
            entity_labels=graph.entities.to_numpy().astype(str),
            relation_labels=graph.relations.to_numpy().astype(str),
        )
    seconds = []
    for _ in range(arguments.repeats + 1):
        start = time.perf_counter()
        result = evaluate(scoring, graph, "test", PROTOCOLS[arguments.protocol])
        seconds.append(time.perf_counter() - start)
    report(
        bench="ranking",
        graph=graph.name,
        dim=scoring.model.dim,
        protocol=arguments.protocol,
        queries=len(result.frame),
        mrr=metrics(result.frame)["mrr"],
        seconds=round(statistics.median(seconds[1:]), 4),
        first=round(seconds[0], 4),
        runs=[round(s, 4) for s in seconds[1:]],
    )


if __name__ == "__main__":
    main()
