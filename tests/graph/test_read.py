"""Triples survive every format, and the formats are told apart."""

from __future__ import annotations

import csv
import gzip
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyoxigraph
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from falsum.errors import UserError
from falsum.graph import Graph, load, write_triples

Triple = tuple[str, str, str]

# Surrogates have no UTF-8, NUL marks a binary file; CSV quotes line ends, TSV has no place for them.
CSV_LABEL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
TSV_LABEL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\t\n\r"), min_size=1, max_size=8)
IRI = st.text(st.characters(categories=["L", "N"], max_codepoint=0xFFFD), min_size=1, max_size=8).map(
    "http://e/{}".format
)
ALL_TRAIN = {"valid": 0.0, "test": 0.0}


def triples_of(label: st.SearchStrategy[str]) -> st.SearchStrategy[list[Triple]]:
    return st.lists(st.tuples(label, label, label), min_size=1, max_size=12)


def labels(graph: Graph, split: str = "train") -> list[Triple]:
    """The triples of a split as labels: the specification of what ids mean."""
    return [(graph.entities[h], graph.relations[r], graph.entities[t]) for h, r, t in graph.splits[split].tolist()]


def put(folder: str | Path, name: str, content: str | bytes) -> Path:
    path = Path(folder) / name
    data = content.encode() if isinstance(content, str) else content
    if name.endswith(".gz"):
        data = gzip.compress(data)
    elif name.endswith(".zst"):
        data = zstandard.ZstdCompressor().compress(data)
    path.write_bytes(data)
    return path


def load_bytes(name: str, content: str | bytes, **options: object) -> Graph:
    with tempfile.TemporaryDirectory() as folder:
        return load(put(folder, name, content), **{**ALL_TRAIN, **options})  # type: ignore[arg-type]


def tsv(triples: Sequence[Triple]) -> str:
    return "head\trelation\ttail\n" + "".join("\t".join(triple) + "\n" for triple in triples)


def comma(triples: Sequence[Triple]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("head", "relation", "tail"), *triples])
    return text.getvalue()


@settings(deadline=None, max_examples=40)
@given(triples_of(TSV_LABEL), st.sampled_from(["t.tsv", "t.txt", "t.tsv.gz", "t.tsv.zst", "t"]))
def test_tsv_keeps_labels_of_any_script(triples: list[Triple], name: str) -> None:
    assert labels(load_bytes(name, tsv(triples), header=True, separator="tab")) == triples


@settings(deadline=None, max_examples=40)
@given(triples_of(CSV_LABEL), st.sampled_from(["t.csv", "t.csv.gz", "t.csv.zst"]))
def test_csv_keeps_labels_of_any_script(triples: list[Triple], name: str) -> None:
    assert labels(load_bytes(name, comma(triples), header=True, separator=",")) == triples


@settings(deadline=None, max_examples=25)
@given(triples_of(CSV_LABEL))
def test_parquet_keeps_labels_of_any_script(triples: list[Triple]) -> None:
    content = io.BytesIO()
    pl.DataFrame(triples, schema=["tail", "head", "relation"], orient="row").write_parquet(content)
    assert labels(load_bytes("t.parquet", content.getvalue())) == [(h, r, t) for t, h, r in triples]


@settings(deadline=None, max_examples=25)
@given(triples_of(IRI), st.sampled_from(["t.nt", "t.ttl", "t.nt.gz", "t.ttl.zst", "t.rdf", "t.txt"]))
def test_rdf_keeps_iris_of_any_script(triples: list[Triple], name: str) -> None:
    kinds = {"ttl": pyoxigraph.RdfFormat.TURTLE, "rdf": pyoxigraph.RdfFormat.RDF_XML}
    kind = kinds.get(name.split(".")[1], pyoxigraph.RdfFormat.N_TRIPLES)
    if kind is pyoxigraph.RdfFormat.RDF_XML:
        # An XML element name may not begin with a digit.
        triples = [(h, r.replace("http://e/", "http://e/p"), t) for h, r, t in triples]
        triples = [(h, "http://e/p" if not r.isascii() else r, t) for h, r, t in triples]
    quads = [pyoxigraph.Triple(*map(pyoxigraph.NamedNode, triple)) for triple in triples]
    content = pyoxigraph.serialize(quads, format=kind)
    assert content is not None
    assert labels(load_bytes(name, content)) == triples


