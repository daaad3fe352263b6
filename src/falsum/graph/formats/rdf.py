"""Triples from RDF by pyoxigraph. The policy for what is not a link between two named things is here.

IRIs are labels in full, without angle brackets. Blank nodes are entities `_:name`, one space of names per graph;
nodes without a name get `_:anonymous-FILE-NUMBER` by order. Literals are left out and counted, or kept as entities
in the spelling of N-Triples with `xsd:` for the XML Schema namespace. Statements about statements are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyoxigraph

from falsum.errors import UserError
from falsum.graph.formats.bytes import excerpt, line_of, name_and_suffix, utf8
from falsum.graph.formats.parsed import Options, Parsed

FORMATS = {
    ".nt": pyoxigraph.RdfFormat.N_TRIPLES,
    ".nq": pyoxigraph.RdfFormat.N_QUADS,
    ".ttl": pyoxigraph.RdfFormat.TURTLE,
    ".trig": pyoxigraph.RdfFormat.TRIG,
    ".rdf": pyoxigraph.RdfFormat.RDF_XML,
    ".owl": pyoxigraph.RdfFormat.RDF_XML,
    ".xml": pyoxigraph.RdfFormat.RDF_XML,
}
PLAIN_ENTITY = re.compile(rb"""<!ENTITY\s+([^\s%&;"'<>]+)\s+["']([^"'&%<]*)["']\s*>""")
EXPANSION = 10
XSD = "^^<http://www.w3.org/2001/XMLSchema#"
# pyoxigraph gives a blank node without a name a random number of 128 bits that begins with a letter, in hexadecimal
# and without leading zeros: other digits at every read, and one in sixteen has fewer than 32 of them. Less than 16
# digits have a chance of 16**-16.
NAMELESS = re.compile(rb"[a-f][0-9a-f]{15,31}")


@dataclass(slots=True)
class Labels:
    """Terms to labels for one file, counting what the policy leaves out."""

    stem: str
    named: set[bytes]
    keep_literals: bool
    anonymous: dict[str, str] = field(default_factory=dict)
    literals: int = 0
    nested: int = 0
    blanks: int = 0

    def blank(self, value: str) -> str:
        self.blanks += 1
        if not NAMELESS.fullmatch(value.encode()) or value.encode() in self.named:
            return f"_:{value}"
        return self.anonymous.setdefault(value, f"_:anonymous-{self.stem}-{len(self.anonymous) + 1}")

    def of(self, term: Any) -> str | None:
        """The label of a subject or object; None if it is left out."""
        if isinstance(term, pyoxigraph.NamedNode):
            return str(term.value)
        if isinstance(term, pyoxigraph.BlankNode):
            return self.blank(str(term.value))
        if isinstance(term, pyoxigraph.Literal):
            self.literals += 1
            if not self.keep_literals:
                return None
            text = str(term)
            head, mark, kind = text.rpartition(XSD)
            return f"{head}^^xsd:{kind.removesuffix('>')}" if mark and '"' not in kind else text
        self.nested += 1
        return None


def read_rdf(path: Path, data: bytes, options: Options, suffix: str) -> Parsed:
    """The triples of an RDF file; `line` counts kept triples from 1. suffix: the format, a key of FORMATS.

    Raises: UserError where the parser stops, with the line if it tells one; and if no triple is left.
    """
    if options.literals not in (None, "drop", "keep"):
        raise UserError(f'literals={options.literals!r} is unknown. Legal: "drop" and "keep".')
    data = utf8(path, data)
    stem, kind = name_and_suffix(path)[0], FORMATS[suffix]
    if kind == pyoxigraph.RdfFormat.RDF_XML:
        refuse_expansion(path, data)
    labels = Labels(stem, set(NAMELESS.findall(data)), options.literals == "keep")
    heads, relations, tails = [], [], []
    for quad in parse(path, data, kind):
        head, tail = labels.of(quad.subject), labels.of(quad.object)
        if head is not None and tail is not None:
            heads.append(head)
            relations.append(quad.predicate.value)
            tails.append(tail)
    notes = policy_notes(path, labels)
    if not heads:
        raise UserError(
            f'{path}: no triple links two entities. {" ".join(notes)} To read literals as entities: literals="keep".'
        )
    frame = pl.DataFrame({"head": heads, "relation": relations, "tail": tails}, schema_overrides=dict.fromkeys(
        ("head", "relation", "tail"), pl.String
    )).with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("line"))  # fmt: skip
    return Parsed(frame, f"{kind.name}, subject predicate object", notes)


def refuse_expansion(path: Path, data: bytes) -> None:
    """Raises: UserError unless the entities that an XML file declares are plain text and make it little longer.

    Ontologies shorten their IRIs by such entities, so they are legal; entities within entities or from other files are
    not, for a few lines of them can fill any memory and end the process.
    """
    plain = list(PLAIN_ENTITY.finditer(data))
    if len(plain) < data.count(b"<!ENTITY"):
        other = PLAIN_ENTITY.sub(lambda match: b" " * len(match[0]), data).find(b"<!ENTITY")
        raise UserError(
            f"{path}:{line_of(data, other)}: an XML entity that holds other entities, or is read from elsewhere: "
            f"{excerpt(data[other : other + 60].decode('utf-8', 'replace'))}. Legal are entities of plain text: write "
            "them out."
        )
    size = sum(data.count(b"&" + match[1] + b";") * len(match[2]) for match in plain)
    if size > EXPANSION * len(data):
        raise UserError(
            f"{path}:{line_of(data, plain[0].start())}: the XML entities declared here would make the file more than "
            f"{EXPANSION} times as large. Write the file without entities."
        )


def parse(path: Path, data: bytes, kind: pyoxigraph.RdfFormat) -> Iterator[Any]:
    try:
        yield from pyoxigraph.parse(data, format=kind)
    except (SyntaxError, ValueError) as error:
        line, said = "", str(error)
        if isinstance(error, SyntaxError) and error.lineno:
            line, said = f":{error.lineno}", error.msg
        raise UserError(f"{path}{line}: not valid {kind.name}: {said}. Correct the file there.") from None


def policy_notes(path: Path, labels: Labels) -> tuple[str, ...]:
    notes = []
    if labels.literals:
        done = "are kept as entities" if labels.keep_literals else 'are left out (literals="keep" keeps them)'
        notes.append(f"{path.name}: {labels.literals} triples with a literal {done}.")
    if labels.blanks:
        notes.append(f"{path.name}: blank nodes are entities named _:id, shared by the files of the graph.")
    if labels.nested:
        notes.append(f"{path.name}: {labels.nested} statements about statements are left out.")
    return tuple(notes)
