"""What taps hold, for how long, and which models they understand."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AlbertConfig,
    AlbertForSequenceClassification,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    EuroBertConfig,
    EuroBertForSequenceClassification,
    FlaubertConfig,
    FlaubertForSequenceClassification,
    MobileBertConfig,
    MobileBertForSequenceClassification,
)

from benchmarks.tiny_configs import tiny_config
from raykd.config.trial import Init, Shape
from raykd.maps.activations import state as state_of
from raykd.models.capture import ActivationCapture, stacks
from raykd.models.student import build_student

from ..support.tiny_models import KINDS, tiny_model

torch.set_num_threads(1)
each_kind = pytest.mark.parametrize("kind", KINDS)


def inputs(seed: int = 0) -> dict[str, Tensor]:
    """Two rows of 8 and 5 tokens."""
    ids = torch.randint(5, 99, (2, 8), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    ids[1, 5:], mask[1, 5:] = 1, 0
    return {"input_ids": ids, "attention_mask": mask}


def hook_count(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@each_kind
@pytest.mark.parametrize("blocks", [1, 2])
def test_states_of_shallow_and_narrow_students_are_their_own_hidden_states(
    kind: str, blocks: int
) -> None:
    """One block is first and last at once: DeBERTa's convolution then follows the last block."""
    student = build_student(tiny_model(kind), Shape(blocks, width=24), Init("random"), 0).eval()
    with torch.no_grad(), ActivationCapture(student, map(state_of, range(blocks + 1))) as taps:
        expected = student(**inputs(), output_hidden_states=True).hidden_states
    assert len(expected) == len(taps.values) == blocks + 1
    for number, x_BTD in taps.values.items():
        assert x_BTD.shape == (2, 8, 24)
        assert torch.equal(x_BTD, expected[number.block]), number


def test_the_last_state_is_taken_after_a_final_norm() -> None:
    """Models with norms inside their blocks end with one more, outside the last block."""
    config = EuroBertConfig(
        vocab_size=99, hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=64, num_labels=3, pad_token_id=0,
    )  # fmt: skip
    model = EuroBertForSequenceClassification(config).eval()
    with torch.no_grad(), ActivationCapture(model, map(state_of, range(4))) as taps:
        expected = model(**inputs(), output_hidden_states=True).hidden_states
    assert all(torch.equal(x_BTD, expected[k.block]) for k, x_BTD in taps.values.items())


@each_kind
@pytest.mark.parametrize("state", [0, 2, 4])
def test_a_state_reaches_back_to_its_blocks_and_no_further_up(kind: str, state: int) -> None:
    model = tiny_model(kind, blocks=4).train()
    with ActivationCapture(model, [state_of(state)]) as taps:
        model(**inputs())
    # Weighted, since the plain sum behind a layer norm does not depend on what came before it.
    weights_D = torch.randn(32, generator=torch.Generator().manual_seed(1))
    (taps.values[state_of(state)] * weights_D).sum().backward()  # type: ignore[no-untyped-call]
    reached = [
        all(p.grad is not None for n, p in block.named_parameters() if n.endswith(".weight"))
        for block in stacks(model)["encoder"]
    ]
    touched = [
        any(p.grad is not None for p in block.parameters()) for block in stacks(model)["encoder"]
    ]
    assert reached == touched == [k <= state for k in range(1, 5)]
    assert model.get_input_embeddings().weight.grad is not None


@each_kind
def test_states_that_are_not_named_are_let_go(kind: str) -> None:
    model = tiny_model(kind)
    entering: dict[int, weakref.ref[Tensor]] = {}

    def watch(number: int) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            entering[number] = weakref.ref(args[0] if args else kwargs["hidden_states"])

        return hook

    for number, block in enumerate(stacks(model)["encoder"]):
        block.register_forward_pre_hook(watch(number), with_kwargs=True)
    with torch.no_grad(), ActivationCapture(model, map(state_of, (1, 4))) as taps:
        model(**inputs())
    assert [k for k, x in entering.items() if x() is not None] == [1, 4]
    taps.clear()
    assert all(x() is None for x in entering.values())


@each_kind
def test_hooks_set_once_serve_every_pass(kind: str) -> None:
    model, seen = tiny_model(kind), []
    taps = ActivationCapture(model, [state_of(3)])
    hooks = hook_count(model)
    with torch.no_grad():
        for seed in (0, 1, 0):
            model(**inputs(seed))
            seen.append(taps.values[state_of(3)])
            taps.clear()
            assert not taps.values
    assert hook_count(model) == hooks
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0], seen[1])
    taps.remove()
    assert hook_count(model) == 0


