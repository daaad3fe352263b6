"""Triples from separated text: TSV (no quoting), CSV (RFC 4180 quoting), or single spaces; with or without header."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from falsum.errors import UserError
from falsum.graph.formats.bytes import excerpt, name_and_suffix, refuse_other_formats, utf8
from falsum.graph.formats.columns import Picked, ignored_note, pick
from falsum.graph.formats.parsed import Options, Parsed
from falsum.graph.formats.truth import read_truth, truth_columns, truth_note

SEPARATORS = {"\t": "tabs", ",": "commas", ";": "semicolons", " ": "spaces"}
SPELLED = {"\\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";", "space": " "}
KINDS = {"\t": "TSV", ",": "CSV", ";": "CSV with semicolons", " ": "text separated by spaces"}
SAMPLE = 200
ROLES = ("head", "relation", "tail")


def read_text(path: Path, data: bytes, options: Options) -> Parsed:
    """The triples of a text file, in the order of the file, with duplicates. data: its bytes.

    Raises: UserError with file:line for lines that do not fit, and where two readings are possible.
    """
    data = utf8(path, data)
    refuse_other_formats(path, data)
    lines = text_lines(data)
    sample = lines.head(SAMPLE)
    separator = choose_separator(path, sample, options.separator)
    quoted = separator in ",;" and b'"' in data
    table = read_quoted(path, data, separator) if quoted else split_lines(path, lines, separator)
    fields = [name for name in table.columns if name != "line"]
    first = [str(field) for field in table.select(fields).row(0)]
    where = f"{path}:{table['line'][0]}"
    picked = pick(first, where, options, truth_columns(first, table.slice(1)))
    frame = table.select(
        *(pl.col(fields[at]).alias(role) for at, role in zip(picked.at, ROLES, strict=True)), "line"
    ).slice(1 if picked.header else 0)
    if len(frame) == 0:
        raise UserError(f"{where}: the file holds a header and no triples. Add at least one line.")
    refuse_empty_labels(path, frame)
    if picked.header and options.header is None:
        refuse_triple_as_header(path, frame, [first[at] for at in picked.at])
    ends = "LF" if b"\r\n" not in data else "CRLF" if data.count(b"\r\n") == data.count(b"\n") else "mixed"
    kind = KINDS.get(separator, f"text separated by {separator!r}")
    header = "with" if picked.header else "without"
    source = f"{len(first)}-column {kind} {header} header, {ends} line ends, {picked.said}"
    blank = data.count(b"\n") + (not data.endswith(b"\n")) - len(lines)
    notes: tuple[str, ...] = (f"{path.name}: {blank} empty lines are skipped.",) if blank and not quoted else ()
    notes += ignored_note(first, picked, options.truth is False) + unknown_header_note(path, frame, picked)
    if picked.truth is not None:
        name = first[picked.truth].strip() if picked.header else f"{picked.truth + 1}"
        column = table[fields[picked.truth]].slice(1 if picked.header else 0)
        frame = frame.with_columns(read_truth(path, name, column, frame["line"]))
        notes += (truth_note(path, name, frame),)
    return Parsed(frame, source, notes)


def text_lines(data: bytes) -> pl.DataFrame:
    """The lines that are not empty, without their ends: text, and line (its number, from 1)."""
    lines = pl.read_lines(io.BytesIO(data), name="text", row_index_name="line", row_index_offset=1)
    return lines.filter(pl.col("text") != "").with_columns(pl.col("line").cast(pl.Int64))


def choose_separator(path: Path, sample: pl.DataFrame, given: str | None) -> str:
    """The separator told, or the one that cuts the first lines evenly; tabs win, other ties are refused."""
    if given is not None:
        separator = SPELLED.get(given, given)
        if len(separator) != 1 or separator in '"\r\n':
            raise UserError(f"separator={given!r} is not one character. Legal: tab, comma, semicolon, space, |, ...")
        return separator
    texts, first_line = sample["text"].to_list(), sample["line"][0]
    widths = {separator: field_counts(texts, separator) for separator in SEPARATORS}
    even = [s for s, counts in widths.items() if len(set(counts)) == 1 and counts[0] >= 3]
    if "\t" in even:
        return "\t"
    if " " in even and (widths[" "][0] != 3 or name_and_suffix(path)[1] == ".csv"):
        even.remove(" ")
    if len(even) > 1:
        readings = " or by ".join(f"{SEPARATORS[s]} ({widths[s][0]} columns)" for s in even)
        raise UserError(
            f"{path}:{first_line}: the lines can be split by {readings}: {excerpt(texts[0])}. "
            'Say which: separator=",", ";" or "space".'
        )
    if even:
        return even[0]
    share = {s: sum(count >= 3 for count in counts) / len(counts) for s, counts in widths.items() if s != " "}
    best = max(share, key=lambda s: share[s])
    if share[best] > 0.5 or (share[best] > 0 and len(texts) == 2):
        return best
    if any(sum(count == 2 for count in counts) > len(counts) / 2 for s, counts in widths.items() if s != " "):
        raise UserError(
            f"{path}:{first_line}: the lines have two columns: {excerpt(texts[0])}. "
            "A triple needs three: head, relation and tail. Add the missing column."
        )
    raise UserError(
        f"{path}:{first_line}: the line does not split into head, relation and tail by tabs, commas, semicolons or "
        f'single spaces: {excerpt(texts[0])}. Say the separator, for instance separator="|".'
    )


def field_counts(texts: Sequence[str], separator: str) -> list[int]:
    """The number of fields of each record if `separator` is the separator; [0] if the quoting breaks."""
    if separator not in ",;":
        return [text.count(separator) + 1 for text in texts]
    counts: list[int] = []
    try:
        counts.extend(len(row) for row in csv.reader((t + "\n" for t in texts), delimiter=separator, strict=True))
    except csv.Error:
        # A sample may end inside a quoted field that holds a newline; the records before it are still good.
        if len(texts) < SAMPLE:
            return [text.count(separator) + 1 for text in texts]
    return counts or [0]


def split_lines(path: Path, lines: pl.DataFrame, separator: str) -> pl.DataFrame:
    """Lines cut at every separator: columns 0, 1, ... and line. Raises: UserError at the first line that differs."""
    counts = lines["text"].str.count_matches(separator, literal=True) + 1
    width = usual_width(counts.head(SAMPLE).to_list())
    wrong = (counts != width).arg_true()
    if len(wrong):
        at = int(wrong[0])
        refuse_width(path, int(lines["line"][at]), str(lines["text"][at]), int(counts[at]), width, separator)
    if width < 3:
        refuse_width(path, int(lines["line"][0]), str(lines["text"][0]), width, 3, separator)
    parts = lines["text"].str.split_exact(separator, width - 1).struct.unnest()
    parts.columns = [str(i) for i in range(width)]
    return parts.with_columns(lines["line"])


def usual_width(widths: Sequence[int]) -> int:
    """The most frequent number of fields; of equally frequent ones, one that can hold a triple."""
    times = Counter(widths)
    return max(times, key=lambda width: (times[width], width >= 3))


def refuse_width(path: Path, line: int, text: str, found: int, expected: int, separator: str) -> None:
    name = SEPARATORS.get(separator, repr(separator))
    fields = "1 field" if found == 1 else f"{found} fields"
    other = [f"{words}" for s, words in SEPARATORS.items() if s != separator and text.count(s) == expected - 1]
    hint = f" It looks separated by {' or '.join(other)}: is the separator right?" if other and found == 1 else ""
    raise UserError(
        f"{path}:{line}: {fields} where {expected} are expected (head, relation and tail, separated by {name}): "
        f"{excerpt(text)}.{hint} Correct or remove the line, or say the separator (separator=...)."
    )


def read_quoted(path: Path, data: bytes, separator: str) -> pl.DataFrame:
    """Records with RFC 4180 quoting: columns 0, 1, ... and line.

    The csv module and not polars: it is strict about broken quotes and knows the line of each record.
    """
    text = io.StringIO(data.decode("utf-8"), newline="")
    rows: list[list[str]] = []
    starts: list[int] = []
    reader = csv.reader(text, delimiter=separator, strict=True)
    start = 1
    try:
        for row in reader:
            if row:
                rows.append(row)
                starts.append(start)
            start = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{path}:{start}: the quotes of the record do not match ({error}). A field with quotes in it is written "
            'with the quotes doubled, "like ""this""".'
        ) from None
    width = usual_width([len(row) for row in rows[:SAMPLE]])
    for line, row in zip(starts, rows, strict=True):
        if len(row) != width or width < 3:
            refuse_width(path, line, separator.join(row), len(row), max(width, 3), separator)
    columns = zip(*rows, strict=True)
    table = {str(i): pl.Series(column, dtype=pl.String) for i, column in enumerate(columns)}
    return pl.DataFrame(table).with_columns(pl.Series("line", starts, dtype=pl.Int64))