@settings(deadline=None, max_examples=40)
@given(st.fixed_dictionaries({"train": triples_of(TSV_LABEL)}, optional={"valid": triples_of(TSV_LABEL)}))
def test_write_then_load_is_the_same_graph(splits: dict[str, list[Triple]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for split, triples in splits.items():
            put(folder, f"{split}.tsv", tsv(triples))
        graph = load(folder, header=True, separator="tab")
        for kind in ("tsv", "parquet"):
            write_triples(graph, Path(folder) / kind, kind=kind)  # type: ignore[arg-type]
            # Few labels can look like anything: tell the separator, let the header be found.
            again = load(Path(folder) / kind, separator="tab" if kind == "tsv" else None)
            assert again.sha256 == graph.sha256
            assert {split: labels(again, split) for split in again.splits} == splits


@settings(deadline=None, max_examples=25)
@given(triples_of(st.sampled_from("abcdef")))
def test_ids_follow_first_appearance(triples: list[Triple]) -> None:
    graph = load_bytes("t.tsv", tsv(triples), header=True)
    ends = [end for head, _, tail in triples for end in (head, tail)]
    assert graph.entities.to_list() == list(dict.fromkeys(ends))
    assert graph.relations.to_list() == list(dict.fromkeys(relation for _, relation, _ in triples))


def test_line_ends_and_mark_are_no_part_of_labels() -> None:
    crlf = load_bytes("t.txt", b"\xef\xbb\xbfa\tr\tb\r\nb\tr\tc\r\n")
    assert labels(crlf) == [("a", "r", "b"), ("b", "r", "c")]
    assert "CRLF" in crlf.source
    assert "columns head relation tail (assumed)" in crlf.source
    assert labels(load_bytes("t.txt", "a\tr\tb\nb\tr\tc")) == labels(crlf)


def test_tsv_has_no_quoting() -> None:
    assert labels(load_bytes("t.tsv", 'a "x"\tr\t"b\n"\tr\t\'\n')) == [('a "x"', "r", '"b'), ('"', "r", "'")]


@pytest.mark.parametrize(
    "header",
    ["tail,Relation,HEAD", "t,r,h", "object,predicate,subject", "o,p,s", "target,type,source", "to,relation,from",
     "end,label,start", ":END_ID,:TYPE,:START_ID", "dst,rel,src"],
)  # fmt: skip
@pytest.mark.parametrize("separator", [",", "\t", ";", " "])
def test_named_columns_in_any_order(header: str, separator: str) -> None:
    text = f"{header}\nb,likes,a\n".replace(",", separator)
    graph = load_bytes("t.txt", text)
    assert labels(graph) == [("a", "likes", "b")]
    assert "with header" in graph.source


def test_further_columns_are_ignored_and_said() -> None:
    graph = load_bytes("t.csv", "weight,head,relation,tail,year\n0.5,a,r,b,1990\n1,b,r,c,1991\n")
    assert labels(graph) == [("a", "r", "b"), ("b", "r", "c")]
    assert any("weight, year" in note and "not used yet" in note for note in graph.notes)


def test_columns_can_be_told() -> None:
    assert labels(load_bytes("t.tsv", "b\ta\tr\n", columns=("tail", "head", "relation"))) == [("a", "r", "b")]
    assert labels(load_bytes("t.tsv", "a\tx\tr\tb\n", columns=("head", "_", "relation", "tail"))) == [("a", "r", "b")]
    named = load_bytes("t.csv", "verb,actor,thing\nsees,a,b\n", columns=("actor", "verb", "thing"))
    assert labels(named) == [("a", "sees", "b")]
    by_role = load_bytes("t.csv", "tail,head,relation\nb,a,r\n", columns=("head", "relation", "tail"))
    assert labels(by_role) == [("a", "r", "b")]


def test_separator_can_be_told() -> None:
    assert labels(load_bytes("t.txt", "a|r|b\n", separator="|")) == [("a", "r", "b")]
    assert labels(load_bytes("t.txt", "a,r,b;c\n", separator=",")) == [("a", "r", "b;c")]


def test_a_header_can_be_denied() -> None:
    graph = load_bytes("t.tsv", "h\tr\tt\nx\ty\tz\n", header=False)
    assert labels(graph) == [("h", "r", "t"), ("x", "y", "z")]


def test_an_unknown_header_is_noted() -> None:
    rows = "".join(f"e{i % 3}\tknows\te{i % 5}\n" for i in range(20))
    assert any("looks" in n or "line 1" in n for n in load_bytes("t.tsv", "who\thow\twhom\n" + rows).notes)
    assert not any("line 1" in n for n in load_bytes("t.tsv", rows).notes)


def test_empty_lines_are_skipped_and_said() -> None:
    graph = load_bytes("t.tsv", "a\tr\tb\n\nb\tr\tc\n\n")
    assert len(graph.splits["train"]) == 2
    assert any("2 empty lines" in note for note in graph.notes)


def test_duplicates_are_kept() -> None:
    assert labels(load_bytes("t.tsv", "a\tr\tb\na\tr\tb\n")) == [("a", "r", "b")] * 2


def test_rdf_policy() -> None:
    turtle = """@prefix : <http://e/> . @prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
    :a :p :b ; :age 42 ; :name "A\\nB"@en . _:x :p :a . :a :q [ :p :b ] ."""
    graph = load_bytes("t.ttl", turtle)
    e = "http://e/"
    assert ("_:x", e + "p", e + "a") in labels(graph)
    assert ("_:anonymous-t-1", e + "p", e + "b") in labels(graph)
    assert len(labels(graph)) == 4
    assert any("2 triples with a literal are left out" in note for note in graph.notes)
    assert load_bytes("t.ttl", turtle).sha256 == graph.sha256
    kept = labels(load_bytes("t.ttl", turtle, literals="keep"))
    assert (e + "a", e + "age", '"42"^^xsd:integer') in kept
    assert (e + "a", e + "name", '"A\\nB"@en') in kept


@pytest.mark.parametrize(("name", "text"), [
    ("t.ttl", "<http://e/a> <http://e/p> " + ", ".join(["[ <http://e/q> _:b ]"] * 500) + " ."),
    ("t.rdf", '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:e="http://e/">'
     + '<rdf:Description rdf:about="http://e/a">'
     + '<e:p rdf:parseType="Resource"><e:q rdf:nodeID="b"/></e:p>' * 500 + "</rdf:Description></rdf:RDF>"),
])  # fmt: skip
def test_nodes_without_a_name_are_numbered_whatever_the_parser_calls_them(name: str, text: str) -> None:
    """The parser's own names are random and of several lengths: 500 of them meet all that are likely."""
    heads = {head for head, _, _ in labels(load_bytes(name, text))}
    assert heads == {"http://e/a"} | {f"_:anonymous-t-{n}" for n in range(1, 501)}


@pytest.mark.parametrize("written", ["c0ffee", "c0ffee" * 3, "c" * 31, "c" * 32, "c" * 33, "0" * 32])
def test_a_written_name_of_hexadecimal_digits_stays(written: str) -> None:
    assert labels(load_bytes("t.nt", f"_:{written} <http://e/p> <http://e/a> .")) == [
        (f"_:{written}", "http://e/p", "http://e/a")
    ]


def folder_of(tmp_path: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        put(tmp_path, name, content)
    return tmp_path


OPENKE = {
    "entity2id.txt": "3\nb\t1\na b\t0\nc 2\n",
    "relation2id.txt": "2\ns\t1\nr\t0\n",
    "train2id.txt": "2\n0 1 0\n1\t2\t1\n",
    "test2id.txt": "1\n2 0 1\n",
}


def test_openke_is_head_tail_relation_with_its_own_ids(tmp_path: Path) -> None:
    graph = load(folder_of(tmp_path, OPENKE))
    assert graph.entities.to_list() == ["a b", "b", "c"]
    assert labels(graph) == [("a b", "r", "b"), ("b", "s", "c")]
    assert labels(graph, "test") == [("c", "s", "a b")]
    assert "head tail relation" in graph.source


def test_openke_order_can_be_told(tmp_path: Path) -> None:
    graph = load(folder_of(tmp_path, OPENKE), columns=("head", "tail", "relation"))
    assert labels(graph)[0] == ("a b", "r", "b")
    assert "(as told)" in graph.source


def test_openke_without_labels(tmp_path: Path) -> None:
    graph = load(folder_of(tmp_path, {"train2id.txt": OPENKE["train2id.txt"]}))
    assert labels(graph) == [("0", "0", "1"), ("1", "1", "2")]
    assert any("ids are the labels" in note for note in graph.notes)


def test_rotate_dicts_fix_the_ids(tmp_path: Path) -> None:
    files = {
        "entities.dict": "0\tz\n1\ta\n2\tunused\n", "relations.dict": "0\tr\n",
        "train.txt": "a\tr\tz\n", "valid.txt": "z\tr\ta\n",
    }  # fmt: skip
    graph = load(folder_of(tmp_path, files))
    assert graph.entities.to_list() == ["z", "a", "unused"]
    assert graph.splits["train"].tolist() == [[1, 0, 0]]
    assert load(tmp_path, layout="text").entities.to_list() == ["a", "z"]


def test_libkge_del(tmp_path: Path) -> None:
    files = {
        "train.del": "1\t0\t0\n", "entity_ids.del": "0\tz\n1\ta\n", "relation_ids.del": "0\tr\n",
        "dataset.yaml": "dataset: {}\n", "train.txt": "a\tr\tz\n",
    }  # fmt: skip
    graph = load(folder_of(tmp_path, files))
    assert labels(graph) == [("a", "r", "z")]
    assert "LibKGE" in graph.source


def test_split_aliases_and_mixed_kinds(tmp_path: Path) -> None:
    put(tmp_path, "train.csv", "head,relation,tail\na,r,b\n")
    put(tmp_path, "dev.tsv.gz", "b\tr\ta\n")
    graph = load(tmp_path)
    assert list(graph.splits) == ["train", "valid"]
    assert "valid: 3-column TSV" in graph.source
    assert any("no test split" in note for note in graph.notes)


def test_one_file_of_a_folder_says_so(tmp_path: Path) -> None:
    folder_of(tmp_path, {"train.txt": "a\tr\tb\n", "test.txt": "b\tr\ta\n"})
    assert any("test.txt beside it is not read" in note for note in load(tmp_path / "train.txt").notes)


def test_writing_where_nothing_can_be_written(tmp_path: Path) -> None:
    graph = load_bytes("t.tsv", "a\tr\tb\n")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"file/train\.tsv could not be written: .*What was there before is untouched"):
        write_triples(graph, tmp_path / "file")
    (tmp_path / "train.tsv").mkdir()
    with pytest.raises(UserError, match=r"train\.tsv could not be written"):
        write_triples(graph, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "train.tsv"]


def test_tsv_refuses_labels_that_it_cannot_hold(tmp_path: Path) -> None:
    graph = load_bytes("t.csv", 'head,relation,tail\n"a\tb",r,c\n')
    with pytest.raises(UserError, match="parquet"):
        write_triples(graph, tmp_path)
    write_triples(graph, tmp_path, kind="parquet")
    assert labels(load(tmp_path)) == [("a\tb", "r", "c")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.parquet"]
