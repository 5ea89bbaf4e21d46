"""Masks of a known padding are those that transformers makes by itself, without reading any."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import masking_utils
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

from benchmarks.gpu import every_loss, world
from benchmarks.model_classes import drawn
from benchmarks.tiny_configs import tiny_config
from raykd.tasks import known_padding
from raykd.tasks.registry import task as task_of

torch.set_num_threads(1)
CASES = [
    ("bert", "classification"), ("modernbert", "classification"), ("gpt2", "classification"),
    ("llama", "causal_lm"), ("mistral", "causal_lm"), ("t5", "seq2seq"), ("bart", "seq2seq"),
]  # fmt: skip
BIDIRECTIONAL = ("bert", "modernbert")  # eager attention reads no causal masks


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The answers of transformers to whether a mask that it was given can be left out."""
    answers: list[bool] = []
    for name in ("_ignore_causal_mask_sdpa", "_ignore_bidirectional_mask_sdpa"):
        right = getattr(masking_utils, name)

        def asked(mask: Tensor | None, *rest: Any, right: Any = right, **options: Any) -> bool:
            answer = bool(right(mask, *rest, **options))
            if mask is not None:
                answers.append(answer)
            return answer

        monkeypatch.setattr(masking_utils, name, asked)
    return answers


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_outputs_and_gradients_are_bitwise_those_of_masks_that_are_read(
    name: str, kind: str, padded: bool, attention: str, reads: list[bool]
) -> None:
    family, model = task_of(kind), drawn(tiny_config(name), kind)
    assert model is not None
    model.set_attn_implementation(attention)
    rows = every_loss.rows(kind)
    lengths = rows.lengths, np.diff(rows.position_offsets)
    alike = np.flatnonzero((lengths[0] == lengths[0][0]) & (lengths[1] == lengths[1][0]))
    batch = family.collate(rows, np.arange(len(rows.ids)) if padded else alike, world.PAD)
    assert bool(batch.inputs["attention_mask"].all()) is not padded

    def passed() -> list[Tensor]:
        model.zero_grad()
        logits = family.forward(model, batch).logits()
        logits.square().sum().backward()  # type: ignore[no-untyped-call]
        return [logits, *(p.grad for p in model.parameters() if p.grad is not None)]

    told = passed()
    assert not reads
    with pytest.MonkeyPatch.context() as without:
        without.setattr(known_padding.Padding, "of", lambda mask_BT, valid_N: NOTHING)
        read = passed()
    assert (attention == "sdpa" or kind == "seq2seq" or name in BIDIRECTIONAL) == bool(reads)
    assert all(torch.equal(a, b) for a, b in zip(told, read, strict=True))


NOTHING = known_padding.Padding((0, 0), False)  # of no mask, so that every mask is read


def test_outside_transformers_reads_its_masks(reads: list[bool]) -> None:
    make = ALL_MASK_ATTENTION_FUNCTIONS["sdpa"]
    mask_BT = torch.ones(2, 3, dtype=torch.bool)
    assert make(batch_size=2, q_length=3, kv_length=3, attention_mask=mask_BT) is None
    assert reads == [True]
