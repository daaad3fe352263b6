"""Seconds of one RotatE training step with sampled negatives, each query's own or shared by the batch.

    python bench/step.py --shared query batch

Defaults: 1000 complex numbers per entity, batch 1024, 256 negatives per query, self-adversarial, Adam, on a random
graph of the size of FB15k-237. A falsum step asks both sides of every triple (2 x 1024 queries); `--one-side` times
half of them, the work of a library that corrupts heads in one half of the batch and tails in the other.
"""

from __future__ import annotations

import argparse
import statistics
import time

import polars as pl
import torch
from machine import report

from falsum.graph import Graph
from falsum.recipe.assemble import assemble
from falsum.recipe.settings import read
from falsum.training.loop import Trainer


def random_graph(entities: int, relations: int, triples: int) -> Graph:
    random = torch.Generator().manual_seed(0)
    columns = [torch.randint(n, (triples,), generator=random) for n in (entities, relations, entities)]
    labels = [pl.Series([str(i) for i in range(n)]) for n in (entities, relations)]
    return Graph("random", {"train": torch.stack(columns, 1)}, *labels, num_base_relations=relations)


def step(shared: str, arguments: argparse.Namespace) -> None:
    graph = random_graph(arguments.entities, arguments.relations, 50 * arguments.batch)
    batch = arguments.batch // 2 if arguments.one_side else arguments.batch
    recipe = read(
        {
            "model": {"name": "rotate", "dim": 2 * arguments.complex},
            "objective": {"name": "self-adversarial", "inverse_temperature": 1.0, "offset": 9.0},
            "noise": {"name": "uniform", "num": arguments.negatives, "shared": shared},
            "optimizer": {"name": "adam", "lr": 5e-5, "lazy": arguments.lazy},
            "train": {"batch_size": batch},
        }
    )
    trainer = Trainer(assemble(recipe, graph))
    seconds = []
    for _ in range(arguments.steps + 2):
        start = time.perf_counter()
        trainer.step()
        seconds.append(time.perf_counter() - start)
    report(
        bench="step",
        model="rotate",
        shared=shared,
        queries=2 * batch,
        negatives=arguments.negatives,
        complex=arguments.complex,
        lazy=arguments.lazy,
        seconds=round(statistics.median(seconds[2:]), 4),
        runs=[round(s, 4) for s in seconds[2:]],
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", nargs="*", default=["query", "batch"])
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--negatives", type=int, default=256)
    parser.add_argument("--complex", type=int, default=1000)
    parser.add_argument("--entities", type=int, default=14541)
    parser.add_argument("--relations", type=int, default=237)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--one-side", action="store_true")
    parser.add_argument("--lazy", action="store_true")
    arguments = parser.parse_args()
    for each in arguments.shared:
        step(each, arguments)
