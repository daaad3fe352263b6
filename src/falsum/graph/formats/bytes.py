"""Bytes in: decompress, and refuse what no reader of triples can use (empty, binary, not UTF-8, a page, JSON)."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import zstandard

from falsum.errors import UserError
from falsum.files import opened

COMPRESSIONS = (".gz", ".zst")
FIRST_BYTES = 1 << 16
PAGE = re.compile(rb"<!doctype\s+html|<html[\s>]", re.IGNORECASE)
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def name_and_suffix(path: Path) -> tuple[str, str]:
    """("train", ".tsv") of train.tsv, Train.TSV and train.tsv.gz: lower case, without the compression."""
    name = path.name.lower()
    for compression in COMPRESSIONS:
        name = name.removesuffix(compression)
    plain = Path(name)
    return plain.stem, plain.suffix


@contextmanager
def open_plain(path: Path) -> Iterator[IO[bytes]]:
    """A file or pipe opened for bytes, decompressed on the way if its name ends in .gz or .zst."""
    suffix = path.suffix.lower()
    with opened(path) as file:
        if suffix == ".gz":
            with gzip.GzipFile(fileobj=file) as plain:
                yield cast(IO[bytes], plain)
        elif suffix == ".zst":
            with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=False) as reader:
                yield reader
        else:
            yield file


def read_bytes(path: Path, size: int = -1) -> bytes:
    """The content of a file, or its first `size` bytes, decompressed if its name ends in .gz or .zst.

    Raises: UserError if the file is missing, unreadable, empty or wrongly compressed.
    """
    try:
        with open_plain(path) as file:
            data = file.read(size)
    except (gzip.BadGzipFile, zlib.error, EOFError, zstandard.ZstdError) as error:
        raise UserError(
            f"{path}: the file name says that it is compressed, but it cannot be decompressed ({error}). "
            "Compress it again, or rename it if it is plain text."
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}). Check the path and its rights.") from None
    if not data.strip():
        raise UserError(f"{path}: the file is empty. A file of triples holds at least one: head, relation and tail.")
    return data


def read_utf8(path: Path) -> bytes:
    """The content of a text file; see `read_bytes` and `utf8`."""
    return utf8(path, read_bytes(path))


def utf8(path: Path, data: bytes) -> bytes:
    """The content of a text file as bytes that are known to be UTF-8, without a byte order mark.

    Raises: UserError if the file is binary or not UTF-8, with the line.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{path}: the file is UTF-16; falsum reads UTF-8. Convert it: iconv -f utf-16 -t utf-8.")
    nul = data.find(b"\0")
    if nul >= 0:
        raise UserError(
            f"{path}:{line_of(data, nul)}: the file is binary (it holds a NUL byte), not text. Legal are "
            "TSV, CSV, Parquet (.parquet), N-Triples (.nt), Turtle (.ttl) and RDF-XML (.rdf), plain or .gz or .zst."
        )
    data = data.removeprefix(BYTE_ORDER_MARK)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = line_of(data, error.start)
        raise UserError(
            f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8. Save the file as UTF-8 "
            "(for instance: iconv -f latin1 -t utf-8)."
        ) from None
    if b"\n" not in data and b"\r" in data.rstrip(b"\r"):
        raise UserError(f"{path}:1: the lines end in CR alone. Legal are LF and CRLF: convert with tr '\\r' '\\n'.")
    return data


def refuse_other_formats(path: Path, data: bytes) -> None:
    """Raises: UserError if text begins like a page, an XML document or JSON, whose lines are no triples."""
    start = data[:FIRST_BYTES].lstrip()
    line = start.partition(b"\n")[0].strip()
    if PAGE.match(start):
        raise UserError(f"{path}:1: the file is an HTML page, not triples: {said(line)}. Fetch the file itself again.")
    if start.startswith((b"<?xml", b"<rdf:RDF")):
        raise UserError(f"{path}:1: the file is XML: {said(line)}. If it is RDF, name it .rdf, or say layout='rdf'.")
    if line in (b"{", b"[") or is_json(line):
        raise UserError(
            f"{path}:1: the file is JSON: {said(line)}. If each line is an object with the keys head, relation and "
            "tail, name it .jsonl, or say layout='jsonl'; other JSON is not read."
        )


def is_json(line: bytes) -> bool:
    """Whether a line is a JSON object or list, whole."""
    try:
        return line[:1] in (b"{", b"[") and isinstance(json.loads(line), dict | list)
    except (ValueError, RecursionError):
        return False


def said(line: bytes) -> str:
    return excerpt(line.decode("utf-8", "replace"))


def printable(text: str) -> str:
    """Text that UTF-8 can hold: a file name may have bytes that are none, which Python reads as lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def line_of(data: bytes, position: int) -> int:
    """The line, from 1, on which the byte at `position` stands."""
    return data.count(b"\n", 0, position) + 1


def excerpt(text: str, length: int = 60) -> str:
    """A quoted beginning of `text`, for messages."""
    return repr(text if len(text) <= length else text[: length - 3] + "...")
