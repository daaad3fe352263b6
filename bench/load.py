"""Seconds to load one million synthetic triples: python bench/load.py [number of triples]."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import falsum.graph


def write(path: Path, num_triples: int, separator: str, quote: str) -> None:
    draw = np.random.default_rng(0)
    ends = draw.integers(0, num_triples // 5 + 1, (num_triples, 2))
    relation = draw.integers(0, 100, num_triples)
    rows = zip(ends[:, 0].tolist(), relation.tolist(), ends[:, 1].tolist(), strict=True)
    cut = f"{quote}{separator}{quote}"
    text = (f"{quote}entity/{h}{cut}relation/{r}{cut}entity/{t}{quote}\n" for h, r, t in rows)
    path.write_text("".join(text))


def seconds(path: Path) -> float:
    start = time.perf_counter()
    falsum.graph.load(path)
    return time.perf_counter() - start


def main() -> None:
    num_triples = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, (separator, quote) in {"tsv": ("\t", ""), "csv": (",", ""), "quoted.csv": (",", '"')}.items():
            write(folder / f"triples.{kind}", num_triples, separator, quote)
            spent = seconds(folder / f"triples.{kind}")
            print(f"{num_triples:,} triples, one file {kind}, split by seed: {spent:.2f} s")
        for split, count in {"train": num_triples, "valid": 1000, "test": 1000}.items():
            (folder / "splits").mkdir(exist_ok=True)
            write(folder / "splits" / f"{split}.tsv", count, "\t", "")
        graph = falsum.graph.load(folder / "splits")
        print(f"{num_triples:,} triples, folder tsv: {seconds(folder / 'splits'):.2f} s")
        start = time.perf_counter()
        falsum.graph.inspect(graph)
        print(f"inspect: {time.perf_counter() - start:.2f} s")
        for kind in ("tsv", "parquet"):
            start = time.perf_counter()
            falsum.graph.write_triples(graph, folder / kind, kind=kind)
            print(f"write {kind}: {time.perf_counter() - start:.2f} s")
        print(f"{num_triples:,} triples, folder parquet: {seconds(folder / 'parquet'):.2f} s")


if __name__ == "__main__":
    main()
