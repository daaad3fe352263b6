"""Scores of each query's own draws, value and gradient: gathered row by row, or picked from the products with all.

    python bench/draws.py

The ratio is gathered / picked. The library takes the faster one by `falsum.scan.picked.PRODUCTS_PER_ROW`.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from typing import Any

import torch
from machine import report
from torch import Tensor

from falsum.kernels.compare import DOT
from falsum.rows.table import Table
from falsum.scan.gathered import gathered_scores
from falsum.scan.picked import pays, picked_scores


def seconds(compute: Callable[[], Tensor], rounds: int) -> float:
    compute().sum().backward()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        compute().sum().backward()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queries", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    for num_entities, width in ((14541, 256), (40943, 128)):
        table = Table(num_entities, width)
        torch.nn.init.normal_(table.values)
        query = torch.randn(arguments.queries, width, requires_grad=True)
        for dtype, num in itertools.product((torch.bfloat16, torch.float32), (32, 64, 128, 256, 512, 1024)):
            report(**measure(table, query, num, dtype, arguments.rounds))


def measure(table: Table, query: Tensor, num: int, dtype: torch.dtype, rounds: int) -> dict[str, Any]:
    ids = torch.randint(table.num, (len(query), num))
    gathered = seconds(lambda: gathered_scores(DOT, query, table, ids, 0.0, 1, dtype), rounds)
    picked = seconds(lambda: picked_scores(query, table, ids, 0.0, 1, dtype), rounds)
    return {
        "bench": "draws",
        "entities": table.num,
        "width": table.width,
        "queries": len(query),
        "draws": num,
        "dtype": str(dtype),
        "gathered_seconds": round(gathered, 5),
        "picked_seconds": round(picked, 5),
        "ratio": round(gathered / picked, 2),
        "taken": "picked" if pays(table.num, num, dtype) else "gathered",
    }


if __name__ == "__main__":
    main()
