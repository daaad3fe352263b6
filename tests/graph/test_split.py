"""Laws of the seeded split of one file."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from falsum.graph.formats.split import split_triples
from falsum.graph.keys import distinct

TRIPLES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=150)
SHARE = st.sampled_from([0.0, 0.1, 0.25, 0.45])


@settings(deadline=None, max_examples=150)
@given(TRIPLES, st.integers(0, 2**31), SHARE, SHARE)
def test_split_laws(rows: list[tuple[int, int, int]], seed: int, valid: float, test: float) -> None:
    triples = torch.tensor(rows)
    masks = split_triples(triples, seed=seed, valid=valid, test=test)
    # Each triple is in one split; no split is empty; none is larger than asked.
    assert torch.stack(list(masks.values())).sum(0).eq(1).all()
    assert all(mask.any() for mask in masks.values())
    for name, share in {"valid": valid, "test": test}.items():
        assert name not in masks or int(masks[name].sum()) <= share * len(rows)
    # Equal triples stay together, and train knows every entity and relation.
    parts = {name: {tuple(row) for row in triples[mask].tolist()} for name, mask in masks.items()}
    assert sum(map(len, parts.values())) == len(set(rows))
    assert {h for h, _, _ in rows} | {t for _, _, t in rows} == {e for h, _, t in parts["train"] for e in (h, t)}
    assert {r for _, r, _ in rows} == {r for _, r, _ in parts["train"]}


def test_a_dense_graph_fills_its_shares() -> None:
    triples = torch.cartesian_prod(torch.arange(20), torch.arange(5), torch.arange(20))
    masks = split_triples(triples, seed=0, valid=0.1, test=0.2)
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {"train": 1400, "valid": 200, "test": 400}


def test_the_seed_decides() -> None:
    triples = torch.cartesian_prod(torch.arange(9), torch.arange(2), torch.arange(9))
    one, same, other = (split_triples(triples, seed=seed, valid=0.1, test=0.1)["test"] for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 2) | st.integers(2**40, 2**40 + 2)] * 3), max_size=40))
def test_distinct_is_the_set(rows: list[tuple[int, int, int]]) -> None:
    triples = torch.tensor(rows, dtype=torch.int64).reshape(-1, 3)
    triples[:, 1:] %= 2**20
    rows = [tuple(row) for row in triples.tolist()]
    unique, inverse, counts = distinct(triples)
    assert [tuple(row) for row in unique.tolist()] == sorted(set(rows))
    assert torch.equal(unique[inverse], triples)
    assert counts.tolist() == [rows.count(row) for row in sorted(set(rows))]


@pytest.mark.parametrize(("valid", "test"), [(0.5, 0.5), (1.0, 0.0), (-0.1, 0.1)])
def test_shares_must_leave_train(valid: float, test: float) -> None:
    with pytest.raises(ValueError, match="shares"):
        split_triples(torch.tensor([[0, 0, 1]]), seed=0, valid=valid, test=test)
