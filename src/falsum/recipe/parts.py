"""Parts by name: the families, the options of their members, and how a part is built."""

from __future__ import annotations

import dataclasses
import inspect
from collections import ChainMap
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, get_type_hints

import pydantic
import torch
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from falsum.curves import CURVES, Curve
from falsum.graph.weighting import WEIGHTINGS, Weighting
from falsum.models import MODELS, NETWORKS
from falsum.mutations import MUTATIONS, Mutation
from falsum.noise import NOISES, Noise
from falsum.noise.counts import COUNTS, Count
from falsum.noise.pools import POOLS, Pool
from falsum.noise.proposals import PROPOSALS, Proposal
from falsum.noise.slots import SLOTS, Slot
from falsum.noise.suspects import SUSPECTS, Suspects
from falsum.objectives import OBJECTIVES, Objective
from falsum.objectives.penalties import PENALTIES
from falsum.recipe.numbers import Settings
from falsum.recipe.text import explain
from falsum.rows.initialisers import INITIALISERS
from falsum.training.optimizers import OPTIMIZERS
from falsum.training.schedules import SCHEDULES

Family = Mapping[str, Any]

FAMILIES: dict[str, Family] = {
    "model": ChainMap[str, Any](NETWORKS, MODELS),
    "noise": NOISES,
    "proposal": PROPOSALS,
    "pool": POOLS,
    "slot": SLOTS,
    "count": COUNTS,
    "suspects": SUSPECTS,
    "curve": CURVES,
    "mutation": MUTATIONS,
    "objective": OBJECTIVES,
    "weighting": WEIGHTINGS,
    "penalty": PENALTIES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "init": INITIALISERS,
}

# The base class of a family: a parameter annotated with it, or with one of its subclasses, is a part itself.
BASES: dict[type, str] = {
    Noise: "noise",
    Proposal: "proposal",
    Pool: "pool",
    Slot: "slot",
    Count: "count",
    Suspects: "suspects",
    Curve: "curve",
    Mutation: "mutation",
    Objective: "objective",
    Weighting: "weighting",
}

# Parameters that falsum passes itself: no settings.
GIVEN = {"self", "weight", "seed"}


def part(family: str, base: type | None = None) -> Any:
    """The type of a setting that is a member of a family by name, or of those that are a `base`."""
    check = AfterValidator(lambda value: resolve(family, value, base))
    return Annotated[dict[str, Any], BeforeValidator(lambda value: written(family, value)), check]


def written(family: str, value: Any) -> Any:
    """A part that is written short: its name alone, or a number in the place of a curve."""
    if isinstance(value, str):
        return {"name": value}
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"name": "constant", "value": value} if family == "curve" and number else value


@cache
def options(family: str, name: str) -> type[BaseModel]:
    """A pydantic model of the settings of one member of a family, read from its signature. Parts may hold parts."""
    member = FAMILIES[family][name]
    hints, fields = hints_of(member), dict[str, Any]()
    for key, p in inspect.signature(member).parameters.items():
        if key in (GIVEN if family == "init" else {"self"}):
            continue
        inner = family_of(hints[key])
        if inner is None:
            fields[key] = (hints[key], ... if p.default is p.empty else p.default)
        elif p.default is p.empty:
            fields[key] = (part(inner, hints[key]), ...)
        else:
            default = Field(default=described(inner, p.default), validate_default=True)
            fields[key] = (part(inner, hints[key]), default)
    return pydantic.create_model(name, __base__=Settings, **fields)


@cache
def hints_of(member: Any) -> dict[str, Any]:
    """The types of a member's parameters. A dataclass is asked itself: its fields may come from other modules."""
    plain = not inspect.isclass(member) or dataclasses.is_dataclass(member)
    return get_type_hints(member if plain else member.__init__)


def family_of(annotation: Any) -> str | None:
    """The family that an annotated base class stands for; None for plain settings."""
    bases = (family for base, family in BASES.items() if inspect.isclass(annotation) and issubclass(annotation, base))
    return next(bases, None)


def described(family: str, member: Any) -> dict[str, Any]:
    """A member of a family as a part: {"name": ..., option: ...}, and so the parts in it."""
    cls: Any = type(member)
    name = next(name for name, each in FAMILIES[family].items() if each is cls)
    values = {key: getattr(member, key) for key in options(family, name).model_fields}
    inner = {key: family_of(hints_of(cls)[key]) for key in values}
    return {"name": name} | {k: described(f, v) if (f := inner[k]) else v for k, v in values.items()}


def resolve(family: str, value: dict[str, Any], base: type | None = None) -> dict[str, Any]:
    """A part with its defaults filled in, and those of the parts in it: {"name": ..., option: ...}.

    Raises ValueError naming what is legal.
    """
    given = dict(value)
    name = given.pop("name", None)
    legal = [key for key, cls in FAMILIES[family].items() if base is None or issubclass(cls, base)]
    if not isinstance(name, str) or name not in legal:
        raise ValueError(f"{name!r} is no {family} that can stand here; legal names: {', '.join(legal)}")
    try:
        filled = options(family, name)(**given)
    except pydantic.ValidationError as error:
        raise ValueError(f"in {family} {name!r}: {explain(error, options(family, name))}") from None
    resolved = {"name": name, **filled.model_dump()}
    if family != "init":
        with torch.device("meta"):  # a model of any size, in no memory
            build(family, resolved)  # ranges are its own business
    return resolved


def build(family: str, part: Mapping[str, Any]) -> Any:
    """The object that a resolved part describes, with the parts in it."""
    cls = FAMILIES[family][part["name"]]
    inner = {key: family_of(hint) for key, hint in hints_of(cls).items()}
    rest = {key: value for key, value in part.items() if key != "name"}
    return cls(**{key: build(f, value) if (f := inner.get(key)) else value for key, value in rest.items()})
