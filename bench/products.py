"""Rate of the three matrix products of one 1-vs-all step: scores, gradient by query, gradient by entity.

    python bench/products.py --entities 14541 --dim 256 --rows 511 --rows-per-epoch 149689

They are taken in the precision that training would choose on this machine (or --precision bf16, fp32), since a
processor without bf16 multiplies it many times slower than fp32. The last figure is what an epoch of these
products alone takes: a floor for the epoch of any arrangement of them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from machine import report
from torch import Tensor

from falsum.recipe.assemble import pick_device, pick_dtype


def seconds(product: Callable[[], Tensor], repeats: int = 30) -> float:
    """Median time of a call, after two that are not counted."""
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        product()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entities", type=int, default=14541)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--rows", type=int, default=511)
    parser.add_argument("--rows-per-epoch", type=int, default=149689)
    parser.add_argument("--precision", choices=["auto", "bf16", "fp32"], default="auto")
    arguments = parser.parse_args()
    dtype = pick_dtype(arguments.precision, pick_device("cpu"))
    query = torch.randn(arguments.rows, arguments.dim).to(dtype)
    table = torch.randn(arguments.entities, arguments.dim).to(dtype)
    weights = torch.rand(arguments.rows, arguments.entities).to(dtype)
    products = (lambda: query @ table.T, lambda: weights @ table, lambda: weights.T @ query)
    times = [seconds(product) for product in products]
    operations = 2 * arguments.rows * arguments.dim * arguments.entities
    report(
        bench="products",
        dtype=str(dtype).removeprefix("torch."),
        tflops=[round(operations / t / 1e12, 3) for t in times],
        step_seconds=round(sum(times), 5),
        epoch_seconds=round(sum(times) * arguments.rows_per_epoch / arguments.rows, 2),
    )


if __name__ == "__main__":
    main()
