"""Parts by name: the families, the options of their members, and how a part is built."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

import pydantic
import torch
from pydantic import BaseModel

from falsum.graph.weighting import WEIGHTINGS
from falsum.models import MODELS
from falsum.noise import NOISES
from falsum.objectives import OBJECTIVES
from falsum.objectives.penalties import PENALTIES
from falsum.recipe.numbers import Settings
from falsum.rows.initialisers import INITIALISERS
from falsum.training.optimizers import OPTIMIZERS
from falsum.training.schedules import SCHEDULES

Family = Mapping[str, Any]

FAMILIES: dict[str, Family] = {
    "model": MODELS,
    "noise": NOISES,
    "objective": OBJECTIVES,
    "weighting": WEIGHTINGS,
    "penalty": PENALTIES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "init": INITIALISERS,
}

# Parameters that falsum passes itself: no settings.
GIVEN = {"self", "weight", "seed"}


@cache
def options(family: str, name: str) -> type[BaseModel]:
    """A pydantic model of the settings of one member of a family, read from its signature."""
    signature = inspect.signature(FAMILIES[family][name], eval_str=True)
    fields: dict[str, Any] = {
        key: (p.annotation, ... if p.default is p.empty else p.default)
        for key, p in signature.parameters.items()
        if key not in (GIVEN if family == "init" else {"self"})
    }
    return pydantic.create_model(name, __base__=Settings, **fields)


def resolve(family: str, value: dict[str, Any]) -> dict[str, Any]:
    """A part with its defaults filled in: {"name": ..., option: ...}. Raises ValueError naming what is legal."""
    given = dict(value)
    name = given.pop("name", None)
    if not isinstance(name, str) or name not in FAMILIES[family]:
        raise ValueError(f"{name!r} is no {family}; legal names: {', '.join(FAMILIES[family])}")
    try:
        filled = options(family, name)(**given)
    except pydantic.ValidationError as error:
        raise ValueError(f"in {family} {name!r}: {explain(error, list(options(family, name).model_fields))}") from None
    resolved = {"name": name, **filled.model_dump()}
    if family != "init":
        with torch.device("meta"):  # a model of any size, in no memory
            FAMILIES[family][name](**{k: v for k, v in resolved.items() if k != "name"})  # ranges are its own business
    return resolved


def explain(error: pydantic.ValidationError, legal: list[str]) -> str:
    """A validation error as one line for people."""
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            lines.append(f"unknown key {where!r}; legal keys: {', '.join(legal)}")
        elif item["type"] == "missing":
            lines.append(f"{where!r} is required")
        else:
            message = item["msg"].removeprefix("Value error, ")
            lines.append(f"{where}: {message}" + (f" (got {item['input']!r})" if item["type"] != "value_error" else ""))
    return "; ".join(lines)


def build(family: str, part: Mapping[str, Any]) -> Any:
    """The object that a resolved part describes."""
    rest = {key: value for key, value in part.items() if key != "name"}
    return FAMILIES[family][part["name"]](**rest)
