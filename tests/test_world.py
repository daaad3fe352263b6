"""Tests of the bundled graph ``world``: its files as they are committed, and the script that builds them."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "src" / "falsum" / "graph" / "world"
SCRIPT = ROOT / "scripts" / "build_world.py"
PARTS = ("train", "valid", "test")

# The kind of a relation's heads and tails. A name in another language is a mere string, whatever it names.
KINDS = {
    "chiefly_spoken_in": ("language", "place"),
    "chiefly_used_in": ("script", "place"),
    "clock": ("place", "clock"),
    "currency_decimals": ("currency", "decimals"),
    "currency_position": ("place", "position"),
    "currency_symbol": ("currency", "symbol"),
    "date_order": ("place", "order"),
    "decimal_mark": ("place", "mark"),
    "grouping_mark": ("place", "mark"),
    "has_time_zone": ("place", "zone"),
    "keeps_time": ("place", "time"),
    "local_name": ("place", "name"),
    "located_in": ("place", "place"),
    "member_of": ("place", "union"),
    "native_digits": ("language", "digits"),
    "native_name": ("language", "name"),
    "official_language": ("place", "language"),
    "on_continent": ("place", "place"),
    "ordinal_form": ("language", "category"),
    "plural_form": ("language", "category"),
    "regional_language": ("place", "language"),
    "replaced_by": ("currency", "currency"),
    "speaks": ("place", "language"),
    "used_currency": ("place", "currency"),
    "uses_currency": ("place", "currency"),
    "week_starts_on": ("place", "weekday"),
    "weekend_starts_on": ("place", "weekday"),
    "writing_direction": ("language", "direction"),
    "written_in": ("language", "script"),
    "zone_keeps": ("zone", "time"),
}

Fact = tuple[str, str, str]


def read(name: str) -> list[Fact]:
    """The facts of one part, in the order of its file."""
    text = (FOLDER / f"{name}.tsv").read_bytes().decode("utf-8")
    assert text.endswith("\n")
    facts = []
    for line in text[:-1].split("\n"):
        head, relation, tail = line.split("\t")
        facts.append((head, relation, tail))
    return facts


@pytest.fixture(scope="module")
def parts() -> dict[str, list[Fact]]:
    """The facts of each part."""
    return {name: read(name) for name in PARTS}


@pytest.fixture(scope="module")
def facts(parts: dict[str, list[Fact]]) -> list[Fact]:
    """The facts of all parts together."""
    return [fact for part in parts.values() for fact in part]


def test_size_and_shares(parts: dict[str, list[Fact]], facts: list[Fact]) -> None:
    assert 8_000 <= len(facts) <= 15_000
    for name in ("valid", "test"):
        assert 0.09 <= len(parts[name]) / len(facts) <= 0.11
    assert {relation for _, relation, _ in facts} == set(KINDS)


def test_rows_are_sorted_and_clean(parts: dict[str, list[Fact]]) -> None:
    for part in parts.values():
        assert part == sorted(part)
        for text in (text for fact in part for text in fact):
            assert text
            assert text == text.strip()
            assert not any(unicodedata.category(char) == "Cc" for char in text)
        assert all(re.fullmatch("[a-z]+(_[a-z]+)*", relation) for _, relation, _ in part)


def test_no_fact_occurs_twice(facts: list[Fact]) -> None:
    assert len(set(facts)) == len(facts)


def test_held_out_facts_speak_of_what_train_knows(parts: dict[str, list[Fact]]) -> None:
    entities = {entity for head, _, tail in parts["train"] for entity in (head, tail)}
    relations = {relation for _, relation, _ in parts["train"]}
    for name in ("valid", "test"):
        assert {entity for head, _, tail in parts[name] for entity in (head, tail)} <= entities
        assert {relation for _, relation, _ in parts[name]} <= relations


def test_no_pair_of_entities_is_in_two_parts(parts: dict[str, list[Fact]]) -> None:
    pairs = {name: {frozenset((head, tail)) for head, _, tail in part} for name, part in parts.items()}
    assert not pairs["train"] & pairs["valid"]
    assert not pairs["train"] & pairs["test"]
    assert not pairs["valid"] & pairs["test"]


def test_a_label_is_of_one_kind(facts: list[Fact]) -> None:
    kinds: dict[str, set[str]] = {}
    for head, relation, tail in facts:
        for label, kind in zip((head, tail), KINDS[relation], strict=True):
            kinds.setdefault(label, set()).add(kind)
    assert {label: found for label, found in kinds.items() if len(found) > 1} == {}


def test_no_relation_repeats_or_inverts_another(facts: list[Fact]) -> None:
    pairs: dict[str, set[tuple[str, str]]] = {relation: set() for relation in KINDS}
    for head, relation, tail in facts:
        pairs[relation].add((head, tail))
    inverse = {relation: {(tail, head) for head, tail in found} for relation, found in pairs.items()}
    for one, found in pairs.items():
        for other, others in pairs.items():
            limit = 0.6 * max(len(found), len(others))
            assert one == other or len(found & others) < limit
            assert len(found & inverse[other]) < limit


@pytest.mark.parametrize(
    "fact",
    [
        ("Switzerland", "located_in", "Western Europe"),
        ("Western Europe", "located_in", "Europe"),
        ("Switzerland", "uses_currency", "Swiss Franc"),
        ("Switzerland", "has_time_zone", "Europe/Zurich"),
        ("Côte d’Ivoire", "official_language", "French"),
        ("Georgian", "written_in", "Georgian script"),
        ("German Mark", "replaced_by", "Euro"),
        ("Japanese", "native_name", "日本語"),
        ("Nauru (language)", "chiefly_spoken_in", "Nauru"),
        ("Hebrew", "writing_direction", "right-to-left"),
        ("Croatia", "member_of", "Eurozone"),
    ],
)
def test_known_facts(facts: list[Fact], fact: Fact) -> None:
    assert fact in facts


def test_notice_carries_the_licence() -> None:
    notice = (FOLDER / "NOTICE").read_text(encoding="utf-8")
    assert "UNICODE LICENSE V3" in notice
    assert "Unicode, Inc." in notice
    assert "SPDX-License-Identifier: Unicode-3.0" in notice


def test_script_reproduces_the_files(tmp_path: Path) -> None:
    pinned = re.search('^BABEL_VERSION = "(.+)"$', SCRIPT.read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned is not None
    try:
        installed = importlib.metadata.version("babel")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"rebuilding the graph needs Babel {pinned[1]}, and no Babel is installed")
    if installed != pinned[1]:
        pytest.skip(f"rebuilding the graph needs Babel {pinned[1]}, and Babel {installed} is installed")
    subprocess.run([sys.executable, str(SCRIPT), "--out", str(tmp_path)], check=True, capture_output=True)
    for name in ("train.tsv", "valid.tsv", "test.tsv", "NOTICE"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes(), name
