"""The hidden losses of published methods against their formulas, written out with loops; padding,
shares, and a perfect student."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from torch import Tensor

from raykd.losses.hidden.attention import relation_heads
from raykd.losses.hidden.inputs import HiddenInputs, Rows
from raykd.losses.hidden.kinds.bert_emd import flows
from raykd.losses.hidden.registry import hidden_loss, hidden_losses
from raykd.maps.activations import Activation, ActivationKind, state
from raykd.maps.layer_map import LayerMap
from raykd.maps.published import RULES, redrawn

torch.set_num_threads(1)
LENGTHS, WIDTH, NARROW, HEADS = (3, 5, 2, 4), 32, 16, 4
TEACHER, STUDENT = 4, 2
OF_BLOCKS = sorted(name for name, loss in hidden_losses().items() if loss.form == "blocks")
each_loss = pytest.mark.parametrize("kind", OF_BLOCKS)
OF_ANY_MAP = {"pkd": "pkd_skip", "rkd": "forward"}
"""A strategy for losses that have none of their own."""


def rows_of(lengths: tuple[int, ...], T: int = 0, whole: tuple[int, ...] = ()) -> Rows:
    """Rows of these lengths, padded to T; the global batch is `whole`, or the rows themselves."""
    mask = torch.arange(max(T, *lengths)) < torch.tensor(lengths)[:, None]
    whole = whole or lengths
    return Rows(mask, mask.flatten().nonzero().squeeze(1), len(whole), sum(whole))


def layer_map(kind: str) -> LayerMap:
    return RULES[OF_ANY_MAP.get(kind, kind)](TEACHER, STUDENT, 0)


def in_order(kind: str, matched: list[Activation]) -> list[Activation]:
    """What a loss reads, states first, as the recorded draws have it."""
    kinds = ("state", "query", "key", "value")
    read = hidden_loss(kind).activations(matched)
    return sorted(read, key=lambda a: (kinds.index(a.kind), a.block))


def made(kind: str, seed: int = 0, T: int = 0, narrow: bool = False) -> HiddenInputs:
    """Random vectors of both models. `narrow`: the student's own are half as wide, but for states
    that its loss wants in the teacher's width."""
    g = torch.Generator().manual_seed(seed)
    whole = layer_map(kind)
    pairs = (redrawn(whole, 0, 0) if kind == "rail_kd" else whole).pairs()
    own = NARROW if narrow else WIDTH
    width = WIDTH if hidden_loss(kind).projects else own
    N = sum(LENGTHS)
    student = {
        k: torch.randn(N, own if k.inside else width, generator=g)
        for k in in_order(kind, [s for s, _ in pairs])
    }
    teacher = {k: torch.randn(N, WIDTH, generator=g) for k in in_order(kind, [t for _, t in pairs])}
    shapes = hidden_loss(kind).weights
    weights = {
        name: torch.randn(weight.shape, generator=g) * 0.02
        for name, weight in (shapes(whole, width, WIDTH) if shapes else {}).items()
    }
    return HiddenInputs(pairs, student, teacher, rows_of(LENGTHS, T), HEADS, weights)


def cut(seen: HiddenInputs, examples: range) -> HiddenInputs:
    """A part of the examples, of the same global batch."""
    ends = np.cumsum((0, *LENGTHS))
    tokens = slice(int(ends[examples.start]), int(ends[examples.stop]))
    rows = rows_of(LENGTHS[examples.start : examples.stop], whole=LENGTHS)
    student, teacher = (
        {k: x[tokens] for k, x in of.items()} for of in (seen.student, seen.teacher)
    )
    return HiddenInputs(seen.pairs, student, teacher, rows, seen.heads, seen.weights)


def examples(x_ND: Tensor) -> Iterator[Tensor]:
    """Each example's own tokens, x_TD."""
    yield from x_ND.split(LENGTHS)


# The formulas, one number at a time

OF_RELATIONS: tuple[ActivationKind, ...] = ("query", "key", "value")


def mean(numbers: Any) -> float:
    return float(np.mean(list(numbers)))


def mse(a: Tensor, b: Tensor) -> float:
    return float(((a - b) ** 2).mean())


