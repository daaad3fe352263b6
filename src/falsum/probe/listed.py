"""The negatives of one question, by label, as several noises draw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl
from torch import Tensor

from falsum.errors import UserError
from falsum.graph.graph import Graph, Query, Side
from falsum.predict import labels
from falsum.probe.cost import Tally
from falsum.probe.draws import drawn, learns, warmed
from falsum.probe.noises import Chosen
from falsum.probe.reference import Standings, quick_recipe, standings, with_rows
from falsum.probe.truths import Facts, contains, training_part
from falsum.recipe.assemble import assemble
from falsum.run.run import Run
from falsum.scan.loss import live
from falsum.scan.scoring import Scoring
from falsum.seeds import derive
from falsum.training.loop import Trainer

# What a negative may be besides false, as far as the graph tells.
KNOWN, HELD, FALSE, SKIPPED = "known", "held out", "stated false", "skipped"
SCHEMA = {
    "noise": pl.String, "place": pl.Int64, "label": pl.String, "mark": pl.String, "score_percentile": pl.Float64,
}  # fmt: skip


@dataclass(frozen=True)
class Listing:
    """A question whose negatives are to be seen. graph: as it was read. run: the model, or None.

    Raises UserError for an unknown label, a question that names no anchor or two, one that no training triple asks, and
    a run of another graph.
    """

    graph: Graph
    relation: str
    head: str | None = None
    tail: str | None = None
    run: Run | None = None
    num: int = 10
    warm: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.head is None) == (self.tail is None):
            raise UserError("A question has one open end: give --head to see negative tails, or --tail for heads.")
        if self.run is not None and self.run.graph.sha256 != self.graph.sha256:
            raise UserError(f"{self.run.folder} was trained on another graph than {self.graph.name!r}.")
        _ = self._triples

    @property
    def side(self) -> Side:
        return Side.TAIL if self.head is not None else Side.HEAD

    @property
    def words(self) -> str:
        """The question as people read it."""
        return " ".join(part if part is not None else "?" for part in (self.head, self.relation, self.tail))

    @cached_property
    def _triples(self) -> Tensor:
        """The training triples that answer the question."""
        relation = labels.find(self.graph, "relation", self.relation)
        anchor = labels.find(self.graph, "entity", self.head if self.head is not None else self.tail)
        train, column = self.graph.splits["train"], 0 if self.side is Side.TAIL else 2
        own = train[train[:, column] == anchor]
        asked = own[own[:, 1] == relation]
        if len(asked):
            return asked
        have = [self.graph.relations[i] for i in own[:, 1].unique()[:8].tolist()]
        instead = f" As {'head' if column == 0 else 'tail'} it has: {', '.join(map(repr, have))}." if have else ""
        raise UserError(
            f"No training triple answers {self.words!r}, and negatives are drawn for training questions.{instead}"
        )

    @cached_property
    def _asked(self) -> Graph:
        recipe = self.run.recipe if self.run else quick_recipe(self.graph)
        return self.graph.with_inverses() if recipe.train.inverses else self.graph

    @cached_property
    def _untrained(self) -> Scoring:
        return with_rows(assemble(quick_recipe(self.graph), training_part(self.graph)).scoring)

    @cached_property
    def scoring(self) -> Scoring:
        """The run's model, or a small one that is trained now, in memory."""
        if self.run is not None:
            return with_rows(self.run.scoring)
        job = assemble(quick_recipe(self.graph), training_part(self.graph))
        for _ in Trainer(job).run():
            pass
        job.scoring.model.eval()
        return with_rows(job.scoring)

    @cached_property
    def query(self) -> Query:
        """The question with its first training answer as the target."""
        return self._asked.queries(self._triples[:1], self.side, grouped=False)

    def needs_model(self, noise: Chosen) -> bool:
        """Whether the noise asks a model what it thinks, in a draw or in what follows one."""
        device, tally = self._untrained.device, Tally()
        sampler, query = noise.bind(training_part(self._asked), device), self.query.to(device)
        view = tally.watch(live(self._untrained, 0.0))
        candidates = sampler.draw(query, 0, view)
        if learns(sampler):
            sampler.learn(query, candidates, view, 0)
        return tally.scores + tally.rows > 0

    def frame(self, noises: Sequence[Chosen]) -> pl.DataFrame:
        """The first `num` negatives of each noise: noise, place, label, mark, score_percentile (null without a model).

        Without a run, a small model is trained if a noise asks for one.
        """
        wanted = self.run is not None or any(self.needs_model(noise) for noise in noises)
        scoring = self.scoring if wanted else self._untrained
        query = self.query.to(scoring.device)
        facts = Facts.of(self._asked, query)
        placed = standings(scoring, query, facts.known, self.seed) if wanted else None
        return pl.concat(
            [pl.DataFrame(schema=SCHEMA), *(self._drawn(noise, scoring, query, facts, placed) for noise in noises)]
        )

    def _drawn(
        self, noise: Chosen, scoring: Scoring, query: Query, facts: Facts, placed: Standings | None
    ) -> pl.DataFrame:
        seed = derive(self.seed, noise.label)
        sampler = noise.bind(training_part(self._asked), scoring.device)
        warmed(sampler, [query], lambda epoch: live(scoring, epoch), self.warm, seed)
        draws = drawn(sampler, query, live(scoring, float(self.warm)), seed, self.num)
        ids = draws.ids
        percentile = (
            [None] * ids.shape[1] if placed is None else placed.unanswered.percentile(placed.score(ids))[0].tolist()
        )
        kinds = {KNOWN: facts.known, HELD: facts.held_out, FALSE: facts.stated_false}
        marks = {kind: contains(pairs, ids)[0].tolist() for kind, pairs in kinds.items()}
        marks[SKIPPED] = draws.dropped[0].tolist()
        rows = [", ".join(kind for kind, hit in marks.items() if hit[i]) for i in range(ids.shape[1])]
        return pl.DataFrame(
            {
                "noise": [noise.label] * len(rows),
                "place": range(1, len(rows) + 1),
                "label": self.graph.entities.gather(ids[0].cpu().numpy()),
                "mark": rows,
                "score_percentile": percentile,
            },
            SCHEMA,
        )
