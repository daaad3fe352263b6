"""Scores of each query's own draws, value and gradient: gathered row by row, or picked from the products with all.

    python bench/draws.py

The ratio is gathered / picked. The library takes the faster one by `falsum.kernels.picked.PRODUCTS_PER_ROW`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from machine import machine
from torch import Tensor

from falsum.kernels.gathered import gathered_scores
from falsum.kernels.picked import pays, picked_scores
from falsum.models.base import dot
from falsum.table import Table


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
    print(machine(), "threads", torch.get_num_threads())
    for num_entities, width in ((14541, 256), (40943, 128)):
        table = Table(num_entities, width)
        torch.nn.init.normal_(table.weight)
        query = torch.randn(arguments.queries, width, requires_grad=True)
        for dtype in (torch.bfloat16, torch.float32):
            rounded = lambda q, rows, dtype=dtype: dot(q.to(dtype), rows.to(dtype)).to(q.dtype)  # noqa: E731
            for num in (32, 64, 128, 256, 512, 1024):
                ids = torch.randint(num_entities, (arguments.queries, num))
                gathered = seconds(lambda: gathered_scores(rounded, query, table, ids, 0.0, 1), arguments.rounds)  # noqa: B023
                picked = seconds(lambda: picked_scores(query, table.weight, ids, 0.0, 1, dtype), arguments.rounds)  # noqa: B023
                taken = "picked" if pays(num_entities, num, dtype) else "gathered"
                print(
                    f"{num_entities} x {width} {dtype} {num:5d} draws: gathered {1e3 * gathered:7.1f} ms, picked "
                    f"{1e3 * picked:7.1f} ms, ratio {gathered / picked:5.2f}; the library takes {taken}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