def refuse_empty_labels(path: Path, frame: pl.DataFrame) -> None:
    """Raises: UserError at the first line with an empty head, relation or tail."""
    for role in ROLES:
        empty = (frame[role] == "").arg_true()
        if len(empty):
            line = frame["line"][int(empty[0])]
            raise UserError(f"{path}:{line}: the {role} is empty. Every triple needs a label in all three places.")


def refuse_triple_as_header(path: Path, frame: pl.DataFrame, names: Sequence[str]) -> None:
    """Raises: UserError if the names of the header are also labels below it: then line 1 may be a triple."""
    again = [name for name, role in zip(names, ROLES, strict=True) if (frame[role] == name).any()]
    if len(again) >= 2:
        raise UserError(
            f"{path}:1: line 1 ({', '.join(names)}) may be a header or a triple: {', '.join(again)} occur below as "
            "labels too. Say which: header=True or header=False."
        )


def unknown_header_note(path: Path, frame: pl.DataFrame, picked: Picked) -> tuple[str, ...]:
    """A sentence if line 1 was read as a triple but none of its labels occurs again: it may be a header."""
    if picked.header or len(frame) < 10:
        return ()
    first = frame.row(0)
    if any((frame[role] == first[i]).sum() > 1 for i, role in enumerate(ROLES)):
        return ()
    if ((frame["tail"] == first[0]) | (frame["head"] == first[2])).any():
        return ()
    return (
        f"{path.name}: line 1 ({', '.join(first[:3])}) was read as a triple, but its labels occur nowhere else; "
        'if it is a header, pass header=True and columns=("head", "relation", "tail") in the order of the file.',
    )
