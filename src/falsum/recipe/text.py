"""Settings as text: dotted keys, their values, and what is wrong with them."""

from __future__ import annotations

import inspect
import tomllib
from typing import Any, get_args

import pydantic
from pydantic import BaseModel

from falsum.errors import UserError


def parse_setting(text: str) -> tuple[str, Any]:
    """ "model.dim=256" -> ("model.dim", 256): the value is read as TOML, or kept as text."""
    key, found, value = text.partition("=")
    if not found or not key.strip():
        raise UserError(f"--set takes key=value, for example --set model.dim=256; got {text!r}.")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def assign(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key of nested settings in place. Raises UserError that lists what is legal at that depth."""
    *path, last = key.split(".")
    here: Any = values
    for part in path:
        if isinstance(here, list):
            here = here[int(part)] if part.isdigit() and int(part) < len(here) else None
        else:
            if part == "pretraining" and here.get(part) is None:
                here[part] = {}
            here = here.get(part) if isinstance(here, dict) else None
        if not isinstance(here, dict | list):
            legal = ", ".join(values)
            raise UserError(f"Unknown setting {key!r}: {part!r} is no group of settings; legal groups: {legal}.")
    if path and last == "name" and isinstance(here, dict):
        # Another member has other options: start from its defaults, but keep the size of the rows.
        kept = {"dim": here["dim"]} if path == ["model"] and "dim" in here else {}
        here.clear()
        here |= kept
    if isinstance(here, list):
        raise UserError(f"Unknown setting {key!r}: name an option, for example penalty.0.weight.")
    # "model" alone names the member: --set model=rotate
    if isinstance(here.get(last), dict) and isinstance(value, str) and path != ["pretraining"]:
        dim = here[last].get("dim") if last == "model" else None
        here[last] = {"name": value} | ({"dim": dim} if dim else {})
    else:
        here[last] = value


def explain(error: pydantic.ValidationError, root: type[BaseModel]) -> str:
    """What is wrong with the settings of `root`, as one line for people that lists what is legal at that depth."""
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            lines.append(f"unknown key {where!r}; legal keys here: {', '.join(_legal(root, item['loc'][:-1]))}")
        elif item["type"] == "missing":
            lines.append(f"{where!r} is required")
        else:
            message = item["msg"].removeprefix("Value error, ")
            got = "" if item["type"] == "value_error" else f" (got {item['input']!r})"
            lines.append(f"{where}: {message}{got}")
    return "; ".join(lines)


def _legal(root: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    here = root
    for part in (part for part in path if isinstance(part, str)):
        annotation = here.model_fields[part].annotation if part in here.model_fields else None
        annotation = next(iter(get_args(annotation)), annotation)  # of a list, what is in it
        if not (inspect.isclass(annotation) and issubclass(annotation, BaseModel)):
            break
        here = annotation
    return list(here.model_fields)


def without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_none(v) for k, v in value.items() if v is not None}
    return [without_none(v) for v in value] if isinstance(value, list) else value