def test_hooks_go_even_when_the_forward_fails() -> None:
    model = tiny_model("bert")
    with pytest.raises(IndexError), ActivationCapture(model, map(state_of, (0, 6))):
        assert hook_count(model) > 0
        model(input_ids=torch.tensor([[98, 99]]))  # a token beyond the vocabulary
    assert hook_count(model) == 0


def test_a_frozen_model_gives_states_without_a_graph() -> None:
    model = tiny_model("bert").requires_grad_(False)
    with ActivationCapture(model, map(state_of, (0, 6))) as taps, torch.no_grad():
        model(**inputs())
    assert not any(x_BTD.requires_grad for x_BTD in taps.values.values())


def test_taps_leave_the_models_results_as_they_are() -> None:
    model = tiny_model("deberta")
    plain = model(**inputs()).logits
    with (
        ActivationCapture(model, map(state_of, range(7))),
        ActivationCapture(model, [state_of(2)]) as second,
    ):
        tapped = model(**inputs()).logits
    assert torch.equal(plain, tapped)
    assert list(second.values) == [state_of(2)]


@pytest.mark.parametrize("state", [-1, 7])
def test_a_state_that_the_model_has_not_is_refused(state: int) -> None:
    model = tiny_model("bert")
    with pytest.raises(ValueError, match=f"no state-{state} in a model of 6 blocks"):
        ActivationCapture(model, map(state_of, (1, state)))
    assert hook_count(model) == 0


@each_kind
@pytest.mark.parametrize("blocks", [1, 6])
def test_the_stack_holds_all_block_weights_and_nothing_shared(kind: str, blocks: int) -> None:
    """A block more adds exactly one block's parameters, all of them inside the stack."""
    model, deeper = tiny_model(kind, blocks=blocks), tiny_model(kind, blocks=blocks + 1)
    stack = stacks(model)["encoder"]
    assert len(stack) == blocks
    added = deeper.num_parameters() - model.num_parameters()
    assert sum(p.numel() for p in stack[-1].parameters()) == added


def test_lists_inside_a_block_are_not_the_stack() -> None:
    """MobileBERT's blocks hold a list of feed-forward parts, here as long as the stack."""
    config = MobileBertConfig(
        vocab_size=99, hidden_size=32, embedding_size=16, num_hidden_layers=3,
        num_attention_heads=4, intermediate_size=64, intra_bottleneck_size=32,
        num_feedforward_networks=4,
    )  # fmt: skip
    model = MobileBertForSequenceClassification(config)
    assert stacks(model)["encoder"] is model.mobilebert.encoder.layer
    assert len(stacks(model)["encoder"][0].ffn) == 3


def test_models_whose_blocks_are_not_one_list_are_refused() -> None:
    one_block_many_times = AlbertForSequenceClassification(
        AlbertConfig(
            vocab_size=99,
            hidden_size=32,
            embedding_size=16,
            num_hidden_layers=6,
            num_attention_heads=4,
            intermediate_size=64,
        )  # fmt: skip
    )
    with pytest.raises(ValueError, match="AlbertForSequenceClassification has no list of 6 blocks"):
        stacks(one_block_many_times)
    parts_apart = FlaubertForSequenceClassification(
        FlaubertConfig(vocab_size=99, emb_dim=32, n_layers=6, n_heads=4)
    )
    with pytest.raises(ValueError, match="has 4 lists of 6 modules, not one of blocks"):
        stacks(parts_apart)


@pytest.mark.parametrize("kind", ["longformer", "led"])
def test_states_have_no_padding_to_a_window(kind: str) -> None:
    """These encoders pad 13 tokens to 16, for a window of 8."""
    config = tiny_config(kind)
    auto = AutoModelForSeq2SeqLM if kind == "led" else AutoModelForSequenceClassification
    model = auto.from_config(config).eval()
    ids_BT = torch.arange(5, 31).reshape(2, 13)
    layers = [state_of(k) for k in range(7)]
    with torch.no_grad(), ActivationCapture(model, layers) as taps:
        outputs = model(input_ids=ids_BT, output_hidden_states=True)
    expected = getattr(outputs, "encoder_hidden_states", None) or outputs.hidden_states
    for k, state in enumerate(layers):
        assert taps.values[state].shape == (2, 13, 32)
        assert torch.equal(taps.values[state], expected[k][:, :13])


def test_a_state_is_the_tensor_that_the_block_reads() -> None:
    """A view of it would be another node of the graph, and gradients would be added up in another
    order: other last bits than those of earlier versions."""
    model = tiny_model("bert")
    read: list[Tensor] = []
    block = stacks(model)["encoder"][1]
    block.register_forward_pre_hook(lambda _, args: read.append(args[0]))
    with ActivationCapture(model, [state_of(1)]) as capture:
        model(**inputs())
        assert capture.values[state_of(1)] is read[0]
