"""The seq2seq family over every class: shifted labels, masks from labels, scores of texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import PreTrainedModel

from raykd.data.encoded import Encoded
from raykd.errors import UserError
from raykd.maps.activations import states
from raykd.maps.depth import Depth
from raykd.tasks import metrics, seq2seq
from raykd.tasks.seq2seq import IGNORED, Seq2Seq
from raykd.teachers.targets import LiveTeacher

from ..support.tiny_seq2seq import KINDS, tiny_seq2seq

torch.set_num_threads(1)
each_kind = pytest.mark.parametrize("kind", KINDS)
LENGTHS, TARGETS = (7, 3, 5, 6), (4, 6, 2, 5)


def encoded() -> Encoded:
    """Four rows; every target ends with the token that ends texts."""
    rng = np.random.default_rng(0)

    def flat(lengths: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        parts = [[*rng.integers(5, 99, n - 1), 1] for n in lengths]
        return np.concatenate(parts).astype(np.int32), np.concatenate([[0], np.cumsum(lengths)])

    (ids, offsets), (targets, ends) = flat(LENGTHS), flat(TARGETS)
    names = np.array([f"row{i}" for i in range(4)])
    return Encoded("tiny", ids, offsets, None, None, names, targets, ends)


def start(model: PreTrainedModel, labels: np.ndarray) -> int:
    """What the decoder reads first, by each model's own documentation."""
    if model.config.model_type == "mbart":
        return int(labels[-1])  # the language, with which its labels end
    return int(model.config.decoder_start_token_id)


@each_kind
def test_the_loss_is_that_of_the_class_itself_with_labels(kind: str) -> None:
    """Each class shifts its labels and scales its logits by itself; ours are the same numbers."""
    model = tiny_seq2seq(kind)
    batch = TASK.collate(encoded(), np.arange(4), 0)
    assert batch.labels is not None and batch.positions == len(batch.labels) == sum(TARGETS)
    with torch.no_grad():
        logits_PV = TASK.forward(model, batch).logits()
        own = model(**batch.inputs, decoder_attention_mask=(batch.inputs["labels"] != -100).long())
    assert torch.nn.functional.cross_entropy(logits_PV, batch.labels).item() == pytest.approx(
        own.loss.item(), rel=1e-5
    )
    said_PV = own.logits.flatten(0, 1)[batch.places]
    assert torch.allclose(logits_PV, said_PV, atol=1e-5)


