"""What EMU's mutated negatives look like to a trained model: the figures of Takamoto et al. (TMLR 2025) from a run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.errors import UserError
from falsum.graph.graph import Graph, Query, Side
from falsum.noise import Live, Sampler
from falsum.probe.draws import drawn
from falsum.probe.noises import Chosen
from falsum.probe.truths import Facts, contains, training_part
from falsum.recipe.parts import build
from falsum.recipe.settings import Recipe
from falsum.run.run import Run
from falsum.scan.loss import live
from falsum.scan.scoring import Scorer, Scoring, at_a_time
from falsum.seeds import derive, generator
from falsum.theory import geometry
from falsum.theory.geometry import About, Axes, Margins, Seen, Similarity, Spread
from falsum.theory.margins import equilibrium
from falsum.theory.mutation import masks, mutate

# Negatives of each question; questions whose negatives are looked at from all sides, and how many of each.
NEGATIVES, TAILS, AROUND = 64, 16, 256
# The share of the positive where a run was trained without EMU: DistMult's, by the released code.
USUAL = 0.06


@dataclass(frozen=True)
class Trained:
    """EMU as a recipe has it. alpha: the weight of softmax cross-entropy over unmutated negatives, by that of EMU."""

    alpha: float
    label: float
    take_positive: float


def trained_with(recipe: Recipe) -> Trained | None:
    """EMU's numbers in a recipe of unbounded smoothing and at most one softmax; None for any other loss."""
    first = (recipe.objective, recipe.mutation, 1.0)
    terms = [first, *((term.objective, term.mutation, term.weight) for term in recipe.terms)]
    capped = [term for term in terms if term[0]["name"] == "unbounded-label-smoothing"]
    plain = [weight for objective, mutation, weight in terms if objective["name"] == "softmax" and mutation is None]
    if len(capped) != 1 or len(plain) > 1 or len(terms) > 1 + len(plain):
        return None
    objective, mutation, weight = capped[0]
    if mutation is not None and mutation["name"] != "emu":
        return None
    return Trained(sum(plain) / weight, objective["label"], mutation["take_positive"] if mutation else 0.0)


def look(run: Run, noises: Sequence[Chosen], take_positive: float | None, questions: int, seed: int) -> Seen:
    """Draw negatives for training questions with the tail open, and look at them with the run's best weights.

    Uniform negatives are drawn as the paper's are: from all entities, known answers among them, which margins leave
    out. The mutated ones are the same ones, mutated. noises: what else is drawn; noises that learn are as they begin.
    take_positive: None for the run's own. Only blocks of rows are held at a time.

    Raises UserError for a run without entity rows, weights that are not finite, and a noise that does not fit.
    """
    own = trained_with(run.recipe)
    share = take_positive if take_positive is not None else own.take_positive if own else USUAL
    scoring = tables(run.scoring, run)
    graph = run.graph.with_inverses() if run.recipe.train.inverses else run.graph
    triples = sampled(graph.splits["train"], questions, seed)
    samplers = {noise.label: noise.bind(training_part(graph), scoring.device) for noise in noises}
    view, parts = live(scoring, 0.0), []
    for place, query in enumerate(blocks(graph, triples, scoring)):
        parts.append(_block(view, query, samplers, share, graph, derive(seed, place)))
    found = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    first = graph.queries(triples[:TAILS], Side.TAIL, grouped=False).to(scoring.device)
    return Seen(
        run=str(run.folder),
        graph=graph.name,
        model=run.recipe.model["name"],
        take_positive=share,
        questions=len(triples),
        negatives=NEGATIVES,
        to_positive=(
            Similarity("uniform", found["uniform"]),
            *(Similarity(label, found[f"noise {label}"]) for label in samplers),
            Similarity("mutated", found["mutated"], float(found["mutated, law"].mean())),
        ),
        between=(
            Similarity("two uniform", found["two uniform"]),
            Similarity("uniform and itself mutated", found["itself"], float(found["itself, law"].mean())),
            Similarity("two mutated", found["two mutated"], float(found["two mutated, law"].mean())),
        ),
        abouts=abouts(view, first, share, graph.num_entities, derive(seed, "abouts")),
        axes=axes(view, first, triples[:AROUND, 2].to(scoring.device), share, graph.num_entities, derive(seed, "axes")),
        margins=Margins(found["margin"], float(found["mutated margin"].mean()), _rest(own, run, graph)),
        notes=() if own else (f"{run.folder} was not trained with EMU, so no equilibrium margin belongs to it.",),
    )


def tables(scorer: Scorer, run: Run) -> Scoring:
    """The run's tables. Raises UserError where it has none, or where they are not finite."""
    if not isinstance(scorer, Scoring):
        raise UserError(
            f"{run.folder} has no entity rows: its model makes them for each question, so there is nothing to mutate "
            "here. Take a run of a model with a table of entities."
        )
    if not bool(torch.isfinite(scorer.entities.values).all()):
        raise UserError(f"{run.folder} has entity rows that are not finite: its training diverged. Take another run.")
    return scorer


def sampled(triples: Tensor, count: int, seed: int) -> Tensor:
    """(m, 3) distinct triples in random order, at most `count`."""
    distinct = torch.unique(triples, dim=0)
    return distinct[torch.randperm(len(distinct), generator=generator(derive(seed, "questions")))[:count]]


