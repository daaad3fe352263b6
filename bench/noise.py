"""Which noise should one use? Every named noise on the same terms, and what is left of the differences.

    python bench/noise.py run --graph umls --model complex --objective softmax --seeds 3      # resumable
    python bench/noise.py run --graph wn18rr --short --seeds 1 --epochs 5
    python bench/noise.py table

Uniform noise is tuned first: learning rates are tried on seed 0 and the best on validation is taken by all noises, so
that none is held against an untuned baseline. All have the same number of negatives, known answers are left out by all,
and every run ends after the same number of epochs. "Equal seconds" reads each validation curve where uniform noise was
done. Validation alone is read.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cells import Cell, at_seconds, recipe, rows, run_all

from falsum.models import MODELS
from falsum.noise import NOISES
from falsum.recipe.parts import options

LEDGER = Path("results/noise.csv")
# Everyone is no draw; compositions have no settings of their own; the others are means of draws.
LEFT_OUT = {"all", "expected", "composed", "frequency-weighted"}
SHORT = ("uniform", "bernoulli", "in-batch", "pseudo-typed", "nscaching", "kbgan", "child", "curriculum")
RATES = (0.01, 0.03, 0.1, 0.3)
# The gamma of distance models in the logistic loss, as in the RotatE code for FB15k-237.
OFFSET = 9.0


def settings(arguments: argparse.Namespace, noise: str, lr: float, seed: int) -> dict[str, Any]:
    own = options("noise", noise).model_fields
    part: dict[str, Any] = {"name": noise, "num": arguments.num}
    part |= {"filtered": True} if "filtered" in own else {}
    objective: dict[str, Any] = {"name": arguments.objective}
    if arguments.objective == "self-adversarial" and not MODELS[arguments.model].compare.linear:
        objective["offset"] = OFFSET
    return {
        "model": {"name": arguments.model, "dim": arguments.dim},
        "objective": objective,
        "noise": part,
        "optimizer": {"name": "adagrad", "lr": lr},
        "train": {"epochs": arguments.epochs, "batch_size": arguments.batch, "precision": "fp32", "seed": seed},
        "validation": {"every": max(1, arguments.epochs // 10), "patience": 0, "queries": 1000},
    }


def cell(arguments: argparse.Namespace, noise: str, lr: float, seed: int) -> Cell:
    keys = ("graph", "model", "objective", "dim", "epochs", "num")
    about = {key: getattr(arguments, key) for key in keys} | {"noise": noise, "lr": lr, "seed": seed}
    name = "-".join(str(value) for value in about.values())
    return Cell(name, arguments.graph, recipe(settings(arguments, noise, lr, seed)), about)


def tuned(arguments: argparse.Namespace) -> float:
    """The learning rate at which uniform noise does best on validation; trained here where that is not known."""
    tries = {rate: cell(arguments, "uniform", rate, 0) for rate in arguments.rates}
    run_all(tries.values(), LEDGER, arguments.runs)
    found = {row["cell"]: float(row["valid_mrr"]) for row in rows(LEDGER)}
    return max(arguments.rates, key=lambda rate: found[tries[rate].name])


def cells(arguments: argparse.Namespace) -> Iterator[Cell]:
    lr = tuned(arguments)
    listed = arguments.only or (SHORT if arguments.short else NOISES)
    names = [name for name in listed if name not in LEFT_OUT]
    for seed in range(arguments.seeds):
        for noise in names:
            yield cell(arguments, noise, lr, seed)


def table() -> None:
    """Mean validation MRR of every noise minus that of uniform noise, at equal epochs and at equal seconds."""
    found = rows(LEDGER)
    groups = dict.fromkeys((row["graph"], row["model"], row["objective"], row["epochs"]) for row in found)
    for group in groups:
        own = [row for row in found if (row["graph"], row["model"], row["objective"], row["epochs"]) == group]
        base = [row for row in own if row["noise"] == "uniform"]
        best = max(base, key=lambda row: float(row["valid_mrr"]))["lr"]
        base = [row for row in base if row["lr"] == best]
        own = [row for row in own if row["lr"] == best]
        seconds = statistics.mean(float(row["step_seconds"]) for row in base)
        print(f"\n**{', '.join(group[:3])}**: {group[3]} epochs, {base[0]['num']} negatives, lr {best}\n")
        print("| noise | seeds | MRR | to uniform | spread of seeds | time to uniform | at equal seconds, to uniform |")
        print("|---|---:|---:|---:|---:|---:|---:|")
        level, soon = mean(base, "valid_mrr"), at(base, seconds)
        for noise in sorted({row["noise"] for row in own}, key=lambda n: -mean(of(own, n), "valid_mrr")):
            these = of(own, noise)
            mrr, spent = mean(these, "valid_mrr"), mean(these, "step_seconds")
            values = [float(row["valid_mrr"]) for row in these]
            spread = f"{statistics.stdev(values):.4f}" if len(values) > 1 else ""
            print(
                f"| {noise} | {len(these)} | {mrr:.4f} | {mrr - level:+.4f} | {spread} | {spent / seconds:.1f} | "
                f"{at(these, seconds) - soon:+.4f} |"
            )


def of(found: list[dict[str, str]], noise: str) -> list[dict[str, str]]:
    return [row for row in found if row["noise"] == noise]


def mean(found: list[dict[str, str]], column: str) -> float:
    return statistics.mean(float(row[column]) for row in found)


def at(found: list[dict[str, str]], seconds: float) -> float:
    return statistics.mean(at_seconds(row, seconds) for row in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("--graph", default="umls")
    run.add_argument("--model", default="complex")
    run.add_argument("--objective", default="softmax")
    run.add_argument("--short", action="store_true", help="only the short list")
    run.add_argument("--seeds", type=int, default=3)
    run.add_argument("--dim", type=int, default=64)
    run.add_argument("--num", type=int, default=32)
    run.add_argument("--batch", type=int, default=256)
    run.add_argument("--epochs", type=int, default=30)
    run.add_argument("--rates", nargs="+", type=float, default=RATES, help="learning rates to try with uniform noise")
    run.add_argument("--only", nargs="+", help="names of noises")
    run.add_argument("--runs", type=Path, default=Path("runs/noise"))
    commands.add_parser("table")
    arguments = parser.parse_args()
    if arguments.command == "table":
        table()
    else:
        run_all(cells(arguments), LEDGER, arguments.runs)


if __name__ == "__main__":
    main()
