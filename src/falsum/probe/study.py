"""Study: every noise draws for the same questions, under the same frozen model, and what it draws is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from falsum.errors import UserError, in_range
from falsum.graph.graph import BOTH_SIDES, Answers, Graph, Query, Side
from falsum.noise.base import Live, Sampler
from falsum.noise.drawn import Drawn
from falsum.probe.cost import cost
from falsum.probe.diversity import diversity, slot_counts
from falsum.probe.draws import Draws, drawn, marginal, warmed
from falsum.probe.estimates import enrichment, mean
from falsum.probe.findings import Finding, NullPoint, Probed, Setup
from falsum.probe.gradient import MOST_PARAMETERS, Gradient, false_mass, full_gradient, gradient
from falsum.probe.hardness import Hardness, Null, hardness
from falsum.probe.noises import Chosen
from falsum.probe.reference import MOST_RANKED, PANEL, Field, Standings, dense, quick_recipe, standings, with_rows
from falsum.probe.truths import (
    Facts,
    Truths,
    contains,
    hits_of,
    over_uniform,
    planted,
    planted_answers,
    training_part,
)
from falsum.run.folder import graph_facts
from falsum.run.run import Run
from falsum.scan.loss import live
from falsum.scan.scoring import Scoring
from falsum.seeds import derive, generator

# Best of how many uniform draws the null curve is made of.
NULL = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 11, 16, 22, 32, 45, 64, 91, 128, 256)
# Questions of a side in the minibatch whose gradient is looked at.
MINIBATCH = 64


@dataclass(frozen=True)
class Questions:
    """One side of the probe: its questions, what is true of them, and where entities stand in the model's eyes.

    hidden: the facts without the planted triples, which are held out instead. nulls: of noises unfiltered and filtered.
    """

    query: Query
    facts: Facts
    hidden: Facts
    standings: Standings
    nulls: tuple[Null, Null]
    counts: Tensor

    def field(self, *, filtered: bool) -> Field:
        """Those that negatives of a noise are ranked among."""
        return self.standings.unanswered if filtered else self.standings.everyone


@dataclass(frozen=True)
class Study:
    """A probe to be made. noises: what is measured. run: the reference model; None: a small one is trained in `folder`.
    queries: questions per side. draws: negatives per question. warm: passes of samplers that learn over the questions,
    before they are measured. redraws: for the gradient. notes: what was said of the noises already.

    The graph is as it was read, without inverse relations. Samplers are bound to its training part alone.
    Raises UserError for numbers out of range, and a run of another graph.
    """

    graph: Graph
    noises: Sequence[Chosen]
    folder: Path
    run: Run | None = None
    queries: int = 512
    draws: int = 512
    warm: int = 20
    redraws: int = 32
    seed: int = 0
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        try:
            in_range("[2, 1e6]", queries=self.queries, redraws=self.redraws)
            in_range("[1, 1e6]", draws=self.draws)
            in_range("[0, 1e6]", warm=self.warm)
        except ValueError as error:
            raise UserError(f"{error}.") from None
        if len(self.graph.splits.get("train", ())) < 20:
            raise UserError(f"Graph {self.graph.name!r} has fewer than 20 training triples: there is nothing to probe.")
        if self.run is not None and graph_facts(self.run.folder).sha256 != self.graph.sha256:
            raise UserError(f"{self.run.folder} was trained on another graph than {self.graph.name!r}.")

    @cached_property
    def reference(self) -> Run:
        """The run of the frozen model: given, or a small one in the folder, which may have to be trained first.

        The small one never sees the planted truths, nor valid and test. Raises UserError when the folder holds one of
        another graph or seed.
        """
        if self.run is not None:
            return self.run
        place = self.folder / "reference"
        if not (place / "recipe.toml").exists():
            return Run.create(self._rest[0], quick_recipe(self._rest[0]), place)
        run = Run.open(place)
        if graph_facts(place).sha256 != self._rest[0].sha256:
            raise UserError(f"{place} is a model of another graph or seed: give another --out, or --run {place}.")
        return run

    @cached_property
    def _rest(self) -> tuple[Graph, Tensor]:
        return planted(self.graph, self.seed)

    @cached_property
    def _asked(self) -> Graph:
        """The graph as the model is asked."""
        return self.graph.with_inverses() if self.reference.recipe.train.inverses else self.graph

    @cached_property
    def _scoring(self) -> Scoring:
        return with_rows(self.reference.scoring)

    @cached_property
    def _sides(self) -> dict[Side, Questions]:
        """The same triples, of those that are left without the planted ones, asked from both sides."""
        rest = self._rest[0].splits["train"]
        order = torch.randperm(len(rest), generator=generator(derive(self.seed, "questions")))
        return {side: self._questions(rest[order[: self.queries].sort().values], side) for side in BOTH_SIDES}

    def _questions(self, triples: Tensor, side: Side) -> Questions:
        query = self._asked.queries(triples, side, grouped=False).to(self._scoring.device)
        facts = Facts.of(self._asked, query)
        left = training_part(self._planted_graph)
        hidden = Facts.of(left, query, self._planted_answers[side])
        placed = standings(self._scoring, query, facts.known, self.seed)
        counts = slot_counts(self.graph, side).to(self._scoring.device)
        nulls = (
            Null.of(placed, placed.everyone, facts.held_out),
            Null.of(placed, placed.unanswered, facts.held_out),
        )
        return Questions(query, facts, hidden, placed, nulls, counts)

    @cached_property
    def _planted_graph(self) -> Graph:
        rest = self._rest[0]
        return rest.with_inverses() if self._asked.has_inverses else rest

    @cached_property
    def _planted_answers(self) -> dict[Side, Answers]:
        return {side: planted_answers(self._asked, self._rest[1], side) for side in BOTH_SIDES}

    @cached_property
    def _gradients(self) -> dict[Side, tuple[Scoring, Query, Tensor]]:
        """A minibatch of each side with the gradient over all entities; none for a model too large for it."""
        if sum(p.numel() for p in self._scoring.parameters().values()) > MOST_PARAMETERS:
            return {}
        whole, first = dense(self._scoring), torch.arange(MINIBATCH, device=self._scoring.device)
        batches = {side: q.query.select(first[: len(q.query)]) for side, q in self._sides.items()}
        return {side: (whole, batch, full_gradient(whole, batch)) for side, batch in batches.items()}

    def _view(self, epoch: float) -> Live:
        return live(self._scoring, epoch)

    def measure(self) -> Iterator[Finding]:
        """A finding for each noise and side. The reference must be trained."""
        for noise in self.noises:
            yield from self._measure(noise)

    def _measure(self, noise: Chosen) -> Iterator[Finding]:
        seed, device = derive(self.seed, noise.label), self._scoring.device
        sampler = noise.bind(training_part(self._asked), device)
        hiding = noise.bind(self._planted_graph, device)
        queries = [questions.query for questions in self._sides.values()]
        for each in (sampler, hiding):
            warmed(each, queries, self._view, self.warm, derive(seed, "warm"))
        view, parts = self._view(self.warm), []
        for side, asked in self._sides.items():
            own = derive(seed, side.value)
            draws = drawn(sampler, asked.query, view, own, self.draws)
            filtered = not bool((contains(asked.facts.known, draws.ids) & (draws.weight > 0)).any())
            field = asked.field(filtered=filtered)
            hard = hardness(asked.standings, field, draws.ids, draws.weight, own)
            hidden, skipped = (
                drawn(hiding, asked.query, view, own, self.draws),
                self._skipped(noise, sampler, asked, draws, own),
            )
            facts = self._truths(asked, draws, hard, hidden, own, skipped, filtered=filtered)
            reached = marginal(sampler, asked.query, view, own, draws)
            spread = diversity(draws, *reached, asked.counts)
            pull = self._gradient(side, noise, sampler, own)
            mass = false_mass(asked.standings, draws, contains(asked.facts.held_out, draws.ids) & (draws.weight > 0))
            parts.append((side, asked, draws, hard, facts, spread, pull, mass, own))
        for side, asked, draws, hard, facts, spread, pull, mass, own in parts:  # learning changes what is drawn
            used = 1 - float(draws.dropped.double().mean())
            spent = cost(noise.noise, sampler, asked.query, view, used, own)
            negatives = int((draws.weight > 0).sum())
            yield Finding(noise.label, side.value, negatives, hard, facts, spread, spent, pull, mass)

    def _skipped(self, noise: Chosen, sampler: Sampler, asked: Questions, draws: Draws, seed: int) -> float:
        """The share of draws that a filter leaves out, or lets be made again: known answers of draws without it."""
        settings = noise.noise
        if not isinstance(settings, Drawn) or settings.filtered is not True:
            return float(draws.dropped.double().mean())
        free = replace(settings, filtered=False).bind(training_part(self._asked), self._scoring.device)
        free.load_state_dict(sampler.state_dict())
        made = drawn(free, asked.query, self._view(self.warm), seed, self.draws)
        return float(contains(asked.facts.known, made.ids).double().mean())

    def _gradient(self, side: Side, noise: Chosen, sampler: Sampler, seed: int) -> Gradient | None:
        if side not in self._gradients:
            return None
        whole, batch, full = self._gradients[side]
        redraws = 2 if noise.noise.everyone else self.redraws
        return gradient(whole, batch, sampler, self._view(self.warm), full, seed, redraws)

    def _truths(
        self,
        asked: Questions,
        draws: Draws,
        hard: Hardness | None,
        hiding: Draws,
        seed: int,
        skipped: float,
        *,
        filtered: bool,
    ) -> Truths:
        num, weight, facts = self.graph.num_entities, draws.weight, asked.facts
        known, held, false = (contains(p, draws.ids) for p in (facts.known, facts.held_out, facts.stated_false))
        before = torch.where(draws.dropped, torch.ones_like(weight), weight)
        against = None
        if hard is not None and 0 < hard.percentile.value < 1:
            counted, null = weight.sum(1), asked.nulls[filtered]
            expected = counted * null.hits(hard.best_of)
            against = enrichment(hits_of(weight, held), expected, counted, float(weight.square().sum()), seed)
        return Truths(
            filtered=filtered,
            skipped=skipped,
            known=mean(known.double(), before),
            known_counted=mean(known.double(), weight),
            stated_false=mean(false.double(), weight),
            false_negatives=mean(held.double(), weight),
            held_out_hits=int((held & (weight > 0)).sum()),
            enrichment=over_uniform(draws.ids, weight, facts, num, seed, filtered=filtered),
            against_null=against,
            planted=over_uniform(hiding.ids, hiding.weight, asked.hidden, num, seed, filtered=filtered),
            planted_hits=int((contains(asked.hidden.held_out, hiding.ids) & (hiding.weight > 0)).sum()),
        )

    def conclude(self, findings: Sequence[Finding]) -> Probed:
        """All that was found, with the null curves of filtered and unfiltered noises, where there are any."""
        curve = tuple(
            NullPoint(
                side.value, filtered, power, power / (power + 1), self._sides[side].nulls[filtered].enrichment(power)
            )
            for side in self._sides
            for filtered in sorted({each.truths.filtered for each in findings})
            for power in NULL
            if bool(self._sides[side].nulls[filtered].filled.any())
        )
        return Probed(self._setup(), tuple(findings), curve, self.notes)

    def _setup(self) -> Setup:
        reference, graph = self.reference, self.graph
        return Setup(
            graph=graph.name,
            graph_sha256=graph.sha256,
            entities=graph.num_entities,
            reference=str(reference.folder),
            model=reference.recipe.model["name"],
            dim=reference.recipe.model["dim"],
            small=self.run is None,
            queries=len(next(iter(self._sides.values())).query),
            draws=self.draws,
            warm=self.warm,
            redraws=self.redraws,
            seed=self.seed,
            panel=None if graph.num_entities <= MOST_RANKED else PANEL,
            held_out=sum(len(graph.splits.get(split, ())) for split in ("valid", "test")),
            stated_false=sum(len(triples) for triples in graph.false.values()),
            noises={each.label: each.part for each in self.noises},
            environment=reference.environment.model_dump(mode="json"),
        )
