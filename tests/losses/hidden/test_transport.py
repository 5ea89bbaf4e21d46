"""Transports found on a device are as cheap as scipy's, and give BERT-EMD the same gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from raykd.losses.hidden.kinds import bert_emd
from raykd.losses.hidden.registry import hidden_loss
from raykd.losses.hidden.transport import cheapest_flows

from .test_blocks import made

Shape = tuple[int, int, int]
COSTS: dict[str, Callable[[np.random.Generator, Shape], np.ndarray]] = {
    "even": lambda rng, shape: rng.random(shape),
    "tied": lambda rng, shape: rng.integers(0, 3, shape).astype(float),
    "all equal": lambda rng, shape: np.full(shape, 2.5),
    "all zero": lambda rng, shape: np.zeros(shape),
    "of many sizes": lambda rng, shape: 1e-8 * rng.lognormal(0, 3, shape),
}


@given(st.integers(1, 7), st.integers(1, 9), st.integers(0, 999), st.sampled_from(sorted(COSTS)))
@settings(max_examples=60, deadline=None)
def test_a_transport_costs_what_scipys_does(S: int, T: int, seed: int, kind: str) -> None:
    """Of equal costs too, where the flows may differ."""
    costs = COSTS[kind](np.random.default_rng(seed), (3, S, T))
    found = cheapest_flows(torch.from_numpy(costs)).numpy()
    np.testing.assert_allclose(found.sum(2), 1 / S)
    np.testing.assert_allclose(found.sum(1), 1 / T)
    assert (found >= 0).all()
    totals = [(costs * flow).sum((1, 2)) for flow in (found, bert_emd.flows(costs))]
    np.testing.assert_allclose(*totals, rtol=1e-12)


@pytest.mark.parametrize(("S", "T"), [(9, 12), (6, 12), (3, 12), (9, 36)])
def test_so_do_those_of_the_papers_depths(S: int, T: int) -> None:
    costs = COSTS["even"](np.random.default_rng(S), (8, S, T))
    found = cheapest_flows(torch.from_numpy(costs)).numpy()
    totals = [(costs * flow).sum((1, 2)) for flow in (found, bert_emd.flows(costs))]
    np.testing.assert_allclose(*totals, rtol=1e-12)


def test_costs_that_are_not_finite_have_a_flow() -> None:
    costs = torch.tensor([[[float("nan"), 1.0], [float("inf"), 2.0]]])
    assert cheapest_flows(costs).sum() == 1


@pytest.mark.parametrize("narrow", [False, True])
def test_bert_emd_has_the_loss_and_the_gradients_of_the_host(
    narrow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def solved() -> list[Tensor]:
        seen = made("bert_emd", narrow=narrow)
        student = [x.requires_grad_(True) for x in seen.student.values()]
        terms = hidden_loss("bert_emd").with_options(None)(seen)
        torch.stack(terms).sum().backward()  # type: ignore[no-untyped-call]
        return [*terms, *(x.grad for x in student if x.grad is not None)]

    on_host = solved()
    monkeypatch.setattr(bert_emd, "_solved_on_host", bert_emd._solved_on_device)
    on_device = solved()
    assert len(on_host) == len(on_device) > 3
    torch.testing.assert_close(on_device, on_host)
