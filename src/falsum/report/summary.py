"""What a run folder says about itself, in the words that tables and pages share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from falsum.recipe.settings import Pretraining, Recipe
from falsum.run.folder import graph_facts
from falsum.run.run import Run

HASH_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Summary:
    """One run in a line. metrics and card are None before an evaluation, and when it is out of date for the reason
    `stale`; epochs and seconds count training so far.
    """

    name: str
    graph: str
    graph_sha256: str
    model: str
    loss: str
    noise: str
    dim: int
    metrics: Mapping[str, float] | None
    card: Mapping[str, Any] | None
    stale: str
    epochs: int
    seconds: float


def summarize(run: Run) -> Summary:
    """The summary of a run folder. Raises UserError when one of its files is damaged."""
    facts, recipe, history, kept = graph_facts(run.folder), run.recipe, run.history(), run.kept()
    return Summary(
        name=run.folder.resolve().name,
        graph=facts.name,
        graph_sha256=facts.sha256,
        model=recipe.model["name"],
        loss=recipe.objective["name"],
        noise=recipe.noise["name"],
        dim=recipe.model["dim"],
        metrics=kept.result.metrics if kept.result else None,
        card=kept.result.protocol.model_dump() if kept.result else None,
        stale=kept.stale,
        epochs=max((line["epoch"] for line in history), default=0),
        seconds=max((line["seconds"] for line in history), default=0.0),
    )


def protocol_rules(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The rules behind the numbers as (name, value): all that must be equal for two runs to compare on a graph."""
    filters = " and ".join(_listed(card["filter_splits"])) if card["filter_splits"] else "nothing: raw ranks"
    relative, absolute = card["tolerance"]
    width = f"scores within {absolute:g} + {relative:g} |s| tie" if relative or absolute else "exact"
    return [
        ("protocol", card["name"]),
        ("split", card["split"] + (", each triple once" if card["distinct"] else "")),
        ("sides", " and ".join(card["sides"])),
        ("ties", f"{card['tie']}, {width}"),
        ("filtered by", filters),
        ("candidates", card["candidates"]),
        ("unseen in training", "triples with it dropped" if card["unseen"] == "drop" else "kept, and ranked"),
        ("scores", card["precision"]),
    ]


def protocol_facts(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The rules, and what they came to on the graph of the run."""
    dropped = f", {card['dropped_triples']:,} dropped" if card["dropped_triples"] else ""
    inverses = "yes: head questions are asked by them" if card["inverse_relations"] else "no"
    return [*protocol_rules(card), ("triples", f"{card['triples']:,}{dropped}"), ("inverse relations", inverses)]


def protocol_line(card: Mapping[str, Any]) -> str:
    """The rules on one line."""
    (_, name), *rules = protocol_rules(card)
    return "; ".join([name, *(f"{rule}: {value}" for rule, value in rules)])


def evaluation_line(card: Mapping[str, Any]) -> str:
    """The rules and what they came to on one line, with the start of the graph's hash."""
    (_, name), *rules = protocol_rules(card)
    dropped = [f"{card['dropped_triples']:,} triples dropped"] if card["dropped_triples"] else []
    facts = [f"protocol {name}: {card['triples']:,} triples", *dropped, *(f"{rule}: {value}" for rule, value in rules)]
    return "; ".join([*facts, f"graph sha256: {card['graph_sha256'][:HASH_LENGTH]}"])


def recipe_facts(recipe: Recipe) -> list[tuple[str, str]]:
    """The settings that people compare, as (name, value); the recipe's file has all."""
    train = recipe.train
    rates = {"entity": recipe.dropout.entity, "relation": recipe.dropout.relation}
    return [
        ("model", part_text(recipe.model)),
        ("loss", part_text(recipe.objective)),
        ("noise", part_text(recipe.noise)),
        ("weights of triples", part_text(recipe.weighting)),
        *([("starts from", _source(recipe.pretraining))] if recipe.pretraining else []),
        ("penalty", " + ".join(part_text(part) for part in recipe.penalty) or "none"),
        ("optimizer", part_text(recipe.optimizer)),
        ("schedule", part_text(recipe.schedule)),
        ("dropout", ", ".join(f"{rate:g} of {name} rows" for name, rate in rates.items() if rate) or "none"),
        ("batch size", f"{train.batch_size:,} triples"),
        ("epochs", f"at most {train.epochs:,}"),
        ("inverse relations", "yes" if train.inverses else "no"),
        ("seed", str(train.seed)),
    ]


def _source(rules: Pretraining) -> str:
    """What a run starts from: the run folder, or the recipe that is trained first."""
    source = rules.source if isinstance(rules.source, str) else f"recipe {rules.source.name}"
    parts = [] if rules.parts == "all" else ["rows only"]
    parts += [] if rules.inverses else ["without inverse relations"]
    return ", ".join([source, *parts])


def part_text(part: Mapping[str, Any]) -> str:
    """A part of a recipe: its name, and its options in brackets."""
    options = ", ".join(f"{key} {_plain(value)}" for key, value in part.items() if key != "name" and value is not None)
    return f"{part['name']} ({options})" if options else str(part["name"])


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _listed(names: Sequence[str]) -> list[str]:
    return [", ".join(names[:-1]), names[-1]] if len(names) > 1 else list(names)
