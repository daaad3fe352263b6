"""Noises as they are named on a command line: NAME, or NAME:key=value,key=value."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from falsum.errors import UserError
from falsum.graph.graph import Graph
from falsum.noise import NOISES, Noise, Sampler
from falsum.probe.truths import training_part
from falsum.recipe.parts import build, resolve
from falsum.recipe.text import assign, parse_setting


@dataclass(frozen=True, slots=True)
class Chosen:
    """A noise and what it is called. part: its settings, all of them."""

    label: str
    noise: Noise
    part: dict[str, Any]

    def bind(self, graph: Graph, device: torch.device) -> Sampler:
        """The sampler on a graph. Raises UserError where the noise cannot draw from it."""
        try:
            return self.noise.bind(graph, device).to(device)
        except ValueError as error:
            raise UserError(f"Noise {self.label!r} does not fit graph {graph.name!r}: {error}.") from None


def chosen(text: str) -> Chosen:
    """The noise that a text such as "best-of:of=8" names.

    Raises UserError with the closest names, or what is wrong with the settings and which are legal.
    """
    name, _, rest = text.partition(":")
    name = name.strip()
    if name not in NOISES:
        close = difflib.get_close_matches(name, NOISES, n=3, cutoff=0.5)
        like = f" The closest: {', '.join(close)}." if close else ""
        raise UserError(f"There is no noise {name!r}.{like} All: {', '.join(NOISES)}.")
    settings = [parse_setting(each) for each in _parts(rest)]
    try:
        values = resolve("noise", {"name": name}) if any("." in key for key, _ in settings) else {"name": name}
        for key, value in settings:
            assign(values, key, value)
        part = resolve("noise", values)
    except ValueError as error:
        raise UserError(f"--noise {text}: {str(error).rstrip('.')}. For example: --noise uniform:num=64.") from None
    return Chosen(text, build("noise", part), part)


def _parts(text: str) -> list[str]:
    """Settings between commas that stand in no brackets and no quotes."""
    found, depth, quote = [""], 0, ""
    for letter in text:
        if letter in "\"'":
            quote = "" if letter == quote else quote or letter
        depth += 0 if quote else (letter in "[{") - (letter in "]}")
        if letter == "," and not depth and not quote:
            found.append("")
        else:
            found[-1] += letter
    return [each for each in found if each.strip()]


def default_noises(graph: Graph) -> tuple[list[Chosen], list[str]]:
    """Every noise that is whole with its defaults and fits the graph, and why the others are left out."""
    found, left_out = [], []
    for name in NOISES:
        try:
            each = chosen(name)
            each.bind(training_part(graph), torch.device("cpu"))
        except UserError as error:
            left_out.append(f"{name} is left out: {error}")
        else:
            found.append(each)
    return found, left_out


def all_chosen(texts: Sequence[str], graph: Graph) -> tuple[list[Chosen], list[str]]:
    """The noises of these texts, each once, or the default ones where there are none; and what was left out."""
    if not texts:
        return default_noises(graph)
    found = [chosen(text) for text in dict.fromkeys(texts)]
    for each in found:
        each.bind(training_part(graph), torch.device("cpu"))
    return found, []