@each_kind
def test_the_decoder_reads_the_target_shifted_right_and_its_mask_is_the_labels(kind: str) -> None:
    model, rows, seen = tiny_seq2seq(kind), encoded(), {}

    def look(module: object, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        seen.update(kwargs)

    hook = model.get_decoder().register_forward_pre_hook(look, with_kwargs=True)
    TASK.forward(model, TASK.collate(rows, np.arange(4), 0))
    hook.remove()
    assert rows.targets is not None and rows.target_offsets is not None
    for i, length in enumerate(TARGETS):
        own = rows.targets[rows.target_offsets[i] : rows.target_offsets[i + 1]]
        read = seen["input_ids"][i].tolist()
        assert read[:length] == [start(model, own), *own[:-1]]
        # The start token of T5, Marian and Pegasus is the padding's, and it is read all the same.
        assert seen["attention_mask"][i].tolist() == [1] * length + [0] * (6 - length)


@each_kind
@pytest.mark.parametrize("rows", [[0, 1, 2, 3], [2]])
def test_padding_changes_nothing(kind: str, rows: list[int]) -> None:
    """Invariant 6: for logits and for the states of both stacks."""
    model, places = tiny_seq2seq(kind, (2, 2)), np.array(rows)
    live = LiveTeacher(model, states(Depth(2, 2)), TASK, torch.no_grad())
    near, far = (live(TASK.collate(encoded(), places, 0, pad_to=n)) for n in (None, 13))
    assert torch.allclose(near.outputs.x_PC, far.outputs.x_PC, atol=1e-5)
    for state, x_ND in near.states_ND.items():
        count = sum((LENGTHS if state.stack == "encoder" else TARGETS)[i] for i in rows)
        assert x_ND.shape == (count, 32)
        assert torch.allclose(x_ND, far.states_ND[state], atol=1e-5), state


def test_shares_of_a_batch_count_the_whole() -> None:
    whole = np.arange(4)
    parts = [TASK.collate(encoded(), whole[i::2], 0, whole) for i in range(2)]
    assert [p.positions for p in parts] == [sum(TARGETS)] * 2
    assert [p.tokens for p in parts] == [sum(LENGTHS)] * 2
    assert [p.count_in("decoder") for p in parts] == [sum(TARGETS)] * 2
    assert [len(p.valid_in("decoder")) for p in parts] == [4 + 2, 6 + 5]
    assert (parts[0].inputs["labels"] == IGNORED).sum() == 2


# Heads


T5 = {
    "vocab_size": 97, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4,
    "num_decoder_layers": 2, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0,
}  # fmt: skip
TASK = Seq2Seq()
BART = {
    "vocab_size": 97, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2,
    "decoder_start_token_id": 0, "max_position_embeddings": 64,
}  # fmt: skip
WRITERS: dict[str, tuple[str, dict[str, Any]]] = {
    "T5 1.0": ("T5ForConditionalGeneration", T5),
    "T5 1.1": ("T5ForConditionalGeneration", {**T5, "tie_word_embeddings": False}),
    "mT5": ("MT5ForConditionalGeneration", T5),
    "UMT5": ("UMT5ForConditionalGeneration", T5),
    "LongT5": ("LongT5ForConditionalGeneration", {**T5, "local_radius": 4}),
    "LongT5 untied": (
        "LongT5ForConditionalGeneration", {**T5, "local_radius": 4, "tie_word_embeddings": False}
    ),
    "Switch": ("SwitchTransformersForConditionalGeneration", {**T5, "num_experts": 2}),
    "BART": ("BartForConditionalGeneration", BART),
    "mBART": ("MBartForConditionalGeneration", BART),
    "Marian": ("MarianMTModel", BART),
    "Pegasus": ("PegasusForConditionalGeneration", BART),
    "PegasusX": ("PegasusXForConditionalGeneration", {**BART, "block_size": 4}),
    "Blenderbot": ("BlenderbotForConditionalGeneration", BART),
    "BlenderbotSmall": ("BlenderbotSmallForConditionalGeneration", BART),
    "M2M100": ("M2M100ForConditionalGeneration", BART),
    "PLBart": ("PLBartForConditionalGeneration", BART),
}  # fmt: skip


def writer(name: str) -> PreTrainedModel:
    """With a bias of the logits where the class has one."""
    kind, settings = WRITERS[name]
    torch.manual_seed(0)
    model: PreTrainedModel = getattr(transformers, kind)(
        getattr(transformers, kind).config_class(**settings)
    )
    if hasattr(model, "final_logits_bias"):
        model.final_logits_bias.normal_()
    return model.eval()


@pytest.mark.parametrize("name", WRITERS)
def test_the_head_makes_the_logits_of_the_class_itself(name: str, tmp_path: Path) -> None:
    """Of a loaded folder, under tied embeddings and own ones, scaled and not; at its own size."""
    writer(name).save_pretrained(tmp_path)
    model = TASK.load_model(tmp_path, (), trained=False)
    batch = TASK.collate(encoded(), np.arange(4), 0)
    batch.inputs["input_ids"].clamp_(max=96)
    batch.inputs["labels"].clamp_(max=96)
    with torch.no_grad():
        said_PV = model(
            **batch.inputs, decoder_attention_mask=(batch.inputs["labels"] != IGNORED).long()
        ).logits.flatten(0, 1)[batch.places]
        torch.testing.assert_close(
            TASK.forward(model, batch).logits(),
            said_PV,
            rtol=1e-4,
            atol=1e-5 * said_PV.std().item(),
        )


def test_logits_that_are_made_otherwise_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer("UMT5").save_pretrained(tmp_path)
    monkeypatch.setattr(seq2seq, "SCALED_BY_TIES", ())
    with pytest.raises(UserError, match="UMT5ForConditionalGeneration makes its logits in a way"):
        TASK.load_model(tmp_path, (), trained=False)


# Scores


def test_corpus_scores_are_sacrebleus() -> None:
    import sacrebleu

    texts = ["the cat sat on the mat", "a dog", "there is no such thing"]
    refs = [["the cat is on the mat", "a cat sat on a mat"], ["a dog barks"], ["no such thing"]]
    table = [[r[0] for r in refs], [refs[0][1], None, None]]
    assert metrics.corpus("bleu", texts, refs) == sacrebleu.corpus_bleu(texts, table).score
    assert metrics.corpus("chrf", texts, refs) == sacrebleu.corpus_chrf(texts, table).score


@pytest.mark.parametrize("metric", [*metrics.MATCHED, *metrics.ROUGE])
def test_equal_texts_score_a_hundred_and_unlike_ones_nothing(metric: str) -> None:
    texts = ["one two three four five", "six seven eight nine"]
    refs = [["other words", texts[0]], [texts[1]]]
    assert metrics.corpus(metric, texts, refs) == pytest.approx(100)
    assert metrics.sentence_scores(metric, texts, refs) == pytest.approx([100, 100])
    assert metrics.corpus(metric, ["", ""], refs) == 0
    assert metrics.sentence_scores(metric, ["", "six seven ten nine"], refs)[0] == 0


def test_rouge_of_a_known_pair() -> None:
    """Four of five words, in order: precision 4/5, recall 4/4."""
    [found] = metrics.sentence_scores("rougeL", ["the cat really sat down"], [["the cat sat down"]])
    assert found == pytest.approx(100 * 8 / 9)


def test_an_unknown_metric_is_no_score() -> None:
    with pytest.raises(ValueError, match="unknown metric"):
        metrics.corpus("accuracy", ["a"], [["a"]])