def blocks(graph: Graph, triples: Tensor, scoring: Scoring) -> Iterator[Query]:
    """Questions with the tail open, as many at a time as may have rows of their own for every negative."""
    for part in triples.split(at_a_time(NEGATIVES * scoring.entities.width)):
        yield graph.queries(part, Side.TAIL, grouped=False).to(scoring.device)


def _block(
    view: Live, query: Query, samplers: Mapping[str, Sampler], share: float, graph: Graph, seed: int
) -> dict[str, Tensor]:
    """Flat cosines, predictions and margins of the negatives of some questions, by name; on the CPU."""
    device, target = query.anchor.device, query.target[:, None]
    random = generator(derive(seed, "uniform"), device)
    ids = torch.randint(graph.num_entities, (len(query), NEGATIVES), generator=random, device=device)
    positive, uniform = view.rows(target), view.rows(ids)
    mutated = mutate(positive, uniform, masks(tuple(uniform.shape), share, random))
    one, other = slice(None, -1), slice(1, None)  # neighbours: as many pairs as negatives, not their square
    found = {
        "uniform": geometry.cosine(positive, uniform),
        "mutated": geometry.cosine(positive, mutated),
        "mutated, law": geometry.positive_mutated(positive, uniform, share),
        "two uniform": geometry.cosine(uniform[:, one], uniform[:, other]),
        "two mutated": geometry.cosine(mutated[:, one], mutated[:, other]),
        "two mutated, law": geometry.mutated_mutated(positive, uniform[:, one], uniform[:, other], share),
        "itself": geometry.cosine(uniform, mutated),
        "itself, law": geometry.original_mutated(positive, uniform, share),
    }
    own = view.score(query, target)
    new = ~contains(Facts.of(graph, query).known, ids)  # training gives its answers no margin among themselves
    found["margin"] = (own - view.score(query, ids))[new]
    with torch.no_grad():
        found["mutated margin"] = (own - view.against(query, mutated))[new]
    for label, sampler in samplers.items():
        draws = drawn(sampler, query, view, derive(seed, label), NEGATIVES)
        found[f"noise {label}"] = geometry.cosine(positive, view.rows(draws.ids))[draws.weight > 0]
    return {name: values.flatten().cpu() for name, values in found.items()}


def around(
    view: Live, query: Query, place: int, share: float, entities: int, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """One question's positive (1, w), uniform negatives and the same mutated, both (AROUND, w)."""
    random = generator(derive(seed, place), query.anchor.device)
    ids = torch.randint(entities, (AROUND,), generator=random, device=query.anchor.device)
    positive, uniform = view.rows(query.target[place : place + 1]), view.rows(ids)
    return positive, uniform, mutate(positive, uniform, masks(tuple(uniform.shape), share, random))


def abouts(view: Live, query: Query, share: float, entities: int, seed: int) -> tuple[About, About]:
    """How uniform and mutated negatives lie around each question's positive, means over the questions."""
    rows: dict[str, list[tuple[Spread, Spread]]] = {"uniform": [], "mutated": []}
    predicted = []
    for place in range(len(query)):
        positive, *kinds = around(view, query, place, share, entities, seed)
        for name, negatives in zip(rows, kinds, strict=True):
            rows[name].append(
                (geometry.spread(negatives - positive), geometry.spread(negatives - negatives.mean(0, keepdim=True)))
            )
        predicted.append(geometry.predicted_rank(kinds[0] - positive, share))
    laws = {"uniform": None, "mutated": sum(predicted) / len(predicted)}
    uniform, mutated = (
        About(name, _mean([at for at, _ in found]), _mean([at for _, at in found]), laws[name])
        for name, found in rows.items()
    )
    return uniform, mutated


def _mean(spreads: Sequence[Spread]) -> Spread:
    num = len(spreads)
    return Spread(sum(s.anisotropy for s in spreads) / num, sum(s.rank for s in spreads) / num)


def axes(view: Live, query: Query, tails: Tensor, share: float, entities: int, seed: int) -> Axes:
    """Main axes of the tails of many questions and of the first one's negatives, plain and mutated."""
    positive, uniform, mutated = around(view, query, 0, share, entities, seed)
    groups = {"tails": view.rows(tails.unique()), "uniform": uniform, "mutated": mutated, "positive": positive}
    return geometry.main_axes({name: rows.cpu() for name, rows in groups.items()})


def _rest(own: Trained | None, run: Run, graph: Graph) -> float | None:
    """The margin of the equilibrium model for the run's own settings."""
    if own is None:
        return None
    query = graph.queries(graph.splits["train"][:1], Side.TAIL, grouped=False)
    num = build("noise", run.recipe.noise).bind(training_part(graph), torch.device("cpu")).num(query)
    return equilibrium(own.alpha, own.label, own.take_positive, num)


def by_negatives(values: Mapping[str, float]) -> dict[str, list[tuple[int, float]]]:
    """Curves of cells whose name has a part n-<count>: the name without it -> (count, value), by count.

    Figure 5 of the paper: MRR against the number of negatives. Names without such a part are left out.
    """
    curves: dict[str, list[tuple[int, float]]] = {}
    for name, value in values.items():
        if found := re.search(r"/n-(\d+)(?=/|$)", name):
            rest = name[: found.start()] + name[found.end() :]
            curves.setdefault(rest, []).append((int(found[1]), value))
    return {name: sorted(points) for name, points in curves.items()}
