"""Score models: one score whichever side asks, candidates shared or own, and the symmetries that they promise."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from falsum.graph.graph import Side
from falsum.models import MODELS, Relations, ScoreModel
from falsum.models.base import per_relation
from laws import worlds

DISTANCES = [name for name, cls in MODELS.items() if cls.compare.translates]


def model(name: str, dim: int = 6, seed: int = 0) -> ScoreModel:
    built = MODELS[name](dim, **worlds.MODEL_OPTIONS.get(name, {})).double().eval()
    with torch.no_grad():
        for weight in built.parameters():
            if weight.dim() > 1:
                weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed)))
    return built


def rows(num: int, width: int, seed: int) -> Tensor:
    return torch.randn(num, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scores(built: ScoreModel, heads: Tensor, relation: Tensor, tails: Tensor) -> tuple[Tensor, Tensor]:
    """(heads, tails) matrices of s(h, r, t) for one relation row, asked for tails and asked for heads."""
    from_tail = built.query(heads, Relations(relation[None], torch.zeros(len(heads), dtype=torch.int64)), Side.TAIL, 0)
    from_head = built.query(tails, Relations(relation[None], torch.zeros(len(tails), dtype=torch.int64)), Side.HEAD, 0)
    return built.compare(from_tail, tails), built.compare(from_head, heads).T


def width(name: str, dim: int = 6) -> int:
    """v, which is not w for every model."""
    built = model(name, dim)
    one = Relations(rows(1, built.relation_width, 0), torch.tensor([0]))
    return built.query(rows(1, dim, 0), one, Side.TAIL, 0).shape[1]


def test_projected_models_keep_what_their_papers_say() -> None:
    """TransH: nothing along the normal counts, and the length of the normal does not. TransD without own vectors is
    the squared TransE; a relation space of another size cuts or fills.
    """
    built, heads, tails, relation = model("transh"), rows(3, 6, 1), rows(4, 6, 2), rows(1, 12, 3)[0]
    plain, _ = scores(built, heads, relation, tails)
    along = heads + 7 * torch.nn.functional.normalize(relation[6:], dim=0)
    torch.testing.assert_close(scores(built, along, relation, tails)[0], plain, rtol=1e-9, atol=1e-9)
    longer = torch.cat([relation[:6], 5 * relation[6:]])
    torch.testing.assert_close(scores(built, heads, longer, tails)[0], plain, rtol=1e-9, atol=1e-9)
    free = [torch.cat([x, torch.zeros_like(x)], 1) for x in (rows(3, 3, 4), rows(4, 3, 5))]
    move = rows(1, 6, 6)[0]
    table, _ = scores(MODELS["transd"](6).double(), free[0], move, free[1])
    expected = -torch.cdist(free[0][:, :3] + move[:3], free[1][:, :3]).square()
    torch.testing.assert_close(table, expected, rtol=1e-9, atol=1e-9)
    wide = MODELS["transd"](6, relation_dim=5).double()
    move = torch.cat([torch.ones(5), torch.zeros(5)]).double()
    table, _ = scores(wide, free[0], move, free[1])
    expected = -(torch.cdist(free[0][:, :3] + 1, free[1][:, :3]).square() + 2)
    torch.testing.assert_close(table, expected, rtol=1e-9, atol=1e-9)


def test_projected_scores_make_no_tensor_of_queries_times_candidates_times_width() -> None:
    for name in ("transh", "transd"):
        sizes = []

        class Watch(TorchDispatchMode):
            def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
                out = func(*args, **(kwargs or {}))
                sizes.append(out.numel() if isinstance(out, Tensor) else 0)  # noqa: B023
                return out

        query, candidates = rows(20, width(name, 16), 0).requires_grad_(), rows(30, 16, 1).requires_grad_()
        with Watch():
            MODELS[name].compare(query, candidates).sum().backward()
        assert 0 < max(sizes) <= 20 * 32  # the query itself is the largest


@pytest.mark.parametrize("name", MODELS)
@given(heads=st.integers(1, 5), tails=st.integers(1, 5), seed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_both_sides_see_one_score(name: str, heads: int, tails: int, seed: int) -> None:
    built = model(name, seed=seed)
    relation = rows(1, built.relation_width, seed + 1)[0]
    with torch.no_grad():
        a, b = scores(built, rows(heads, 6, seed + 2), relation, rows(tails, 6, seed + 3))
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_the_comparison_of_sides_can_fail() -> None:
    built = model("transe")
    moved = rows(2, 6, 0)
    a, b = scores(built, moved, rows(1, 6, 1)[0], moved)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(a, b.T, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_shared_and_own_candidates_compare_alike(name: str) -> None:
    compare = MODELS[name].compare
    query, shared = rows(4, width(name), 0).requires_grad_(), rows(5, 6, 1).requires_grad_()
    own_query, own = query.detach().clone().requires_grad_(), shared.detach().clone().requires_grad_()
    a = compare(query, shared)
    b = compare(own_query.unsqueeze(1), own.expand(4, 5, 6)).squeeze(1)
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    by = rows(4, 5, 2)
    (a * by).sum().backward()
    (b * by).sum().backward()
    torch.testing.assert_close(query.grad, own_query.grad, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(shared.grad, own.grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_of_comparisons_by_finite_differences(name: str) -> None:
    compare = MODELS[name].compare
    query, candidates = rows(3, width(name, 4), 5).requires_grad_(), rows(2, 4, 6).requires_grad_()
    assert torch.autograd.gradcheck(compare, (query, candidates))


@pytest.mark.parametrize("name", DISTANCES)
def test_nothing_is_nearer_than_the_query_itself(name: str) -> None:
    compare = MODELS[name].compare
    points = rows(6, 6, 0)
    table = compare(points, points)
    assert (table.argmax(1) == torch.arange(6)).all()
    assert (table <= 0).all()
    torch.testing.assert_close(table.diagonal(), torch.zeros(6, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", DISTANCES)
def test_the_gradient_at_distance_0_is_finite(name: str, dtype: torch.dtype) -> None:
    point = rows(1, 6, 0).to(dtype)
    query, row = point.clone().requires_grad_(), point.clone().requires_grad_()
    MODELS[name].compare(query, row).sum().backward()
    assert (query.grad == 0).all()
    assert (row.grad == 0).all()


def test_distmult_is_symmetric() -> None:
    entities = rows(4, 6, 0)
    table, _ = scores(model("distmult"), entities, rows(1, 6, 1)[0], entities)
    torch.testing.assert_close(table, table.T, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("half", "sign"), [("real", 1), ("imaginary", -1)])
def test_complex_relations_are_symmetric_when_real_and_antisymmetric_when_imaginary(half: str, sign: int) -> None:
    entities, relation = rows(4, 6, 0), rows(1, 6, 1)[0]
    relation[3:] *= half == "imaginary"
    relation[:3] *= half == "real"
    table, _ = scores(model("complex"), entities, relation, entities)
    assert table.abs().max() > 0.1
    torch.testing.assert_close(table, sign * table.T, rtol=1e-12, atol=1e-12)


def test_rotations_by_0_and_pi_are_symmetric_and_others_are_not() -> None:
    entities = rows(4, 6, 0)
    for phase in ((0.0, math.pi, math.pi), (0.0, 0.0, 0.0)):
        table, _ = scores(model("rotate"), entities, torch.tensor(phase, dtype=torch.float64), entities)
        torch.testing.assert_close(table, table.T, rtol=1e-10, atol=1e-10)
    table, _ = scores(model("rotate"), entities, torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), entities)
    assert (table - table.T).abs().max() > 0.1


def test_rotations_keep_moduli_and_compose() -> None:
    built, entities = model("rotate"), rows(4, 6, 0)
    one, two = rows(2, 3, 1)

    def turn(phase: Tensor, x: Tensor) -> Tensor:
        return built.query(x, Relations(phase[None], torch.zeros(len(x), dtype=torch.int64)), Side.TAIL, 0)

    torch.testing.assert_close(turn(two, turn(one, entities)), turn(one + two, entities), rtol=1e-10, atol=1e-10)
    moduli = [x.unflatten(-1, (2, -1)).square().sum(-2) for x in (entities, turn(one, entities))]
    torch.testing.assert_close(*moduli, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["transe", "transe-l2"])
def test_translations_are_undone_by_their_negative(name: str) -> None:
    entities, relation = rows(4, 6, 0), rows(1, 6, 1)[0]
    there, _ = scores(model(name), entities, relation, entities)
    back, _ = scores(model(name), entities, -relation, entities)
    torch.testing.assert_close(there, back.T, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["complex", "rotate", "cp", "transd"])
def test_models_of_two_halves_refuse_an_odd_dim(name: str) -> None:
    with pytest.raises(ValueError, match="even, got 5"):
        MODELS[name](5)


@pytest.mark.parametrize("name", MODELS)
def test_moduli_are_what_the_scores_depend_on_up_to_phase_or_sign(name: str) -> None:
    """Never negative, homogeneous of degree 1, and with a finite gradient at 0."""
    built = model(name)
    x = rows(3, 6, 0)
    moduli = built.moduli(x)
    assert (moduli >= 0).all()
    torch.testing.assert_close(built.moduli(-3 * x), 3 * moduli, rtol=1e-12, atol=1e-12)
    zero = torch.zeros(1, 6, dtype=torch.float64, requires_grad=True)
    built.moduli(zero).sum().backward()
    assert torch.isfinite(zero.grad).all()


@given(index=st.lists(st.integers(0, 4), min_size=0, max_size=30), seed=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_products_per_relation_are_a_loop_in_bounded_memory(index: list[int], seed: int) -> None:
    """At most 2 b + u rows, padding included, however uneven the relations are."""
    matrices, anchor = rows(5 * 3, 4, seed).view(5, 3, 4).requires_grad_(), rows(len(index), 3, seed + 1)
    anchor.requires_grad_()
    sizes = []
    real = torch.bmm
    patch = pytest.MonkeyPatch()
    patch.setattr(torch, "bmm", lambda a, b: sizes.append((a.shape[0] * a.shape[1], b.shape[0])) or real(a, b))
    try:
        product = per_relation(matrices, anchor, torch.tensor(index, dtype=torch.int64))
    finally:
        patch.undo()
    for padded, copies in sizes:
        assert padded <= 2 * len(index) + 5
        assert copies <= 2 * 5
    by = rows(len(index), 4, seed + 2)
    (product * by).sum().backward()
    expected, by_anchor, by_matrices = [], [], torch.zeros(5, 3, 4, dtype=torch.float64)
    for i, relation in enumerate(index):
        matrix = matrices.detach()[relation]
        expected.append(anchor.detach()[i] @ matrix)
        by_anchor.append(matrix @ by[i])
        by_matrices[relation] += anchor.detach()[i][:, None] * by[i]
    torch.testing.assert_close(product, torch.stack(expected) if index else product, rtol=1e-10, atol=1e-10)
    assert product.shape == (len(index), 4)
    torch.testing.assert_close(matrices.grad, by_matrices, rtol=1e-10, atol=1e-10)
    if index:
        torch.testing.assert_close(anchor.grad, torch.stack(by_anchor), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("side", Side)
def test_an_empty_batch_has_an_empty_query(name: str, side: Side) -> None:
    built = model(name)
    nobody = torch.zeros(0, dtype=torch.int64)
    query = built.query(rows(0, 6, 0), Relations(rows(0, built.relation_width, 0), nobody), side, 0)
    assert query.shape == (0, width(name))
