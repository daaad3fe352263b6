"""Run: a folder that holds everything about one training, and the object that opens it.

recipe.toml, graph.json, triples.parquet, entities.parquet, relations.parquet, environment.json are written before the
first step; metrics.jsonl, model.safetensors (the best weights) and checkpoint/ while training; ranks.parquet and
protocol.json by evaluation. No pickle: loading a stranger's folder executes nothing.
"""

from __future__ import annotations

import json
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import numpy as np
import polars as pl
import torch

from falsum.errors import UserError
from falsum.files import read_json, read_tensors, whole, write_json, write_tensors, write_text
from falsum.graph.graph import BOTH_SIDES, Graph, Side
from falsum.protocol import PROTOCOLS, Evaluation, evaluate
from falsum.recipe import Recipe, assemble, read_file
from falsum.scan import Scoring
from falsum.train import Job, Record, Trainer

# Raised when a later falsum writes folders that this one cannot read.
FORMAT = 1


class Interrupted(UserError):
    """Training stopped on request, after a checkpoint."""


class Run:
    """An opened run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, graph: Graph, recipe: Recipe, folder: str | Path) -> Run:
        """Start a run folder: settings, labels and triples, no weights yet.

        Raises UserError when the folder already holds a run, or the graph cannot be trained on.
        """
        folder = Path(folder)
        if (folder / "recipe.toml").exists():
            raise UserError(
                f"{folder} already holds a run. Continue it with `falsum resume {folder}`, or choose another folder."
            )
        if "train" not in graph.splits or len(graph.splits["train"]) == 0:
            raise UserError(f"Graph {graph.name!r} has no training triples, so there is nothing to learn from.")
        about = {
            "format": FORMAT,
            "name": graph.name,
            "source": graph.source,
            "notes": list(graph.notes),
            "sha256": graph.sha256,
            "num_base_relations": graph.num_base_relations,
        }
        run = cls(folder)
        write_json(folder / "environment.json", environment())
        for name, labels in (("entities", graph.entities), ("relations", graph.relations)):
            _write_parquet(folder / f"{name}.parquet", pl.DataFrame({"id": range(len(labels)), "label": labels}))
        frames = [
            pl.DataFrame(t.numpy(), schema=["head", "relation", "tail"]).select(pl.lit(s).alias("split"), pl.all())
            for s, t in graph.splits.items()
        ]
        _write_parquet(folder / "triples.parquet", pl.concat(frames))
        write_json(folder / "graph.json", about)
        write_text(folder / "recipe.toml", recipe.to_toml())
        return run

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """An existing run. Raises UserError when the folder is none, or was written by a later falsum."""
        folder = Path(folder)
        if not (folder / "recipe.toml").exists():
            raise UserError(f"{folder} is no run folder: it has no recipe.toml. `falsum train` makes one.")
        about = read_json(folder / "graph.json")
        if about["format"] > FORMAT:
            raise UserError(f"{folder} was written by a later falsum (format {about['format']}): update falsum.")
        return cls(folder)

    @cached_property
    def recipe(self) -> Recipe:
        return read_file(self.folder / "recipe.toml")

    @cached_property
    def graph(self) -> Graph:
        """The graph as it was trained on, read from the folder."""
        about = read_json(self.folder / "graph.json")
        labels = {name: _read_parquet(self.folder / f"{name}.parquet")["label"] for name in ("entities", "relations")}
        triples = _read_parquet(self.folder / "triples.parquet")
        splits = {
            str(split): torch.from_numpy(frame.select("head", "relation", "tail").to_numpy(writable=True)).contiguous()
            for (split,), frame in triples.group_by("split", maintain_order=True)
        }
        return Graph(
            about["name"],
            splits,
            labels["entities"],
            labels["relations"],
            about["num_base_relations"],
            about["source"],
            tuple(about["notes"]),
        )

    @cached_property
    def scoring(self) -> Scoring:
        """Tables and model with the best weights, in eval mode. Raises UserError before the first are written."""
        tensors, _ = read_tensors(self.folder / "model.safetensors")
        scoring = self._job.scoring
        _load_weights(scoring, tensors, self.folder / "model.safetensors")
        scoring.model.eval()
        return scoring

    @cached_property
    def _job(self) -> Job:
        return assemble(self.recipe, self.graph)

    def train(self, rank_progress: Callable[[int], None] = lambda done: None) -> Iterator[Record]:
        """Train, or go on from the checkpoint, writing the folder and yielding a record per step and validation.

        Raises Interrupted after Ctrl-C or SIGTERM (a checkpoint is written first), train.Diverged on a non-finite
        loss, UserError when a file cannot be written.
        """
        threads = read_json(self.folder / "environment.json")["threads"]
        torch.set_num_threads(threads)  # sums depend on how they are split over threads
        trainer = Trainer(assemble(self.recipe, self.graph), rank_progress=rank_progress)
        checkpoint = self.folder / "checkpoint" / "last.safetensors"
        if checkpoint.exists():
            tensors, scalars = read_tensors(checkpoint)
            trainer.restore(tensors, scalars)
        self._trim_metrics(trainer.position.step)
        saved_at = time.monotonic()
        with _stop_requests() as stopped:
            for record in trainer.run():
                ended = record.metrics or record.done or record.step % record.steps_per_epoch == 0
                if ended:
                    self._append(record)
                if record.best or (record.done and not trainer.position.history):
                    self._write_best(trainer, record)
                due = time.monotonic() - saved_at > 60 * self.recipe.checkpoint_minutes
                if record.metrics or record.done or due or stopped():
                    write_tensors(checkpoint, *trainer.state())
                    saved_at = time.monotonic()
                yield record
                if stopped() and not record.done:
                    raise Interrupted(f"Stopped at epoch {record.epoch}. Go on with `falsum resume {self.folder}`.")
        self.__dict__.pop("scoring", None)

    def _write_best(self, trainer: Trainer, record: Record) -> None:
        tensors = {
            k.removeprefix("weights."): v for k, v in trainer.state()[0].items() if not k.startswith("optimizer.")
        }
        about = {"format": FORMAT, "epoch": record.epoch, "metrics": record.metrics}
        write_tensors(self.folder / "model.safetensors", tensors, about)

    def _append(self, record: Record) -> None:
        line = {k: v for k, v in asdict(record).items() if v not in ({}, "", False)}
        try:
            with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise UserError(f"{self.folder / 'metrics.jsonl'} could not be written: {error.strerror}.") from None

    def _trim_metrics(self, step: int) -> None:
        """Forget what was logged after the checkpoint: it will be logged again."""
        past = [line for line in self.history() if line["step"] <= step]
        lines = [line for line in past if line["step"] < step or "done" not in line]
        write_text(self.folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))

    def history(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a last line that a kill cut short is left out."""
        path = self.folder / "metrics.jsonl"
        if not path.exists():
            return []
        lines = []
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                break
        return lines

    def evaluate(
        self,
        split: str = "test",
        *,
        protocol: str = "falsum",
        sides: Sequence[Side] = BOTH_SIDES,
        progress: Callable[[int], None] = lambda done: None,
    ) -> Evaluation:
        """Rank a split under a named protocol. The "falsum" protocol on both sides is also written to the folder.

        Raises UserError when the graph has no such split, or the model's scores cannot be ranked.
        """
        if split not in self.graph.splits or len(self.graph.splits[split]) == 0:
            have = ", ".join(s for s, t in self.graph.splits.items() if len(t))
            raise UserError(f"Graph {self.graph.name!r} has no split {split!r} to evaluate on; it has: {have}.")
        job_graph = self._job.graph
        result = evaluate(self.scoring, job_graph, split, PROTOCOLS[protocol], sides=sides, progress=progress)
        if protocol == "falsum" and tuple(sides) == BOTH_SIDES:
            _write_parquet(self.folder / "ranks.parquet", result.frame)
            write_json(self.folder / "protocol.json", {"protocol": result.card, "metrics": result.metrics()})
        return result

    def predict(
        self,
        *,
        head: str | None = None,
        relation: str | None = None,
        tail: str | None = None,
        top_k: int = 10,
        known: Literal["mark", "drop"] = "mark",
    ) -> pl.DataFrame:
        """The most plausible fillings of the slot left out: see `falsum.predict.predict`."""
        from falsum.predict import predict

        question = {"head": head, "relation": relation, "tail": tail}
        return predict(self._job.graph, self.scoring, **question, top_k=top_k, known=known)

    def score(self, triples: Sequence[tuple[str, str, str]] | pl.DataFrame) -> pl.DataFrame:
        """Scores of triples given by label: see `falsum.predict.score`."""
        from falsum.predict import score

        return score(self._job.graph, self.scoring, triples)

    def neighbors(self, label: str, top_k: int = 10) -> pl.DataFrame:
        """The entities most like one: see `falsum.predict.neighbors`."""
        from falsum.predict import neighbors

        return neighbors(self._job.graph, self.scoring, label, top_k)

    def embedding(self, label: str) -> np.ndarray:
        """(dim,) float32 row of an entity."""
        from falsum.predict import embedding

        return embedding(self._job.graph, self.scoring, label)

    def relation_embedding(self, label: str) -> np.ndarray:
        """(relation width,) float32 row of a relation."""
        from falsum.predict import relation_embedding

        return relation_embedding(self._job.graph, self.scoring, label)

    def export(self, folder: str | Path, format: Literal["parquet", "tsv"] = "parquet") -> tuple[Path, Path]:
        """Write entity and relation rows with their labels: see `falsum.predict.export`."""
        from falsum.predict import export

        return export(self._job.graph, self.scoring, folder, format)


