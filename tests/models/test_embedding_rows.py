"""A word embedding trained in the rows that are used: the same numbers as the whole table."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from raykd.models.embedding_rows import EmbeddingRows, tokens_in, train_rows

from ..support.tiny_models import KINDS, tiny_model

USED = torch.tensor([0, 1, 3, 5, 8, 13, 21, 34, 55, 89])
BATCHES = [torch.tensor([[3, 5, 8, 89], [1, 21, 0, 0]]), torch.tensor([[55, 3, 13, 34]])]


def train(
    model: PreTrainedModel, steps: int, look: int | None = None, skipped: Collection[int] = ()
) -> None:
    """AdamW with decay and a falling rate, as a learner does it; looked at after step `look`. Steps
    are `skipped` as torch's GradScaler has a fused optimiser skip them."""
    words = model.get_input_embeddings()
    own = [words.rows] if isinstance(words, EmbeddingRows) else []
    parameters = [*own, *(p for p in model.parameters() if p.requires_grad)]
    optimizer = torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.3, fused=True)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
        torch.manual_seed(step)
        ids = BATCHES[step % len(BATCHES)]
        model.train()
        output = model(input_ids=ids, attention_mask=(ids != 0).long())
        output.logits.square().sum().backward()
        skips: Any = optimizer
        skips.grad_scale, skips.found_inf = None, torch.tensor(float(step in skipped))
        optimizer.step()
        if isinstance(words, EmbeddingRows):
            skip = torch.tensor(step in skipped) if skipped else None
            words.decayed(1 - optimizer.param_groups[0]["lr"] * 0.3, skip)
        optimizer.zero_grad()
        if step == look:
            model.eval()


@pytest.mark.parametrize(("kind", "skipped"), [*((k, ()) for k in KINDS), ("bert", (0, 3))])
def test_training_the_used_rows_gives_the_weights_of_training_them_all(
    kind: str, skipped: tuple[int, ...]
) -> None:
    """Bit for bit, whether or not somebody looks in between: the rows in use, those beside them
    that only decay, and all other weights. A skipped step decays none."""
    torch.set_num_threads(1)
    whole, part, seen = (tiny_model(kind, blocks=2, vocab=1000) for _ in range(3))
    for model in (part, seen):
        assert train_rows(model, USED) is not None
    train(whole, 5, skipped=skipped)
    train(part, 5, skipped=skipped)
    train(seen, 5, look=2, skipped=skipped)
    wanted = whole.state_dict()
    for model in (part, seen):
        found = model.state_dict()
        assert list(found) == list(wanted)
        for name, value in wanted.items():
            assert torch.equal(found[name], value), name


def test_every_token_is_looked_up_in_the_trained_table_in_eval_mode() -> None:
    model = tiny_model("bert", blocks=1, vocab=1000)
    words = train_rows(model, USED)
    assert words is not None
    train(model, 3)
    model.eval()
    ids = torch.arange(1000)
    assert torch.equal(words(ids), model.state_dict()["bert.embeddings.word_embeddings.weight"])
    model.train()
    assert torch.equal(words(USED), words.weight[USED])
    with pytest.raises(IndexError):
        words(torch.tensor([2]))


def test_a_loaded_state_is_what_trains_on() -> None:
    model, other = (tiny_model("bert", blocks=1, vocab=1000, seed=s) for s in (0, 1))
    words = train_rows(model, USED)
    assert words is not None
    train(model, 2)
    model.load_state_dict(other.state_dict())
    model.train()
    assert torch.equal(words(USED), other.get_input_embeddings().weight[USED])
    assert_same(model.state_dict(), other.state_dict())


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert {k for k, v in wanted.items() if not torch.equal(found[k], v)} == set()


def test_an_embedding_that_serves_elsewhere_or_is_mostly_used_stays() -> None:
    tied = tiny_model("bert", blocks=1, vocab=1000)
    tied.classifier = torch.nn.Linear(32, 1000)
    tied.classifier.weight = tied.get_input_embeddings().weight
    assert train_rows(tied, USED) is None
    assert train_rows(tiny_model("bert", blocks=1, vocab=1000), torch.arange(900)) is None


def test_the_tokens_of_a_split() -> None:
    import numpy as np

    found = tokens_in(np.array([7, 3, 7, 9], dtype=np.int32), pad=1)
    assert found.tolist() == [1, 3, 7, 9] and found.dtype == torch.int64
