"""Fused paths against the generic ones: dropout masks, the softmax of inner products, gathered rows, compiled code."""

from __future__ import annotations

import importlib
import itertools
import pkgutil
from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import falsum
import falsum.evaluation.ranks
import falsum.kernels.compiled
import falsum.kernels.dropout as dropout_kernel
import falsum.scan.dot_softmax as dot_softmax
import falsum.scan.paths as paths
import falsum.scan.picked
import falsum.scan.scoring as scoring
import oracle
from falsum.graph.graph import Pairs, Side
from falsum.kernels.compare import DOT, Compare
from falsum.kernels.compiled import can_compile, fused
from falsum.kernels.distances import ANGLES, COMPLEX_MANHATTAN, LENGTHS
from falsum.kernels.dropout import dropout, keep_mask
from falsum.kernels.mixing import own_taken_fused
from falsum.models import MODELS, Relations
from falsum.noise import Candidates, Uniform
from falsum.objectives import SelfAdversarial, SoftmaxCrossEntropy, Squared
from falsum.objectives.summaries import LogSumExp
from falsum.rows.table import Table
from falsum.scan.gathered import gathered_scores
from falsum.scan.loss import loss
from falsum.scan.picked import pays, picked_scores
from falsum.scan.scoring import Scoring
from falsum.training.optimizers import SGD, Updater
from laws import worlds

DISTANCES = [model.compare for model in MODELS.values() if model.compare.translates]


