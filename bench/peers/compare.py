"""The same work in falsum and in PyKEEN, in turn, on this machine: times, their ratios, and equal ranks.

    python bench/peers/compare.py --peer "$VENV/bin/python" --data "$FALSUM_DATA" --rounds 3 --out results/speed.csv

Each row is one command of either side; the ratio is of the medians of the rounds. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BENCH = Path(__file__).resolve().parents[1]


def last_json(command: Sequence[str]) -> dict[str, Any]:
    """Run a command and read the JSON of its last line."""
    print("$", " ".join(command), flush=True)
    done = subprocess.run(command, capture_output=True, text=True, cwd=BENCH.parent)
    if done.returncode:
        raise SystemExit(f"failed ({done.returncode}):\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def tasks(arguments: argparse.Namespace, scratch: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Name -> (falsum command, PyKEEN command)."""
    ours, theirs = [sys.executable], [arguments.peer, str(BENCH / "peers" / "pykeen_bench.py")]
    data = Path(arguments.data)
    found: dict[str, tuple[list[str], list[str]]] = {}
    for graph in ("wn18rr", "fb15k-237"):
        found[f"epoch/{graph}"] = (
            [*ours, "bench/epoch.py", graph, "--rows", "512", "--dim", "256", "--repeats", "1"],
            [*theirs, "epoch", "--data", str(data / graph), "--batch", "512", "--dim-complex", "128"],
        )
    weights = str(scratch / "weights.npz")
    rank = [*ours, "bench/ranking.py", "fb15k-237", "--export", weights]
    if arguments.run:
        rank += ["--run", arguments.run]
    peer_rank = [*theirs, "rank", "--data", str(data / "fb15k-237"), "--weights", weights]
    found["rank/fb15k-237"] = ([*rank, "--repeats", "2"], [*peer_rank, "--batch", "256", "--heads", "inverse"])
    pykeen_rules = [*rank, "--repeats", "1", "--protocol", "pykeen"]
    found["rank-pykeen-rules/fb15k-237"] = (pykeen_rules, [*peer_rank, "--batch", "64", "--few-metrics"])
    step = [*ours, "bench/step.py", "--one-side", "--steps", "3", "--shared"]
    peer_step = [*theirs, "rotate-step", "--data", str(data / "fb15k-237"), "--steps", "2", "--sub-batch", "128"]
    found["rotate-step/own"] = ([*step, "query"], peer_step)
    found["rotate-step/shared"] = ([*step, "batch"], peer_step)
    return found


def seconds(result: dict[str, Any]) -> float:
    for key in ("epoch_seconds", "median_step_seconds", "seconds"):
        if key in result:
            return float(result[key])
    raise SystemExit(f"no seconds in {result}")


def portable(words: Sequence[str], arguments: argparse.Namespace) -> str:
    """A command without the paths of this machine."""
    known = {arguments.data: "$FALSUM_DATA", arguments.run: "$RUN"}
    text = " ".join("weights.npz" if word.endswith("weights.npz") else word for word in words)
    for path, name in known.items():
        text = text.replace(str(path), name) if path else text
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", required=True, help="python of PyKEEN's environment")
    parser.add_argument("--data", required=True, help="folder of fb15k-237 and wn18rr")
    parser.add_argument("--run", help="a trained ComplEx run without inverses on fb15k-237, for the ranking tasks")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="task names")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (ours, theirs) in tasks(arguments, Path(folder)).items():
            if arguments.only and name not in arguments.only:
                continue
            pairs = [(last_json(ours), last_json(theirs)) for _ in range(arguments.rounds)]
            a, b = (statistics.median(seconds(result) for result in side) for side in zip(*pairs, strict=True))
            one, other = pairs[-1]
            row = {
                "task": name,
                "falsum_seconds": round(a, 4),
                "pykeen_seconds": round(b, 4),
                "ratio": round(b / a, 2),
                "rounds": arguments.rounds,
                "falsum_mrr": one.get("mrr", ""),
                "pykeen_mrr": other.get("mrr", ""),
                "processor": one["processor"],
                "threads": one["threads"],
                "commit": one["commit"],
                "falsum_command": portable(ours[1:], arguments),
                "pykeen_command": portable([Path(theirs[1]).name, *theirs[2:]], arguments),
            }
            rows.append(row)
            print(json.dumps(row), flush=True)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        with arguments.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