def naive_pkd(seen: HiddenInputs) -> list[float]:
    def distance(s: Tensor, t: Tensor) -> float:
        s, t = s[0] / s[0].norm(), t[0] / t[0].norm()
        return float(((s - t) ** 2).sum())

    return [mean(over_examples(seen, s, t, distance) for s, t in seen.pairs)]


def over_examples(
    seen: HiddenInputs, s: Activation, t: Activation, of: Callable[[Tensor, Tensor], float]
) -> float:
    pairs = zip(examples(seen.student[s]), examples(seen.teacher[t]), strict=True)
    return mean(of(a, b) for a, b in pairs)


def heads_of(x_TD: Tensor, heads: int) -> list[Tensor]:
    return list(x_TD.split(x_TD.shape[1] // heads, 1))


def dots(a_Td: Tensor, b_Td: Tensor) -> Tensor:
    """Scaled dot products of every token with every token, by loops."""
    T, d = a_Td.shape
    table = torch.zeros(T, T)
    for i, j in product(range(T), repeat=2):
        table[i, j] = float(a_Td[i] @ b_Td[j]) / d**0.5
    return table


def naive_scores(of: dict[Activation, Tensor], block: Activation, example: int) -> list[Tensor]:
    q, k = (list(examples(of[a]))[example] for a in (block.of_kind("query"), block.of_kind("key")))
    return [dots(a, b) for a, b in zip(heads_of(q, HEADS), heads_of(k, HEADS), strict=True)]


def naive_score_mse(seen: HiddenInputs, s: Activation, t: Activation, example: int) -> float:
    own, told = (naive_scores(dict(of), k, example)
                 for of, k in ((seen.student, s), (seen.teacher, t)))  # fmt: skip
    return mean(mse(a, b) for a, b in zip(own, told, strict=True))


def kl_rows(own: Tensor, told: Tensor) -> float:
    """sum_j p_t log(p_t / p_s), mean over the rows."""
    p_s, p_t = own.softmax(-1), told.softmax(-1)
    return mean(float((t * (t / s).log()).sum()) for s, t in zip(p_s, p_t, strict=True))


def naive_relation(
    seen: HiddenInputs, of: ActivationKind, s: Activation, t: Activation, heads: int
) -> float:
    def relation(a: Tensor, b: Tensor) -> float:
        pairs = zip(heads_of(a, heads), heads_of(b, heads), strict=True)
        return mean(kl_rows(dots(x, x), dots(y, y)) for x, y in pairs)

    return over_examples(seen, s.of_kind(of), t.of_kind(of), relation)


def naive_tinybert(seen: HiddenInputs) -> list[float]:
    states = mean(mse(seen.student[s], seen.teacher[t]) for s, t in seen.pairs)
    attention = mean(
        naive_score_mse(seen, s, t, e)
        for s, t in seen.pairs
        if s.block
        for e in range(len(LENGTHS))
    )
    return [states, attention]


def naive_minilm(seen: HiddenInputs) -> list[float]:
    ((s, t),) = seen.pairs
    attention = mean(
        mean(
            kl_rows(a, b)
            for a, b in zip(
                naive_scores(dict(seen.student), s, e),
                naive_scores(dict(seen.teacher), t, e),
                strict=True,
            )
        )
        for e in range(len(LENGTHS))
    )
    return [attention, naive_relation(seen, "value", s, t, HEADS)]


def naive_minilm_v2(seen: HiddenInputs) -> list[float]:
    ((s, t),) = seen.pairs
    heads = WIDTH // 16  # as the authors' 768 / 48
    return [naive_relation(seen, of, s, t, heads) for of in OF_RELATIONS]


def naive_rail_kd(seen: HiddenInputs) -> list[float]:
    found = []
    for e in range(len(LENGTHS)):
        own, told = (
            torch.cat([list(examples(of[k]))[e].mean(0) for k in blocks])
            for of, blocks in (
                (seen.student, [s for s, _ in seen.pairs]),
                (seen.teacher, [t for _, t in seen.pairs]),
            )
        )
        own, told = seen.weights["student"] @ own, seen.weights["teacher"] @ told
        found.append(float(((own / own.norm() - told / told.norm()) ** 2).sum()))
    return [mean(found)]


def naive_alp_kd(seen: HiddenInputs) -> list[float]:
    found = []
    for s, e in product(range(1, STUDENT + 1), range(len(LENGTHS))):
        own = list(examples(seen.student[state(s)]))[e][0]
        told = [list(examples(seen.teacher[state(t)]))[e][0] for t in range(1, TEACHER + 1)]
        grown = [float(np.exp(float(own @ t))) for t in told]
        mix = torch.stack([a / sum(grown) * t for a, t in zip(grown, told, strict=True)]).sum(0)
        found.append(mse(own, mix))
    return [mean(found)]


def cheapest(costs_ST: np.ndarray) -> float:
    """The transport problem as a linear programme, as it stands in the paper."""
    S, T = costs_ST.shape
    gives = np.kron(np.eye(S), np.ones(T))
    takes = np.kron(np.ones(S), np.eye(T))
    limits = np.concatenate([np.full(S, 1 / S), np.full(T, 1 / T)])
    return float(linprog(costs_ST.ravel(), A_eq=np.vstack([gives, takes]), b_eq=limits).fun)


def naive_bert_emd(seen: HiddenInputs) -> list[float]:
    blocks = [state(s) for s in range(1, STUDENT + 1)]
    targets = [state(t) for t in range(1, TEACHER + 1)]
    states, attention = [], []
    for e in range(len(LENGTHS)):
        own, told = (
            {k: list(examples(x))[e] for k, x in of.items()} for of in (seen.student, seen.teacher)
        )
        states.append(cheapest(np.array([[mse(own[s], told[t]) for t in targets] for s in blocks])))
        table = [[naive_score_mse(seen, s, t, e) for t in targets] for s in blocks]
        attention.append(cheapest(np.array(table)))
    return [mse(seen.student[state(0)], seen.teacher[state(0)]), mean(states), mean(attention)]


def naive_learned_mix(seen: HiddenInputs) -> list[float]:
    found = []
    for s in range(1, STUDENT + 1):
        grown = [float(np.exp(100 * float(w))) for w in seen.weights["mix"][s - 1]]
        mix = sum(g / sum(grown) * seen.teacher[state(t)] for t, g in enumerate(grown, 1))
        found.append(mse(seen.student[state(s)], mix))  # type: ignore[arg-type]
    return [mean(found)]


def huber(a: float, b: float) -> float:
    gap = abs(a - b)
    return gap**2 / 2 if gap <= 1 else gap - 1 / 2


def naive_rkd(seen: HiddenInputs) -> list[float]:
    def relations(x_ND: Tensor) -> tuple[dict[Any, float], dict[Any, float]]:
        means = [x_TD.mean(0).double() for x_TD in examples(x_ND)]
        apart = {(i, j): float((a - b).norm())
                 for (i, a), (j, b) in product(enumerate(means), repeat=2)}  # fmt: skip
        unit = mean(d for (i, j), d in apart.items() if i != j)
        cosines = {}
        for (i, a), (j, b), (k, c) in product(enumerate(means), repeat=3):
            defined = i not in (j, k)
            cosines[j, i, k] = float(F.cosine_similarity(b - a, c - a, dim=0)) if defined else 0.0
        return {k: d / unit for k, d in apart.items()}, cosines

    found = []
    for s, t in seen.pairs:
        of_student, of_teacher = relations(seen.student[s]), relations(seen.teacher[t])
        found.append([mean(huber(a[k], b[k]) for k in a)
                      for a, b in zip(of_student, of_teacher, strict=True)])  # fmt: skip
    by_distance, by_angle = zip(*found, strict=True)
    return [mean(by_distance), 2 * mean(by_angle)]


@each_loss
@pytest.mark.parametrize("seed", range(3))
def test_a_loss_is_its_formula(kind: str, seed: int) -> None:
    seen = made(kind, seed)
    found = hidden_loss(kind).with_options(None)(seen)
    assert len(found) == len(hidden_loss(kind).terms)
    assert [x.item() for x in found] == pytest.approx(
        globals()[f"naive_{kind}"](seen), rel=1e-4, abs=1e-6
    )


@pytest.mark.parametrize("kind", [k for k in OF_BLOCKS if not hidden_loss(k).projects])
def test_a_narrow_student_needs_no_projection_where_none_is_made(kind: str) -> None:
    seen = made(kind, narrow=True)
    assert [x.item() for x in hidden_loss(kind).with_options(None)(seen)] == pytest.approx(
        globals()[f"naive_{kind}"](seen), rel=1e-4, abs=1e-6
    )


# What holds for every loss


@pytest.mark.parametrize("kind", [k for k in OF_BLOCKS if hidden_loss(k).additive])
@given(seed=st.integers(0, 10_000), at=st.integers(1, len(LENGTHS) - 1))
@settings(max_examples=10)
def test_shares_of_a_batch_sum_to_its_loss(kind: str, seed: int, at: int) -> None:
    seen = made(kind, seed)
    whole = hidden_loss(kind).with_options(None)(seen)
    parts = [
        hidden_loss(kind).with_options(None)(cut(seen, part))
        for part in (range(at), range(at, len(LENGTHS)))
    ]
    for total, *shares in zip(whole, *parts, strict=True):
        torch.testing.assert_close(sum(shares), total)


@each_loss
def test_padding_changes_nothing(kind: str) -> None:
    short, long = (hidden_loss(kind).with_options(None)(made(kind, T=T)) for T in (0, 40))
    for a, b in zip(short, long, strict=True):
        torch.testing.assert_close(a, b)


@each_loss
def test_every_vector_that_is_read_is_learned_from_and_no_gradient_is_lost(kind: str) -> None:
    seen = made(kind)
    for x in (*seen.student.values(), *seen.weights.values()):
        x.requires_grad_()
    torch.stack(hidden_loss(kind).with_options(None)(seen)).sum().backward()  # type: ignore[no-untyped-call]
    for k, x in (*seen.student.items(), *seen.weights.items()):
        assert x.grad is not None and torch.isfinite(x.grad).all(), k
        assert x.grad.abs().max() > 0, k


def twin(kind: str) -> HiddenInputs:
    """A student that is its teacher, and as deep."""
    whole = RULES[OF_ANY_MAP.get(kind, kind)](STUDENT, STUDENT, 0)
    pairs = whole.pairs()
    g = torch.Generator().manual_seed(3)
    names = in_order(kind, [t for _, t in pairs])
    vectors = {k: 9 * torch.randn(sum(LENGTHS), WIDTH, generator=g) for k in names}
    weights = {}
    if kind == "rail_kd":
        same = torch.randn(8, WIDTH, generator=g)
        weights = {"student": same, "teacher": same}
    if kind == "learned_mix":
        weights = {"mix": torch.eye(STUDENT)}
    return HiddenInputs(pairs, dict(vectors), vectors, rows_of(LENGTHS), HEADS, weights)


@each_loss
def test_a_perfect_student_has_no_loss(kind: str) -> None:
    """ALP-KD's too where a vector lies nearer to itself than to the others, as long ones do."""
    assert sum(hidden_loss(kind).with_options(None)(twin(kind))).item() == pytest.approx(
        0, abs=1e-4
    )


# Their parts


@pytest.mark.parametrize(
    ("student", "teacher", "heads"),
    [(384, 768, 48), (768, 768, 48), (384, 1024, 64), (312, 768, 24), (24, 32, 2), (7, 32, 1)],
)
def test_relation_heads_are_as_fine_as_the_papers_or_the_next_coarser(
    student: int, teacher: int, heads: int
) -> None:
    assert relation_heads(student, teacher) == heads


@given(st.integers(1, 7), st.integers(1, 9), st.integers(0, 999))
@settings(max_examples=25)
def test_a_transport_is_the_cheapest_there_is(S: int, T: int, seed: int) -> None:
    costs = np.random.default_rng(seed).random((3, S, T))
    found = flows(costs)
    np.testing.assert_allclose(found.sum(2), 1 / S)
    np.testing.assert_allclose(found.sum(1), 1 / T)
    assert (found >= 0).all()
    for cost, flow in zip(costs, found, strict=True):
        assert (cost * flow).sum() == pytest.approx(cheapest(cost), abs=1e-9)


def test_first_and_mean_are_each_examples_own() -> None:
    rows, x_ND = rows_of(LENGTHS, T=9), torch.arange(14.0)[:, None]
    assert rows.first(x_ND).flatten().tolist() == [0, 3, 8, 10]
    assert rows.mean(x_ND).flatten().tolist() == [1, 5, 8.5, 11.5]
    assert rows.padded(x_ND)[2].flatten().tolist() == [8, 9, 0, 0, 0, 0, 0, 0, 0]