def train(graph: Graph, recipe: Recipe, folder: str | Path) -> Run:
    """Train a recipe on a graph into a new run folder, silently, to the end."""
    run = Run.create(graph, recipe, folder)
    for _ in run.train():
        pass
    return run


def environment() -> dict[str, Any]:
    """What a run's numbers may depend on besides its recipe."""
    return {
        "falsum": version("falsum"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "command": sys.argv,
    }


def processor() -> str:
    """The CPU's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _load_weights(scoring: Scoring, tensors: dict[str, torch.Tensor], path: Path) -> None:
    targets = {
        "entities": scoring.entities.weight,
        "relations": scoring.relations.weight,
        **{f"model.{name}": p for name, p in scoring.model.named_parameters()},
        **{f"buffers.{name}": b for name, b in scoring.model.named_buffers()},
    }
    for name, target in targets.items():
        if name not in tensors or tensors[name].shape != target.shape:
            raise UserError(f"{path} does not fit the recipe beside it: {name} is missing or has another shape.")
        target.detach().copy_(tensors[name])


def _write_parquet(path: Path, frame: pl.DataFrame) -> None:
    with whole(path) as temporary:
        frame.write_parquet(temporary)


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(f"{path} cannot be read: {error}. Restore it from a copy, or train again.") from None


@contextmanager
def _stop_requests() -> Iterator[Callable[[], bool]]:
    """While the block runs, Ctrl-C and SIGTERM only raise a flag, so that a step is never cut in two.

    A second Ctrl-C acts at once. Does nothing outside the main thread, where signals cannot be caught.
    """
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            raise KeyboardInterrupt

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:
        before = {}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
