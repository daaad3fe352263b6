"""README.md and docs/ run as they stand: every python block and every command, of one page in order.

Only how long a page trains is changed, by `hasty`.
"""

from __future__ import annotations

import re
import shlex
import sys
import types
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from unittest import mock

import pytest
import typer.main
from markdown_it import MarkdownIt

from command import Command, falsum
from falsum import api
from falsum.cli.commands import app
from falsum.recipe.parts import FAMILIES
from falsum.recipe.text import parse_setting

__all__ = ["falsum"]

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

# Blocks that are read and not run: how they begin, and why.
READ_ONLY = {
    "class LogSumExp(Summary):": "an excerpt of the library, without its imports",
}
# Commands that are parsed, down to their settings, and not run.
TOO_LONG = {
    "demo": "trains for a minute",
    "theory": "trains every loss and noise to its optimum; tests/test_theory.py",
    "compare": "trains for minutes, on a graph that is not bundled; tests/test_comparison.py",
    "probe": "trains a model and measures for half a minute; tests/test_probe.py",
    "reproduce": "trains for hours; tests/test_reproduce.py",
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page. line: of its first line, from 1."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Shell:
    """One line of a shell block. into: the file that it writes, if any; text: the here-document that goes there."""

    words: list[str]
    into: str | None = None
    text: str = ""


def blocks(page: Path) -> list[Block]:
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    return [Block(page, t.map[0] + 2, t.info, t.content) for t in tokens if t.type == "fence" and t.map]


def shell(text: str) -> Iterator[Shell]:
    """The lines of a shell block: comments, continued lines, `> FILE` at the end and here-documents, no more."""
    lines = iter(text.replace("\\\n", " ").splitlines())
    for line in lines:
        words = shlex.split(line, comments=True)
        document = ""
        if words and words[-1].startswith("<<"):
            end = words.pop().removeprefix("<<")
            document = "".join(f"{each}\n" for each in iter(lambda: next(lines), end))
        if words:
            into = words[-1] if words[-2:-1] == [">"] else None
            yield Shell(words[:-2] if into else words, into, document)


def hasty(text: str) -> str:
    """The text with epochs=1, seeds=2 and tune=1: `train.epochs=20`, `"train.epochs": 20`, `3epochs`, `seeds=3`."""
    for word, little in (("epochs", 1), ("seeds", 2), ("tune", 1)):
        text = re.sub(rf'(\b{word}"?\s*[=:]\s*)\d+', rf"\g<1>{little}", text)
    return re.sub(r"\b\d+(?=epochs)", "1", text)


def commands() -> list[tuple[str, list[str]]]:
    """(where, words) of every `falsum ...` line of the pages."""
    found = [(block, line) for page in PAGES for block in blocks(page) if block.language == "sh"
             for line in shell(block.text)]  # fmt: skip
    return [(str(block), line.words) for block, line in found if line.words[0] == "falsum"]


def settings_of(words: list[str]) -> list[str]:
    """Parse a command without running it; what it asks of --set. Raises a usage error as the command would."""
    name, *arguments = words[1:]
    group = typer.main.get_command(app)
    command = group.commands[name]  # type: ignore[attr-defined]
    for inner in arguments[:1]:
        if inner in getattr(command, "commands", {}):  # falsum theory emu
            command, name, arguments = command.commands[inner], inner, arguments[1:]
    with command.make_context(name, arguments) as context:
        return list(context.params.get("settings") or [])


@pytest.mark.parametrize(("where", "words"), [pytest.param(*each, id=each[0]) for each in commands()])
def test_every_command_parses(where: str, words: list[str]) -> None:
    settings = dict(parse_setting(text) for text in settings_of(words))
    api.recipe("default", "world", **settings)


def test_the_parser_can_refuse() -> None:
    with pytest.raises(Exception, match="No such option"):
        settings_of(["falsum", "train", "world", "--seed", "1"])
    with pytest.raises(Exception, match="No such option"):
        settings_of(["falsum", "theory", "emu", "--graph", "world"])
    with pytest.raises(Exception, match="Missing parameter"):
        settings_of(["falsum", "train"])
    with pytest.raises(KeyError):
        settings_of(["falsum", "fly"])


def test_the_shell_reader_reads_what_the_pages_write() -> None:
    text = "cat > a.ttl <<'END'\nex:a 'b' # c\nEND\nfalsum graph \\\n  'a b' > c.txt  # why\n\n# nothing\n"
    assert list(shell(text)) == [
        Shell(["cat"], "a.ttl", "ex:a 'b' # c\n"),
        Shell(["falsum", "graph", "a b"], "c.txt"),
    ]


def test_haste_changes_how_long_and_nothing_else() -> None:
    text = 'train.epochs=20 {"train.epochs": 20} {"epochs": 2} "3epochs", seeds=3, tune=2 anneal_epochs=9 dim=64'
    quick = 'train.epochs=1 {"train.epochs": 1} {"epochs": 1} "1epochs", seeds=2, tune=1 anneal_epochs=9 dim=64'
    assert hasty(text) == quick


@pytest.fixture
def families() -> Iterator[None]:
    """Members that a page adds are taken out again."""
    with ExitStack() as stack:
        for members in FAMILIES.values():
            stack.enter_context(mock.patch.dict(members))
        yield


@pytest.mark.usefixtures("families")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs_from_top_to_bottom(
    page: Path, falsum: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FALSUM_DATA", raising=False)
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)  # where dataclasses look their annotations up
    for block in blocks(page):
        if block.language == "python" and not block.text.startswith(tuple(READ_ONLY)):
            # Blank lines before it, so that a traceback shows the line of the page
            code = "\n" * (block.line - 1) + hasty(block.text)
            exec(compile(code, str(block.page), "exec"), module.__dict__)
        if block.language == "sh":
            for line in shell(block.text):
                follow(line, str(block), falsum)


def follow(line: Shell, where: str, falsum: Command) -> None:
    """Do what a line of shell does, if it is one of falsum's; of other programs only what they name must be there."""
    program, *arguments = line.words
    output = line.text
    if program == "falsum" and arguments[0] not in TOO_LONG:
        outcome = falsum(*map(hasty, arguments))
        assert outcome.code == 0, f"{where}: {shlex.join(line.words)}: {outcome.err}"
        output = outcome.out
    if program == "python":
        assert (ROOT / arguments[0]).is_file(), where
    if program == "make":
        assert f"\n{arguments[0]}:" in (ROOT / "Makefile").read_text(encoding="utf-8"), where
    if line.into is not None:
        Path(line.into).write_text(output, encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_dotted_name_is_there(page: Path) -> None:
    """`falsum.models.MODELS` in running text; resolve_name raises where there is none."""
    inline = [child for token in MarkdownIt().parse(page.read_text(encoding="utf-8")) for child in token.children or []]
    names = {child.content for child in inline if child.type == "code_inline"}
    for name in sorted(name for name in names if re.fullmatch(r"falsum(\.\w+)+", name)):
        resolve_name(name)


def test_no_exception_is_stale() -> None:
    texts = [block.text for page in PAGES for block in blocks(page)]
    assert [start for start in READ_ONLY if not any(text.startswith(start) for text in texts)] == []
    assert TOO_LONG.keys() - {words[1] for _, words in commands()} - {"demo"} == set()
