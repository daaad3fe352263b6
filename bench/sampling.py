"""Milliseconds of drawing negatives, beside a training step; and the state of every noise at a large size.

    python bench/sampling.py fb15k-237                  # 1,024 x 256 candidates of each side, every named noise
    python bench/sampling.py fb15k-237 --peer "$VENV/bin/python"     # PyKEEN's samplers in the same run

The step is that of ComplEx with 256 reals under self-adversarial negative sampling with the same candidates, fp32;
share is what both draws of a step (one a side) take of it. What a noise learns after a step (caches, generators) is
timed apart. bytes: what it keeps at 10^8 triples, 2 x 10^7 entities, 10^3 relations and 9 x 10^7 questions.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from machine import report

import falsum
from falsum.graph.graph import BOTH_SIDES
from falsum.noise import NOISES, Size
from falsum.recipe.assemble import assemble
from falsum.recipe.parts import build, options
from falsum.recipe.settings import Recipe, read
from falsum.scan.loss import live
from falsum.training.loop import Trainer

LARGE = Size(triples=10**8, entities=2 * 10**7, relations=10**3, questions=9 * 10**7)
LEFT_OUT = {"all", "expected", "composed"}


def recipe(noise: dict[str, Any], batch: int) -> Recipe:
    return read(
        {
            "model": {"name": "complex", "dim": 256},
            "objective": "self-adversarial",
            "noise": noise,
            "train": {"batch_size": batch, "precision": "fp32"},
        }
    )


def median(work: Callable[[], object], repeats: int) -> float:
    """Milliseconds, the first time left out."""
    spent = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        work()
        spent.append(1000 * (time.perf_counter() - begun))
    return statistics.median(spent[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("graph")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--num", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="names of noises")
    parser.add_argument("--peer", help="python of PyKEEN's environment")
    arguments = parser.parse_args()
    graph = falsum.load(arguments.graph)
    plain = Trainer(assemble(recipe({"name": "uniform", "num": arguments.num}, arguments.batch), graph))
    step = median(plain.step, 3)
    report(bench="sampling", graph=graph.name, step_milliseconds=round(step, 1))
    view = live(plain.job.scoring, 1.0)
    queries = [q for i in range(arguments.repeats + 1) for q in plain.batches.at(0, i)]
    for name in arguments.only or [name for name in NOISES if name not in LEFT_OUT]:
        fields = options("noise", name).model_fields
        part = {"name": name, "num": arguments.num} | ({"filtered": True} if "filtered" in fields else {})
        noise = build("noise", recipe(part, arguments.batch).noise)
        sampler = noise.bind(graph, torch.device("cpu"))
        turn = iter(queries)
        draw = median(lambda: sampler.draw(next(turn), 1, view), arguments.repeats)  # noqa: B023
        query = queries[0]
        drawn = sampler.draw(query, 1, view)
        learn = median(lambda: sampler.learn(query, drawn, view, 2), 2)  # noqa: B023
        report(
            bench="sampling",
            graph=graph.name,
            noise=name,
            draw_milliseconds=round(draw, 2),
            share_of_step=round(len(BOTH_SIDES) * draw / step, 4),
            learn_milliseconds=round(learn, 2),
            large_bytes=noise.state_bytes(LARGE),
        )
    if arguments.peer:
        script = Path(__file__).parent / "peers" / "pykeen_bench.py"
        data = str(Path(os.environ["FALSUM_DATA"]) / graph.name)
        command = [arguments.peer, str(script), "sample", "--data", data, "--batch", str(arguments.batch)]
        command += ["--negatives", str(arguments.num), "--threads", str(torch.get_num_threads())]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        print(json.dumps({"bench": "sampling", "peer": json.loads(done.stdout.strip().splitlines()[-1])}))


if __name__ == "__main__":
    main()
