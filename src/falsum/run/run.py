"""Run: an opened run folder. It trains, ranks, and answers questions with the best weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import torch

from falsum.errors import UserError
from falsum.evaluation.protocol import PROTOCOLS, Evaluation, evaluate
from falsum.graph.graph import BOTH_SIDES, Graph, Side
from falsum.predict import answers, vectors
from falsum.recipe.assemble import assemble
from falsum.recipe.settings import Recipe, read_file
from falsum.run import evaluations, session, weights
from falsum.run import folder as files
from falsum.run.contents import Environment
from falsum.run.evaluations import Kept
from falsum.run.fixed import fixed
from falsum.run.pretraining import start_of, write_start
from falsum.run.trained import matched, opener, sources
from falsum.scan.network import NetworkScorer
from falsum.scan.scoring import Scorer
from falsum.training.job import Job
from falsum.training.loop import Record

__all__ = ["Run"]


class Run:
    """An opened run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def planned(self) -> Mapping[str, int]:
        """Bytes that training keeps or makes at each step, by what they are for."""
        return self._job.planned

    @classmethod
    def create(cls, graph: Graph, recipe: Recipe, folder: str | Path) -> Run:
        """Start a run folder: settings, labels and triples, no weights yet.

        A run that ended before it wrote any weights or numbers gives way to the new one. Raises UserError when the
        folder holds another run, the recipe does not fit the graph, or a run that it starts from or reads cannot be
        used.
        """
        folder, rules = Path(folder), recipe.pretraining
        source = rules.source if rules and isinstance(rules.source, str) else None
        if "train" not in graph.splits or len(graph.splits["train"]) == 0:
            raise UserError(f"Graph {graph.name!r} has no training triples, so there is nothing to learn from.")
        trained = opener(graph)
        for named in sources(recipe):
            trained(named)
        job = assemble(recipe, graph, trained)  # what cannot be trained leaves no folder behind
        start = start_of(rules, Path(source), job) if rules and source is not None else None
        precision = "bf16" if job.scoring.dtype is torch.bfloat16 else "fp32"
        files.clear(folder, start[1].source if start else None)
        if start:
            write_start(folder, *start)
        # "auto" would mean another thing elsewhere.
        files.create(folder, graph, recipe.changed(**{"train.precision": precision}))
        run = cls(folder)
        run.__dict__["planned"] = job.planned
        return run

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """An existing run. Raises UserError when the folder is none, or was written by a later falsum."""
        files.check_format(Path(folder))
        return cls(Path(folder))

    @cached_property
    def recipe(self) -> Recipe:
        return read_file(self.folder / "recipe.toml")

    @cached_property
    def graph(self) -> Graph:
        """The graph as it was trained on, read from the folder. Raises UserError when it is not the same any more."""
        return files.read_graph(self.folder)

    @property
    def environment(self) -> Environment:
        """Where the run was begun. Raises UserError when environment.json is damaged."""
        return files.read_environment(self.folder)

    @property
    def scoring(self) -> Scorer:
        """Tables and model with the best weights, in eval mode. Raises UserError before the first are written."""
        return self._best[0]

    @cached_property
    def _best(self) -> tuple[Scorer, str]:
        """The best weights in their model, and the hash of their content."""
        tensors, about = files.read_weights(self.folder, self.recipe)
        scoring = self._job.scoring
        weights.load(scoring, tensors, self.folder / "model.safetensors")
        scoring.model.eval()
        return scoring, about.content

    @cached_property
    def _job(self) -> Job:
        return assemble(self.recipe, self.graph, opener(self.graph))

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
        return any(line.done for line in files.history(self.folder))

    def history(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl (see `contents.Line`), without what they leave out or a kill cut short."""
        return [line.model_dump(exclude_unset=True) for line in files.history(self.folder)]

    def caution(self) -> str:
        """What a person should know before training goes on here: see `session.caution`."""
        return session.caution(self.folder)

    def train(
        self, rank_progress: Callable[[int], None] = lambda done: None, *, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Record]:
        """Train, or go on from the checkpoint, yielding a record per step and validation: see `session.train`."""
        for record in session.train(self.folder, self.recipe, self.graph, rank_progress, stop):
            if record.best or record.done:
                self.__dict__.pop("_best", None)  # others lie in the folder now
            yield record

    def evaluate(
        self,
        split: str = "test",
        *,
        protocol: str = "falsum",
        sides: Sequence[Side] = BOTH_SIDES,
        progress: Callable[[int], None] = lambda done: None,
        keep: bool = True,
        graph: Graph | None = None,
    ) -> Evaluation:
        """Rank a split under a named protocol. keep: also write it to the folder, as `keep` does.

        graph: another one to ask about, see `_on`; nothing is kept then. Raises UserError when the protocol or split is
        unknown, or the model's scores cannot be ranked.
        """
        asked, scoring = self._on(graph)
        if protocol not in PROTOCOLS:
            raise UserError(f"There is no protocol {protocol!r}; legal: {', '.join(PROTOCOLS)}.")
        if split not in asked.splits or len(asked.splits[split]) == 0:
            have = ", ".join(s for s, t in asked.splits.items() if len(t))
            raise UserError(f"Graph {asked.name!r} has no split {split!r} to evaluate on; it has: {have}.")
        result = evaluate(scoring, asked, split, PROTOCOLS[protocol], sides=sides, progress=progress)
        if keep and graph is None:
            self.keep(result)
        return result

    def keep(self, evaluation: Evaluation) -> None:
        """Write an evaluation of the present weights, if it is one of ours: see `evaluations.keep`."""
        settings = fixed(self.recipe, self.graph.sha256)
        evaluations.keep(self.folder, evaluation, self._best[1], settings)

    def kept(self, split: str = "test") -> Kept:
        """The evaluation of a split that the folder keeps, or why it is out of date: see `evaluations.kept`."""
        return evaluations.kept(self.folder, self.recipe, split)

    def ranks(self, split: str = "test") -> pl.DataFrame:
        """The ranks of an evaluation that the folder keeps. Raises UserError when there is none, or it is damaged."""
        found = self.kept(split)
        if found.result is None:
            raise UserError(f"{self.folder} keeps no evaluation of {split!r}{found.stale and f': {found.stale}'}.")
        return evaluations.read_ranks(self.folder, found.result, self.graph)

    def predict(
        self,
        *,
        head: str | None = None,
        relation: str | None = None,
        tail: str | None = None,
        top_k: int = 10,
        known: Literal["mark", "drop"] = "mark",
        graph: Graph | None = None,
    ) -> pl.DataFrame:
        """The most plausible fillings of the slot left out: see `falsum.predict.answers.predict`. graph: see `_on`."""
        question = {"head": head, "relation": relation, "tail": tail}
        asked, scoring = self._on(graph)
        return answers.predict(asked, scoring, **question, top_k=top_k, known=known)

    def score(
        self, triples: Sequence[tuple[str, str, str]] | pl.DataFrame, *, graph: Graph | None = None
    ) -> pl.DataFrame:
        """Scores of triples given by label: see `falsum.predict.answers.score`. graph: see `_on`."""
        return answers.score(*self._on(graph), triples)

    def _on(self, graph: Graph | None) -> tuple[Graph, Scorer]:
        """A graph as the model is asked about it, and the model. None: the one that was trained on.

        Another graph may have other entities: its training triples are what answers are read off, and its relations are
        matched by label. Raises UserError where the model keeps rows of entities, or does not know a relation.
        """
        if graph is None:
            return self._job.graph, self.scoring
        if not isinstance(self.scoring, NetworkScorer):
            raise UserError(
                f"Model {self.recipe.model['name']!r} keeps a row for each entity that it was trained with, and none "
                f"for those of {graph.name!r}. Networks, such as nbfnet, can be asked about other graphs."
            )
        base = (each.relations[: each.num_base_relations] for each in (graph, self.graph))
        scoring = self.scoring.on(graph, matched(self.folder, "relations", *base))
        return graph.with_inverses() if self.recipe.train.inverses else graph, scoring

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
