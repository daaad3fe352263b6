"""Seconds of one epoch of 1-vs-all ComplEx, 256 reals, softmax over all entities, or over a draw that a step shares.

    python bench/epoch.py wn18rr fb15k-237
    python bench/epoch.py wn18rr fb15k-237 --draws 2048

With grouped queries, `--rows` counts distinct (anchor, relation) rows per step, both sides together, so that a step
does the same work as a batch of that size in a library that trains on grouped rows.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time

from machine import report

import falsum
from falsum.recipe.assemble import assemble
from falsum.recipe.settings import read
from falsum.training.loop import Trainer


def epoch(name: str, rows: int, dim: int, precision: str, grouped: bool, repeats: int, draws: int) -> None:
    graph = falsum.load(name)
    settings = {
        "model": {"name": "complex", "dim": dim},
        "optimizer": {"name": "adagrad", "lr": 0.1},
        "noise": {"name": "uniform", "num": draws, "shared": "batch"} if draws else {"name": "all"},
        "train": {"inverses": True, "grouped": grouped, "precision": precision, "batch_size": 1},
    }
    triples = len(graph.splits["train"])
    sides = [graph.with_inverses().queries(graph.splits["train"], s, grouped=grouped) for s in falsum.graph.graph.Side]
    distinct = sum(len(q) for q in sides)
    batch = math.ceil(triples * rows / distinct)
    recipe = read(settings).changed(**{"train.batch_size": batch})
    trainer = Trainer(assemble(recipe, graph))
    for _ in range(5):  # compile and warm up
        trainer.step()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(trainer.steps_per_epoch):
            trainer.step()
        seconds.append(time.perf_counter() - start)
    report(
        bench="epoch",
        graph=name,
        dim=dim,
        precision=precision,
        grouped=grouped,
        draws=draws or "all",
        rows_per_epoch=distinct,
        steps=trainer.steps_per_epoch,
        seconds=round(statistics.median(seconds), 3),
        runs=[round(s, 3) for s in seconds],
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("graphs", nargs="*", default=["world"])
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--ungrouped", action="store_true")
    parser.add_argument("--draws", type=int, default=0, help="entities drawn for each step; 0: all of them")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    for graph in arguments.graphs:
        epoch(
            graph,
            arguments.rows,
            arguments.dim,
            arguments.precision,
            not arguments.ungrouped,
            arguments.repeats,
            arguments.draws,
        )
