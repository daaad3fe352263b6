"""Run: a folder that holds everything about one training, and the object that opens it.

recipe.toml, graph.json, triples.parquet, entities.parquet, relations.parquet, environment.json are written before the
first step, with start.safetensors or pretraining/ where the recipe starts from other weights; metrics.jsonl,
model.safetensors (the best weights) and checkpoint/ while training; ranks.parquet and protocol.json by evaluation. No
pickle: loading a stranger's folder executes nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import torch

from falsum.errors import Interrupted, UserError
from falsum.evaluation.protocol import PROTOCOLS, Evaluation, evaluate
from falsum.files import alone, read_json, read_tensors, remove_parts, whole, write_json, write_tensors, write_text
from falsum.graph.graph import BOTH_SIDES, Graph, Side
from falsum.predict import answers, vectors
from falsum.recipe.assemble import assemble
from falsum.recipe.settings import Pretraining, Recipe, read_file
from falsum.run.machine import environment, stop_requests
from falsum.run.pretraining import start_from
from falsum.scan.scoring import Scoring
from falsum.training.job import Job
from falsum.training.loop import Position, Record, Trainer

# Raised when a later falsum writes folders that this one cannot read.
FORMAT = 1


class Run:
    """An opened run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, graph: Graph, recipe: Recipe, folder: str | Path) -> Run:
        """Start a run folder: settings, labels and triples, no weights yet.

        Raises UserError when the folder already holds a run, the recipe does not fit the graph, or the run that it
        starts from cannot be used.
        """
        folder = Path(folder)
        if (folder / "recipe.toml").exists():
            raise UserError(
                f"{folder} already holds a run. Continue it with `falsum resume {folder}`, or choose another folder."
            )
        if (folder / "checkpoint").exists() or (folder / "model.safetensors").exists():
            raise UserError(f"{folder} holds weights of a run without its recipe.toml. Choose another folder.")
        if "train" not in graph.splits or len(graph.splits["train"]) == 0:
            raise UserError(f"Graph {graph.name!r} has no training triples, so there is nothing to learn from.")
        job = assemble(recipe, graph)  # what cannot be trained leaves no folder behind
        precision = "bf16" if job.scoring.dtype is torch.bfloat16 else "fp32"
        recipe = recipe.changed(**{"train.precision": precision})  # "auto" would mean another thing elsewhere
        start = None
        if recipe.pretraining and isinstance(recipe.pretraining.source, str):
            start = _start(recipe.pretraining, cls.open(recipe.pretraining.source), job)
        about = {
            "format": FORMAT,
            "name": graph.name,
            "source": graph.source,
            "notes": list(graph.notes),
            "sha256": graph.sha256,
            "num_base_relations": graph.num_base_relations,
        }
        run = cls(folder)
        if start:
            write_tensors(folder / "start.safetensors", *start)
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
        written = about.get("format") if isinstance(about, dict) else None
        if not isinstance(written, int):
            raise UserError(f"{folder / 'graph.json'} is damaged: it tells no format. Restore it, or train again.")
        if written > FORMAT:
            raise UserError(
                f"{folder} was written by a later falsum (format {written}; this one knows {FORMAT}): update falsum."
            )
        return cls(folder)

    @cached_property
    def recipe(self) -> Recipe:
        return read_file(self.folder / "recipe.toml")

    @cached_property
    def graph(self) -> Graph:
        """The graph as it was trained on, read from the folder. Raises UserError when it is not the same any more."""
        about = read_json(self.folder / "graph.json")
        try:
            graph = self._read_graph(about)
            same = graph.sha256 == about["sha256"]
        except (KeyError, TypeError, pl.exceptions.PolarsError) as error:
            raise UserError(
                f"The graph in {self.folder} is damaged: {type(error).__name__} {error}. Restore graph.json and the "
                ".parquet files from a copy, or train again."
            ) from None
        if not same:
            raise UserError(
                f"The graph in {self.folder} is not the one that was trained on: triples.parquet, entities.parquet or "
                "relations.parquet was changed. Restore them from a copy, or train again."
            )
        return graph

    def _read_graph(self, about: dict[str, Any]) -> Graph:
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
        tensors = self._best_weights()
        scoring = self._job.scoring
        _load_weights(scoring, tensors, self.folder / "model.safetensors")
        scoring.model.eval()
        return scoring

    @cached_property
    def _job(self) -> Job:
        return assemble(self.recipe, self.graph)

    def _best_weights(self) -> dict[str, torch.Tensor]:
        remedy = f"Restore it from a copy; or delete {self.folder / 'checkpoint'} and train again, to the same bits, by"
        if self._never_best():
            remedy = "The run was stopped before its first weights were written. Go on with"
        return read_tensors(self.folder / "model.safetensors", f"{remedy} `falsum resume {self.folder}`.")[0]

    def _never_best(self) -> bool:
        """Whether no line of metrics.jsonl tells that weights were written."""
        return not any(line.get("best") or line.get("done") for line in self.history())

    def stages(self) -> list[Run]:
        """The runs to train, in order: the pre-training runs that are part of this one, then this one itself."""
        rules = self.recipe.pretraining
        if rules is None or isinstance(rules.source, str):
            return [self]
        folder = self.folder / "pretraining"
        known = (folder / "recipe.toml").exists()
        source = Run.open(folder) if known else Run.create(self.graph, rules.source, folder)
        return [*source.stages(), self]

    @property
    def finished(self) -> bool:
        """Whether training has come to its end."""
        return any(line.get("done") for line in self.history())

    def train(
        self, rank_progress: Callable[[int], None] = lambda done: None, *, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Record]:
        """Train, or go on from the checkpoint, writing the folder and yielding a record per step and validation.

        stop: asked after every step; once true, training ends as after Ctrl-C. Raises Interrupted then and after Ctrl-C
        or SIGTERM (a checkpoint is written first), training.Diverged on a non-finite loss, UserError when a file cannot
        be read or written, or a checkpoint does not fit the recipe.
        """
        with alone(self.folder), self._threads(), stop_requests() as stopped:
            trainer = Trainer(assemble(self.recipe, self.graph), rank_progress=rank_progress)
            checkpoint = self.folder / "checkpoint" / "last.safetensors"
            if checkpoint.exists():
                self._restore(trainer, checkpoint)
            else:
                self._take_start(trainer.job)
            self._trim_metrics(trainer.position)
            for folder in (self.folder, checkpoint.parent):
                remove_parts(folder)
            yield from self._train(trainer, checkpoint, lambda: stopped() or stop())

    def _take_start(self, job: Job) -> None:
        """Replace the initial weights by those that the recipe starts from."""
        rules, path = self.recipe.pretraining, self.folder / "start.safetensors"
        if rules is None:
            return
        if not path.exists():
            inside = not isinstance(rules.source, str)
            source = Run.open(self.folder / "pretraining" if inside else str(rules.source))
            if inside and not source.finished:
                raise UserError(
                    f"{self.folder} starts from {source.folder}, which is not trained yet. Train both, in order, with "
                    f"`falsum resume {self.folder}`."
                )
            write_tensors(path, *_start(rules, source, job))
        _load_weights(job.scoring, read_tensors(path)[0], path)

    def _train(self, trainer: Trainer, checkpoint: Path, stopped: Callable[[], bool]) -> Iterator[Record]:
        saved_at = time.monotonic()
        for record in trainer.run():
            ended = record.metrics or record.done or record.step % record.steps_per_epoch == 0
            if record.best or (record.done and not trainer.position.history):
                self._write_best(trainer, record)
            if ended:
                self._append(record)
            due = time.monotonic() - saved_at > 60 * self.recipe.checkpoint_minutes
            stop = stopped()  # asked once: a signal that comes while the record is shown waits for the next
            if record.metrics or record.done or due or stop:
                self._write_checkpoint(trainer, checkpoint)
                saved_at = time.monotonic()
            yield record
            if stop and not record.done:
                raise Interrupted(f"Stopped at epoch {record.epoch}. Go on with `falsum resume {self.folder}`.")

    @contextmanager
    def _threads(self) -> Iterator[None]:
        """As many threads as the run began with: sums depend on how they are split over threads.

        A lost environment.json is written anew, for this machine.
        """
        path = self.folder / "environment.json"
        if not path.exists():
            write_json(path, environment())
        written = read_json(path)
        threads = written.get("threads") if isinstance(written, dict) else None
        if not isinstance(threads, int) or threads < 1:
            raise UserError(f"{path} tells no number of threads. Delete it to go on with those of this machine.")
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def _write_checkpoint(self, trainer: Trainer, path: Path) -> None:
        tensors, scalars = trainer.state()
        write_tensors(path, tensors, {**scalars, "fixed": _fixed(self.recipe, trainer.job)})

    def _restore(self, trainer: Trainer, path: Path) -> None:
        """Take up a checkpoint. Settings such as the learning rate may have changed, those in `_fixed` may not."""
        start_over = f"delete {path.parent} to train from the start with `falsum resume {self.folder}`"
        tensors, scalars = read_tensors(path, f"Restore it from a copy; or {start_over}, to the same bits.")
        now = _fixed(self.recipe, trainer.job)
        then = scalars.pop("fixed", now)  # absent before 0.1.0
        fresh = {k: v for k, v in trainer.state()[0].items() if not k.startswith("optimizer.")}
        changed = [f"{key} was {then.get(key)} and is {now[key]}" for key in now if then.get(key) != now[key]]
        changed += [
            f"{name} was {list(tensors[name].shape) if name in tensors else 'not there'} and is {list(value.shape)}"
            for name, value in fresh.items()
            if name not in tensors or tensors[name].shape != value.shape
        ]
        if changed:
            raise UserError(
                f"{path} does not fit {self.folder / 'recipe.toml'}, which was changed since: {'; '.join(changed)}. "
                f"Change it back; or {start_over}; or train the new recipe into a new folder."
            )
        if scalars["history"]:
            self._best_weights()  # they are only there: the checkpoint holds the last
        trainer.restore(tensors, scalars)

    def _write_best(self, trainer: Trainer, record: Record) -> None:
        self.__dict__.pop("scoring", None)
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

    def _trim_metrics(self, position: Position) -> None:
        """Forget what was logged after the checkpoint: it will be logged again."""
        past = [line for line in self.history() if line["step"] <= position.step]
        again = [line for line in past if line.get("done") and line["step"] == position.step]
        again += [line for line in past if line.get("metrics") and line["epoch"] not in position.epochs]
        lines = [line for line in past if line not in again]
        write_text(self.folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))

    def history(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, up to one that a kill cut short or that is none."""
        path = self.folder / "metrics.jsonl"
        if not path.exists():
            return []
        lines: list[dict[str, Any]] = []
        for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                break
            if not isinstance(line, dict) or not {"epoch", "step", "loss", "seconds"} <= line.keys():
                break
            lines.append(line)
        return lines

    def evaluate(
        self,
        split: str = "test",
        *,
        protocol: str = "falsum",
        sides: Sequence[Side] = BOTH_SIDES,
        progress: Callable[[int], None] = lambda done: None,
    ) -> Evaluation:
        """Rank a split under a named protocol. The "falsum" protocol on both sides is also written to the folder:
        ranks.parquet and protocol.json for the test split, ranks-valid.parquet and so on for others.

        Raises UserError when the protocol or split is unknown, or the model's scores cannot be ranked.
        """
        if protocol not in PROTOCOLS:
            raise UserError(f"There is no protocol {protocol!r}; legal: {', '.join(PROTOCOLS)}.")
        if split not in self.graph.splits or len(self.graph.splits[split]) == 0:
            have = ", ".join(s for s, t in self.graph.splits.items() if len(t))
            raise UserError(f"Graph {self.graph.name!r} has no split {split!r} to evaluate on; it has: {have}.")
        job_graph = self._job.graph
        result = evaluate(self.scoring, job_graph, split, PROTOCOLS[protocol], sides=sides, progress=progress)
        if protocol == "falsum" and tuple(sides) == BOTH_SIDES:
            name = "" if split == "test" else f"-{split}"
            _write_parquet(self.folder / f"ranks{name}.parquet", result.frame)
            card = {"protocol": result.card, "metrics": result.metrics()}
            write_json(self.folder / f"protocol{name}.json", card)
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
        """The most plausible fillings of the slot left out: see `falsum.predict.answers.predict`."""
        question = {"head": head, "relation": relation, "tail": tail}
        return answers.predict(self._job.graph, self.scoring, **question, top_k=top_k, known=known)

    def score(self, triples: Sequence[tuple[str, str, str]] | pl.DataFrame) -> pl.DataFrame:
        """Scores of triples given by label: see `falsum.predict.answers.score`."""
        return answers.score(self._job.graph, self.scoring, triples)

    def neighbors(self, label: str, top_k: int = 10) -> pl.DataFrame:
        """The entities most like one: see `falsum.predict.vectors.neighbors`."""
        return vectors.neighbors(self._job.graph, self.scoring, label, top_k)

    def embedding(self, label: str) -> np.ndarray:
        """(dim,) float32 row of an entity."""
        return vectors.embedding(self._job.graph, self.scoring, label)

    def relation_embedding(self, label: str) -> np.ndarray:
        """(relation width,) float32 row of a relation."""
        return vectors.relation_embedding(self._job.graph, self.scoring, label)

    def export(self, folder: str | Path, format: Literal["parquet", "tsv"] = "parquet") -> tuple[Path, Path]:
        """Write entity and relation rows with their labels: see `falsum.predict.vectors.export`."""
        return vectors.export(self._job.graph, self.scoring, folder, format)


def _start(rules: Pretraining, source: Run, job: Job) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The weights that a job starts from, and where they came from."""
    fresh = {name: tensor.detach() for name, tensor in _weights(job.scoring).items()}
    start, taken = start_from(rules, source._job.graph, source._best_weights(), job.graph, fresh)
    return start, {"format": FORMAT, "source": str(source.folder.resolve()), "rows": taken}


def _fixed(recipe: Recipe, job: Job) -> dict[str, Any]:
    """What a checkpoint cannot be continued without."""
    return {
        "model.name": recipe.model["name"],
        "optimizer.name": recipe.optimizer["name"],
        "train.batch_size": recipe.train.batch_size,
        "train.inverses": recipe.train.inverses,
        "the list of tables updated by rows (see noise, penalty, optimizer.lazy)": sorted(job.row_wise),
    }


def _weights(scoring: Scoring) -> dict[str, torch.Tensor]:
    """Every tensor of a model by its name in model.safetensors."""
    return {
        "entities": scoring.entities.weight,
        "relations": scoring.relations.weight,
        **{f"model.{name}": p for name, p in scoring.model.named_parameters()},
        **{f"buffers.{name}": b for name, b in scoring.model.named_buffers()},
    }


def _load_weights(scoring: Scoring, tensors: dict[str, torch.Tensor], path: Path) -> None:
    for name, target in _weights(scoring).items():
        if name not in tensors or tensors[name].shape != target.shape:
            raise UserError(f"{path} does not fit the recipe beside it: {name} is missing or has another shape.")
        target.detach().copy_(tensors[name])


def _write_parquet(path: Path, frame: pl.DataFrame) -> None:
    with whole(path) as temporary:
        frame.write_parquet(temporary)


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(f"{path} cannot be read: {error}. Restore it from a copy, or train again.") from None