def table(num: int, width: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Table:
    built = Table(num, width).to(dtype)
    with torch.no_grad():
        built.values.copy_(torch.randn(num, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
    return built


# Dropout by counter


def test_masks_follow_the_hash() -> None:
    ids = torch.tensor([0, 1, 2, 77, 14_540, 2_000_000])
    for seed, rate in ((0, 0.5), (12345, 0.1), ((1 << 62) + 7, 0.9)):
        mask = keep_mask(ids, 40, rate, seed)
        expected = [[oracle.kept(seed, int(row), column, rate) for column in range(40)] for row in ids]
        assert mask.tolist() == expected


def test_a_mask_is_a_function_of_seed_id_and_column() -> None:
    whole = keep_mask(torch.arange(50), 16, 0.4, 9)
    some = torch.tensor([3, 49, 3, 0])
    assert (keep_mask(some, 16, 0.4, 9) == whole[some]).all()
    assert (keep_mask(some, 5, 0.4, 9) == whole[some, :5]).all()
    assert (keep_mask(some, 16, 0.4, 10) != whole[some]).any()


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.5, 0.85])
def test_the_kept_share_is_one_minus_the_rate(rate: float) -> None:
    """Within 5 standard deviations, over the whole mask and over its rows and columns."""
    for seed in (1, 2):
        mask = keep_mask(torch.arange(2000), 100, rate, seed).double()
        for share in (mask.mean()[None], mask.mean(0), mask.mean(1)):
            count = mask.numel() / share.numel()
            assert ((share - (1 - rate)).abs() < 5 * (rate * (1 - rate) / count) ** 0.5).all()


def test_masks_of_other_seeds_ids_and_columns_are_independent() -> None:
    """Chi-square of the 2 x 2 table of each pair of masks, 3 or fewer degrees of freedom: 30 is beyond 1 in 10^6."""
    rate = 0.3
    ids = torch.arange(3000)
    masks = {seed: keep_mask(ids, 20, rate, seed) for seed in (5, 6, 5 + (1 << 20), 99991)}
    pairs = [(a, b) for a, b in itertools.combinations(masks.values(), 2)]
    one = masks[5]
    pairs += [(one[1:], one[:-1]), (one[2:], one[:-2]), (one[256:], one[:-256])]
    pairs += [(one[:, 1:], one[:, :-1]), (one[:, 7:], one[:, :-7]), (one[1:, 1:], one[:-1, :-1])]
    for a, b in pairs:
        statistic = 0.0
        for left, right in itertools.product((False, True), repeat=2):
            expected = a.numel() * (1 - rate if left else rate) * (1 - rate if right else rate)
            statistic += float(((a == left) & (b == right)).sum() - expected) ** 2 / expected
        assert statistic < 30


def test_dropout_scales_what_it_keeps_and_masks_the_gradient_alike() -> None:
    ids = torch.tensor([[4, 2], [4, 0]])
    x = torch.randn(2, 2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    mask = keep_mask(ids.flatten(), 8, 0.25, 3).view(2, 2, 8)
    y = dropout(x, ids, 0.25, 3)
    torch.testing.assert_close(y, torch.where(mask, x / 0.75, 0), rtol=1e-12, atol=0)
    y.sum().backward()
    torch.testing.assert_close(x.grad, mask / torch.tensor(0.75, dtype=torch.float64), rtol=1e-12, atol=0)
    assert dropout(x, ids, 0.0, 3) is x


# The softmax of inner products, fused, against the generic scan


class OtherSummary(LogSumExp):
    """The same summary under another type, which no fast path knows."""


class Generic(SoftmaxCrossEntropy):
    """The same loss by the generic path."""

    @property
    def summary(self) -> LogSumExp:
        return OtherSummary(self.temperature, sums=self.label_smoothing > 0)


def softmax_worlds(dtype: torch.dtype, products: torch.dtype, rate: float) -> Scoring:
    g = worlds.graph(num_entities=23, sizes=(40, 3, 3), seed=4)
    parts = worlds.scoring("complex", g, seed=8, dim=6)
    built = Scoring(parts.entities.to(dtype), parts.relations.to(dtype), parts.model.to(dtype), rate, 0.0, products)
    built.model.train()
    return built


@pytest.mark.parametrize("rate", [0.0, 0.4])
@pytest.mark.parametrize("smoothing", [{}, {"label_smoothing": 0.2}, {"label_smoothing": 0.2, "spread": "all"}])
@pytest.mark.parametrize(
    ("dtype", "products", "tolerance"),
    [
        (torch.float64, torch.float64, 1e-10),
        (torch.float32, torch.float32, 2e-5),
        # 8 bits of mantissa: a relative 2^-9 per factor and product, measured against the largest entry.
        (torch.float32, torch.bfloat16, 2e-2),
    ],
    ids=["fp64", "fp32", "bf16"],
)
@pytest.mark.parametrize("blocks", [(8192, 1 << 30), (5, 1 << 30), (7, 400)])
def test_the_fused_softmax_is_the_generic_one(
    blocks: tuple[int, int],
    dtype: torch.dtype,
    products: torch.dtype,
    tolerance: float,
    smoothing: dict[str, Any],
    rate: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dot_softmax, "BLOCK", blocks[0])
    monkeypatch.setattr(dot_softmax, "KEPT_BYTES", blocks[1])
    parts = softmax_worlds(dtype, products, rate)
    g = worlds.graph(num_entities=23, sizes=(40, 3, 3), seed=4)
    query = g.queries(g.splits["train"], Side.HEAD, grouped=True)
    fused = worlds.value_and_gradients(parts, SoftmaxCrossEntropy(**smoothing), query, Candidates(range(23)), 6)
    exact = softmax_worlds(torch.float64, torch.float64, rate)
    generic = worlds.value_and_gradients(exact, Generic(**smoothing), query, Candidates(range(23)), 6)
    assert fused[0].dtype == dtype
    for result, right in zip([fused[0], *fused[1]], [generic[0], *generic[1]], strict=True):
        assert (result.double() - right).abs().max() <= tolerance * max(1.0, float(right.abs().max()))


def test_fused_states_are_logsumexp_and_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all rows but those left out; a query may leave out every row, or every row of a block."""
    rows, query = table(11, 4), table(3, 4, 1).whole()
    for left_out in ([], [(0, 3), (2, 0), (2, 10)], [(1, e) for e in range(11)]):
        drop = Pairs(*torch.tensor(left_out, dtype=torch.int64).reshape(-1, 2).unbind(1))
        monkeypatch.setattr(dot_softmax, "BLOCK", 4)
        logsumexp, total = dot_softmax.dot_softmax(query, rows, drop, 0.0, 0, torch.float64)
        scores = query @ rows.values.T
        expected = scores.index_put(tuple(drop), torch.tensor(-torch.inf, dtype=torch.float64)).logsumexp(1)
        torch.testing.assert_close(logsumexp, expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(total, scores.sum(1), rtol=1e-12, atol=1e-12)


def test_the_fused_softmax_survives_scores_that_overflow_exp() -> None:
    rows, query = table(11, 4), (table(3, 4, 1).values * 1e4).requires_grad_()
    nobody = Pairs(*torch.zeros(2, 0, dtype=torch.int64))
    logsumexp, _ = dot_softmax.dot_softmax(query, rows, nobody, 0.0, 0, torch.float64)
    torch.testing.assert_close(logsumexp, (query @ rows.values.T).logsumexp(1), rtol=1e-12, atol=1e-12)
    logsumexp.sum().backward()
    assert torch.isfinite(query.grad).all()
    assert torch.isfinite(rows.sink()).all()


# The squares of all scores by the Gram matrix of the table

GRAPH = worlds.graph()


@pytest.mark.parametrize("model", [name for name in MODELS if MODELS[name].compare.linear and name != "tucker"])
@pytest.mark.parametrize("filtered", [False, True])
def test_the_gram_path_is_the_generic_one(model: str, filtered: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and gradients, with dropout, in blocks of the table, and for questions with several answers."""
    built = Squared(negative=0.3, false_score=-0.4)
    called, gram = [], paths._gram_state
    table = {key: ways for key, ways in paths.PATHS.items() if key[0] is not paths.DOT or ways[0].state is not gram}
    counting = paths.Path(lambda scan: paths._gram_pays(scan), lambda scan: called.append(1) or gram(scan))
    for g, side in ((GRAPH, Side.TAIL), (GRAPH.with_inverses(), Side.HEAD)):
        parts = worlds.scoring(model, g, seed=3, dropout_entity=0.3)
        parts.model.train()
        query = g.queries(g.splits["train"], side, grouped=True)
        candidates = worlds.draw(("all", {"filtered": filtered}), g, query, 0)
        monkeypatch.setattr(paths, "PATHS", table)
        generic = worlds.value_and_gradients(parts, built, query, candidates, 6)
        monkeypatch.setattr(paths, "PATHS", table | {(paths.DOT, paths.SquareSum): (counting,)})
        for block in (1 << 22, 9):
            monkeypatch.setattr(scoring, "BLOCK", block)
            monkeypatch.setattr(paths, "at_a_time", scoring.at_a_time)
            worlds.same(worlds.value_and_gradients(parts, built, query, candidates, 6), generic)
    assert len(called) == 4


def test_the_gram_path_does_not_pay_where_rows_are_wider_than_questions_are_many() -> None:
    parts = worlds.scoring("distmult", GRAPH)
    query = GRAPH.queries(GRAPH.splits["train"], Side.TAIL, grouped=True)
    for rows, worth in ((torch.arange(3), False), (torch.arange(4), True)):
        few = query.select(rows)
        asked = parts.ask(few, Candidates(range(7)), 0)
        nobody = paths.Pairs(*torch.zeros(2, 0, dtype=torch.int64))
        scan = paths.Scan(asked, paths.SquareSum(), torch.zeros(0), range(7), None, nobody, None)
        assert paths._gram_pays(scan) is worth


# Gathered rows


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("rate", [0.0, 0.5])
@pytest.mark.parametrize(("queries", "draws"), [(5, 5), (5, 1), (5, 2), (6, 3), (1, 1), (4, 3)])
def test_gathered_scores_are_scores_of_the_whole_table(name: str, rate: float, queries: int, draws: int) -> None:
    """Scored with the mask of the whole table, then picked; draws repeat ids within and across rows."""
    compare, width = MODELS[name].compare, query_width(name, 4)
    ids = torch.randint(4, (draws, 6), generator=torch.Generator().manual_seed(2))
    each = ids.repeat_interleave(-(-queries // draws), 0)[:queries]
    by = torch.randn(queries, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    results = []
    for gathered in (True, False):
        entities = table(4, 4)
        query = table(queries, width, 1).whole()
        if gathered:
            scores = gathered_scores(compare, query, entities, ids, rate, 7, torch.float64)
        else:
            scores = compare(query, dropout(entities.whole(), torch.arange(4), rate, 7)).gather(1, each)
        (scores * by).sum().backward()
        results.append((scores.detach(), [query.grad, entities.sink()]))
    worlds.same(*results, 1e-12)


def query_width(name: str, dim: int) -> int:
    """v for rows of w = dim reals."""
    built = MODELS[name](dim, **worlds.MODEL_OPTIONS.get(name, {})).eval()
    anchor, relation = torch.ones(1, dim), torch.ones(1, built.relation_width)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.zero_()
        return built.query(anchor, Relations(relation, torch.tensor([0])), Side.TAIL, 0).shape[1]


def test_some_models_have_queries_of_another_width_than_rows() -> None:
    assert {name for name in MODELS if query_width(name, 4) != 4} == {"transh", "transd", "hake"}


def test_rows_of_a_table_add_up_in_the_gradient() -> None:
    built = table(5, 3)
    ids = torch.tensor([1, 4, 1, 1])
    (built.of(ids) * torch.tensor([[1.0], [2.0], [4.0], [8.0]])).sum().backward()
    expected = torch.tensor([0, 13, 0, 0, 2], dtype=torch.float64)[:, None].expand(5, 3)
    assert (built.sink() == expected).all()
    (built.of(ids[:1])).sum().backward()
    assert built.sink()[1, 0] == 14
    with torch.no_grad():
        assert not built.of(ids).requires_grad


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_row_wise_gradients_are_dense_ones_of_the_touched_rows(data: st.DataObject) -> None:
    """To the last bit, whatever comes in whichever order; and every step starts from nothing."""
    dense, by_rows = table(9, 2), Table(9, 2, row_wise=True).double()
    for _ in range(data.draw(st.integers(1, 4))):
        seen = set()
        dense.sink().zero_()
        for _ in range(data.draw(st.integers(0, 4))):
            ids = torch.tensor(data.draw(st.lists(st.integers(0, 8), min_size=1, max_size=6)))
            grad = torch.randn(len(ids), 2, dtype=torch.float64)
            dense.add(ids, grad)
            by_rows.add(ids, grad)
            seen |= set(ids.tolist())
        touched, sums = by_rows.take()
        assert set(touched.tolist()) == seen
        assert len(touched) == len(seen)
        assert torch.equal(sums, dense.sink()[touched])


def test_a_row_wise_table_asked_for_a_dense_gradient_gives_all_rows() -> None:
    built = Table(5, 2, row_wise=True).double()
    built.of(torch.tensor([3])).sum().backward()
    (built.whole() * 2).sum().backward()
    ids, grad = built.take()
    assert ids.tolist() == list(range(5))
    assert grad.sum(1).tolist() == [4, 4, 4, 6, 4]
    assert len(built.take()[0]) == 0


def test_row_wise_training_makes_no_tensor_as_large_as_its_table() -> None:
    """A step of a table of 4,096 rows that touches 8: nothing that autograd or the optimizer keeps is as large."""
    built = Table(4096, 16, row_wise=True)
    with torch.no_grad():
        built.values.zero_()
    updater = Updater(SGD(lr=0.1), {}, {"rows": built})
    sizes = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            sizes.extend(x.numel() for x in tree_leaves(out) if isinstance(x, Tensor) and not x._is_view())
            return out

    with Watch():
        built.of(torch.arange(8)).sum().backward()
        updater.step()
    assert sizes
    own = built.values.numel()
    assert max(size for size in sizes if size != own) <= 4096  # the weight itself, updated in place, is no new tensor
    assert built.whole().grad is None
    assert (built.values[:8] == -0.1).all()


# Compiled code: the same functions through torch.compile

compiles = pytest.mark.skipif(not can_compile("cpu"), reason="torch.compile has no C++ compiler, or FALSUM_COMPILE=0")


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def mask_arguments(num: int, rate: float = 0.3, seed: int = 5) -> tuple[Tensor, ...]:
    ids = torch.arange(num, dtype=torch.int32) * 9973
    return (ids, *dropout_kernel.mask_key(rate, seed, worlds.CPU), torch.tensor(1.43))


def one_part(function: Callable[..., Any]) -> Callable[..., Any]:
    """The compiled loop behind a gradient that is made part by part."""
    return function.args[0] if isinstance(function, partial) else function


def fused_functions() -> dict[str, tuple[Callable[..., Any], tuple[Tensor, ...]]]:
    """Every compiled function with arguments of the shapes that it is called with."""
    cases: dict[str, tuple[Callable[..., Any], tuple[Tensor, ...]]] = {
        "dropout": (dropout_kernel.masked_fused, (numbers(9, 20), *mask_arguments(9))),
        "softmax prepare": (
            dot_softmax._prepare_fused,
            (numbers(9, 20), *mask_arguments(9), torch.empty(0, dtype=torch.bfloat16)),
        ),
        "softmax exponentials": (dot_softmax._exponentials_fused, (numbers(6, 33).bfloat16(),)),
        "softmax column sum": (dot_softmax._column_sum_fused, (numbers(9, 20).bfloat16(), numbers(2))),
        "softmax accumulate": (
            dot_softmax._accumulate_fused,
            (numbers(9, 20), numbers(9, 20, seed=1).bfloat16(), numbers(20, seed=2), *mask_arguments(9)),
        ),
        "softmax accumulate, no dropout": (
            dot_softmax._accumulate_plain_fused,
            (numbers(9, 20), numbers(9, 20, seed=1).bfloat16(), numbers(20, seed=2)),
        ),
        "left out": (
            dropout_kernel.left_out_fused,
            (*mask_arguments(9)[:3], torch.empty(0, 20)),
        ),
        "own taken": (
            own_taken_fused,
            (numbers(2, 4, 6), numbers(8, 6, seed=1), torch.tensor([[0, 7, 7, 2], [1, 2, 3, 0]])),
        ),
        "rank counts": (
            falsum.evaluation.ranks._count_fused,
            (numbers(4, 30), torch.tensor([0, 0, 3, 2, 1]), numbers(5, seed=1) - 0.1, numbers(5, seed=1) + 0.1),
        ),
    }
    for distance in DISTANCES:
        query, rows = numbers(3, 4, 6), numbers(3, 5, 6, seed=1)
        score, grad = distance.score(query, rows), numbers(3, 4, 5, seed=2)
        weight, ids = numbers(8, 6, seed=3), torch.tensor([[0, 7, 7], [1, 2, 3], [4, 4, 4]])
        own, own_grad = distance.score(query, weight[ids]), numbers(3, 4, 3, seed=4)
        name = distance.name
        cases[f"{name} score"] = (distance.score, (query, rows))
        cases[f"{name} by query"] = (distance.by_query, (grad, score, query, rows))
        cases[f"{name} by rows"] = (distance.by_rows, (grad, score, query, rows))
        cases[f"{name} gathered score"] = (distance.own_score, (query, weight, ids))
        cases[f"{name} gathered by rows"] = (distance.own_by_rows, (own_grad, own, query, weight, ids))
    for part, wider in ((ANGLES, 2), (LENGTHS, 7)):  # queries are wider than rows
        query, rows, grad = numbers(3, 4, 6 + wider), numbers(3, 5, 6, seed=1), numbers(3, 4, 5, seed=2)
        cases[f"{part.name} by query"] = (part.by_query, (grad, grad, query, rows))
        cases[f"{part.name} by rows"] = (part.by_rows, (grad, grad, query, rows))
    for mixes, wider in ((COMPLEX_MANHATTAN, 0), (LENGTHS, 7)):  # one that translates, and one that does not
        query, target, rows = numbers(2, 3, 6 + wider), numbers(2, 3, 6, seed=1), numbers(2, 4, 6, seed=2)
        given = (query, target, rows, (numbers(2, 4, 6, seed=3) > 0).float())
        grad, score = numbers(2, 3, 4, seed=4), mixes.mixing.score(*given)
        cases[f"{mixes.name} mixed by target"] = (one_part(mixes.mixing.by_target), (grad, score, *given))
        if mixes is LENGTHS:
            cases[f"{mixes.name} mixed score"] = (mixes.mixing.score, given)
            cases[f"{mixes.name} mixed by query"] = (mixes.mixing.by_query, (grad, score, *given))
            cases[f"{mixes.name} mixed by kept"] = (mixes.mixing.by_kept, (grad, score, *given))
        else:
            index = torch.tensor([[0, 7, 7, 2], [1, 2, 3, 0]])
            own = (query[:, :1], target[:, :1], numbers(8, 6, seed=5), (numbers(8, 6, seed=6) > 0).float(), index)
            cases[f"{mixes.name} mixed own score"] = (mixes.mixing.own_score, own)
            cases[f"{mixes.name} mixed own each"] = (one_part(mixes.mixing.own_each), (grad[:, :1], score[:, :1], *own))
    return cases


def test_every_compiled_function_of_the_package_is_compared() -> None:
    known = {id(function) for function, _ in fused_functions().values()}
    for module in pkgutil.walk_packages(falsum.__path__, "falsum."):
        if module.name == "falsum.__main__":
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, FunctionType) and value.__code__.co_filename == falsum.kernels.compiled.__file__:
                plain = name in ("can_compile", "largest", "fused")
                assert plain or id(value) in known, f"{module.name}.{name} is compiled but not compared"


def run(function: Callable[..., Any], arguments: tuple[Tensor, ...]) -> list[Tensor]:
    """What a function returns, or what it leaves in its first argument."""
    arguments = tuple(x.clone() for x in arguments)
    out = function(*arguments)
    return [arguments[0]] if out is None else [out] if isinstance(out, Tensor) else list(out)


@compiles
@pytest.mark.parametrize("name", fused_functions())
def test_compiled_code_is_the_function(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, arguments = fused_functions()[name]
    plain = function.__wrapped__
    fresh = fused(plain)  # the package's own may have been compiled by an earlier test
    compiled = []
    real = torch.compile

    def compile_once(given: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        compiled.append(given)
        return real(given, **options)

    expected = run(plain, arguments)
    monkeypatch.setattr(falsum.kernels.compiled, "WORTH_COMPILING", 1)
    monkeypatch.setattr(torch, "compile", compile_once)
    results = run(fresh, arguments)
    assert compiled == [plain]
    for result, right in zip(results, expected, strict=True):
        torch.testing.assert_close(result, right, rtol=1.6e-2 if right.dtype == torch.bfloat16 else 1e-5, atol=1e-5)


def test_small_work_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda *args, **options: pytest.fail("compiled"))
    for function, arguments in fused_functions().values():
        for result, right in zip(run(function, arguments), run(function.__wrapped__, arguments), strict=True):
            assert torch.equal(result, right)


def expanded(query: Tensor, rows: Tensor) -> Tensor:
    return -(query.unsqueeze(-2) - rows.unsqueeze(-3)).abs().sum(-1)


@pytest.mark.parametrize("objective", worlds.objectives(), ids=worlds.label)
def test_a_compare_without_gradients_or_paths_of_its_own_is_trained_alike(objective: tuple[str, dict]) -> None:
    """TransE by one plain function: slower, never refused, for all entities, own and shared draws."""
    built = worlds.make_objective(objective)
    g = worlds.graph()
    query = g.queries(g.splits["train"], Side.HEAD, grouped=worlds.grouped(built))
    for noise in (("all", {}), ("uniform", {"num": 3}), ("uniform", {"num": 3, "shared": "batch"})):
        results = []
        for compare in (MODELS["transe"].compare, Compare("plain", expanded)):
            parts = worlds.scoring("transe", g, dropout_entity=0.3)
            parts.model.train()
            parts.model.compare = compare
            results.append(worlds.value_and_gradients(parts, built, query, worlds.draw(noise, g, query, 2), 3))
        worlds.same(*results)


def test_bf16_products_stay_close_to_fp32_for_every_dot_model() -> None:
    g = worlds.graph()
    query = g.queries(g.splits["train"], Side.TAIL, grouped=False)
    for name, cls in MODELS.items():
        if not cls.compare.linear:
            continue
        parts = worlds.scoring(name, g)
        rounded = Scoring(parts.entities.float(), parts.relations.float(), parts.model.float(), dtype=torch.bfloat16)
        exact = loss(worlds.scoring(name, g), SoftmaxCrossEntropy(), query, Candidates(range(7)), 0).detach()
        values = loss(rounded, SoftmaxCrossEntropy(), query, Candidates(range(7)), 0).detach().double()
        size = exact.abs().max()
        assert (values - exact).abs().max() < 0.02 * size


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("turns", [1, 10**9])
def test_picked_scores_are_gathered_scores(rate: float, turns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores and gradients, candidates drawn twice included."""
    monkeypatch.setattr(falsum.scan.picked, "BLOCK_BYTES", turns)
    draw = torch.Generator().manual_seed(0)
    query = torch.randn(5, 6, generator=draw, dtype=torch.float64)
    ids = torch.randint(9, (5, 4), generator=draw)
    ids[0, 1] = ids[0, 0]
    by = torch.randn(5, 4, generator=draw, dtype=torch.float64)
    results = []
    for picked in (True, False):
        entities = Table(9, 6).double()
        with torch.no_grad():
            entities.values.copy_(torch.randn(9, 6, generator=torch.Generator().manual_seed(1)))
        own = query.clone().requires_grad_()
        if picked:
            scores = picked_scores(own, entities, ids, rate, 7, torch.float64)
        else:
            scores = gathered_scores(DOT, own, entities, ids, rate, 7, torch.float64)
        (scores * by).sum().backward()
        results.append((scores.detach(), own.grad, entities.sink()))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_many_draws_are_picked_and_few_are_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the driver, in fp32: the same loss and gradients either way, and both ways are taken."""
    g = worlds.graph(40, 2, sizes=(20, 0, 0))
    query = g.queries(g.splits["train"], Side.TAIL, grouped=False)
    taken, results = [], []
    for products in (0, 10**6):
        monkeypatch.setitem(falsum.scan.picked.PRODUCTS_PER_ROW, torch.float64, products)
        parts = worlds.scoring("complex", g, dropout_entity=0.2)
        parts.model.train()
        candidates = worlds.draw(Uniform(num=6), g, query, 0)
        taken.append(pays(40, 6, torch.float64))
        results.append(worlds.value_and_gradients(parts, SelfAdversarial(), query, candidates, 3))
    assert taken == [False, True]
    worlds.same(*results)
    assert pays(14541, 367, torch.bfloat16)
    assert not pays(40943, 6, torch.bfloat16)
