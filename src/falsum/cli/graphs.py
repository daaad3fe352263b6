"""Commands about graphs and recipes."""

from __future__ import annotations

from collections.abc import Sequence

from falsum import recipes
from falsum.cli import tables
from falsum.cli.console import load_graph, read_options
from falsum.cli.terminal import out, say, show
from falsum.graph import GRAPHS, inspect, load


def graph(name: str | None, read: Sequence[str]) -> None:
    if name is None:
        for named in GRAPHS:
            say(f"{named.name:14s} {', '.join(named.aliases)}")
        return
    show(*tables.inspection(inspect(load_graph(name, **read_options(read)))))


def show_recipes(name: str | None, on: str) -> None:
    if name is None:
        for each in recipes.names():
            say(each)
        return
    out.print(recipes.recipe(name, load(on)).to_toml(), markup=False)
