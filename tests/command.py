"""The command line as a function, tiny graphs as files, and settings that train in a blink."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

from falsum.cli.program import run

QUICK = {"model.dim": 8, "train.epochs": 3, "train.batch_size": 25, "validation.every": 1}
SETS = [part for key, value in QUICK.items() for part in ("--set", f"{key}={value}")]


@dataclass(frozen=True)
class Outcome:
    """What a command ended with."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The message of a refused command: one paragraph on stderr, code 2, no traceback."""
        assert self.code == 2, self
        assert "Traceback" not in self.out + self.err
        assert self.err.startswith("Error: "), self.err
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("Error: ").rstrip()


@dataclass(frozen=True)
class Command:
    """`falsum ARGUMENTS` in this process."""

    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: object) -> Outcome:
        self.capsys.readouterr()
        with mock.patch.object(sys, "argv", ["falsum", *map(str, arguments)]), pytest.raises(SystemExit) as exit:
            run()
        out, err = self.capsys.readouterr()
        return Outcome(int(exit.value.code or 0), out, err)

    def ok(self, *arguments: object) -> str:
        """Standard output of a command that succeeds."""
        outcome = self(*arguments)
        assert (outcome.code, outcome.err) == (0, ""), outcome
        return outcome.out


@pytest.fixture
def falsum(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


def facts(count: int = 100, entities: int = 24) -> list[tuple[str, str, str]]:
    """Distinct triples with something to learn: each relation is a shift on a ring."""
    found = {}
    for i in range(10 * count):
        head, relation = i * 7 % entities, i // entities % 6
        found[f"e{head}", f"r{relation % 3}", f"e{(head + 1 + relation) % entities}"] = None
    return list(found)[:count]


def write_graph(folder: Path, **splits: Sequence[tuple[str, str, str]]) -> Path:
    """A folder of TSV files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, triples in splits.items():
        (folder / f"{name}.tsv").write_text("".join("\t".join(t) + "\n" for t in triples), encoding="utf-8")
    return folder


def small_graph(folder: Path) -> Path:
    """100 triples: 80 / 10 / 10."""
    triples = facts()
    return write_graph(folder, train=triples[:80], valid=triples[80:90], test=triples[90:])
