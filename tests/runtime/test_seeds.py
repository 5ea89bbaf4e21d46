"""Streams of random numbers."""

from __future__ import annotations

import pytest
import torch

from raykd.runtime.seeds import reseed


@pytest.mark.parametrize("gpu", [False, True])
def test_seeded_again_the_numbers_are_those_of_torch(
    gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: gpu)
    torch.manual_seed(2**55 + 7)
    expected = torch.rand(8)
    torch.rand(3)
    reseed(2**55 + 7)
    assert torch.equal(torch.rand(8), expected)


def test_seeding_an_accelerator_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(torch, "manual_seed", seeds.append)
    for gpu in (False, True):
        monkeypatch.setattr(torch.accelerator, "is_available", lambda present=gpu: present)
        reseed(5)
    assert seeds == [5]
