"""What a run keeps for life: the graph, and the settings that say what its weights are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from falsum.recipe.settings import Recipe


def fixed(recipe: Recipe, graph_sha256: str) -> dict[str, Any]:
    """Dotted key -> value, as JSON gives it back. Every file of weights or numbers holds it, and is held to it.

    What is learned: model, every term of the loss, noise, weights of triples, inverse relations, and what the start
    and every draw are made from. How fast and how long it is learned may change while a run lives: options of the
    optimizer, schedule, penalties, dropout, validation, epochs.
    """
    train = {key: getattr(recipe.train, key) for key in ("batch_size", "inverses", "order", "seed")}
    parts = {key: getattr(recipe, key) for key in ("model", "objective", "noise", "weighting", "mutation")}
    terms = {str(place): term.model_dump() for place, term in enumerate(recipe.terms)}
    kept = {"graph": graph_sha256, **parts, "terms": terms, "init": recipe.init.model_dump()}
    kept |= {"optimizer": {"name": recipe.optimizer["name"]}, "train": train}
    return dict(json.loads(json.dumps(_flat(kept))))


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs, in words. A key that only one has says nothing: another falsum may know other options."""
    return [f"{key} was {then[key]} and is {now[key]}" for key in now if key in then and then[key] != now[key]]
