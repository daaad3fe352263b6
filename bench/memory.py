"""Peak resident memory and seconds of training steps and one filtered evaluation with millions of entities.

    python bench/memory.py --entities 1000000 --dim 256
    python bench/memory.py --entities 5000000 --dim 256 --draws 4096 --steps 10 --test 0

With draws a step updates the rows that it touches, and what is kept is the weights and the state of the optimizer:
`peak_over_kept` is the peak beside them, without what the process took before the first table (imports, the graph).
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time

import polars as pl
import torch
from machine import report

from falsum.evaluation.protocol import PROTOCOLS, evaluate
from falsum.graph import Graph
from falsum.recipe.assemble import assemble
from falsum.recipe.settings import read
from falsum.training.loop import Trainer


def peak_gib() -> float:
    """Largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def random_graph(entities: int, relations: int, triples: int, test: int) -> Graph:
    random = torch.Generator().manual_seed(0)
    columns = [torch.randint(n, (triples + test,), generator=random) for n in (entities, relations, entities)]
    rows = torch.stack(columns, 1)
    labels = [pl.Series(range(n)).cast(pl.String) for n in (entities, relations)]
    splits = {"train": rows[:triples], "test": rows[triples:]}
    return Graph("random", splits, *labels, num_base_relations=relations)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entities", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--model", default="complex")
    parser.add_argument("--draws", type=int, default=0, help="entities drawn for each step; 0: all of them")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--test", type=int, default=1000, help="ranked triples; 0: no evaluation")
    arguments = parser.parse_args()
    graph = random_graph(arguments.entities, 100, 2_000_000, arguments.test)
    settings = {
        "model": {"name": arguments.model, "dim": arguments.dim},
        "penalty": [{"name": "n3"}] if arguments.model == "complex" else [],
        "noise": {"name": "uniform", "num": arguments.draws, "shared": "batch"} if arguments.draws else {"name": "all"},
        "train": {"batch_size": arguments.batch},
    }
    before = peak_gib()
    trainer = Trainer(assemble(read(settings), graph))
    kept = sum(p.numel() * 4 for p in trainer.weights.values())
    kept += sum(t.numel() * 4 for t in trainer.updaters["optimizer"].state().values())
    steps = []
    for _ in range(arguments.steps):
        start = time.perf_counter()
        trainer.step()
        steps.append(round(time.perf_counter() - start, 3))
    after_step = peak_gib()
    start = time.perf_counter()
    if arguments.test:
        evaluate(trainer.job.scoring, graph, "test", PROTOCOLS["falsum"])
    report(
        bench="memory",
        entities=arguments.entities,
        dim=arguments.dim,
        batch=arguments.batch,
        step_seconds=steps,
        draws=arguments.draws or "all",
        median_step_seconds=round(statistics.median(steps), 4),
        kept_gib=round(kept / 2**30, 3),
        gib_before=round(before, 3),
        peak_gib_after_steps=round(after_step, 3),
        peak_over_kept=round((after_step - before) / (kept / 2**30), 3),
        whole_peak_over_kept=round(after_step / (kept / 2**30), 3),
        evaluation_queries=2 * arguments.test,
        evaluation_seconds=round(time.perf_counter() - start, 2),
        peak_gib=round(peak_gib(), 2),
    )


if __name__ == "__main__":
    main()
