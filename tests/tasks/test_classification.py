"""Classification: scores in percent, predictions as columns, models that are whole or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2ForSequenceClassification

from raykd.data.encoded import Encoded
from raykd.errors import UserError
from raykd.models.loading import load_tokenizer
from raykd.tasks.classification import Classification
from raykd.tasks.metrics import of_classes

from ..support.tiny_models import KINDS, tiny_model
from ..support.world import tokenizer, write_model

METRICS = ("accuracy", "f1", "macro_f1", "matthews")
NAMES = ("neg", "pos")
TASK = Classification()


# Scores


def counted(predicted: list[int], labels: list[int]) -> dict[str, float]:
    """The four metrics of two classes, from the four counts."""
    pairs = list(zip(predicted, labels, strict=True))
    tp, tn, fp, fn = (pairs.count(p) for p in ((1, 1), (0, 0), (1, 0), (0, 1)))

    def f1(hit: int, missed: int) -> float:
        return 2 * hit / (2 * hit + missed) if hit else 0.0

    root = ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5
    each = [f1(tn, fp + fn), f1(tp, fp + fn)]
    present = [c for c in (0, 1) if c in predicted or c in labels]
    return {
        "accuracy": (tp + tn) / len(pairs),
        "f1": f1(tp, fp + fn),
        "macro_f1": sum(each[c] for c in present) / len(present),
        "matthews": (tp * tn - fp * fn) / root if root else 0.0,
    }


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40))
@pytest.mark.filterwarnings("error")
def test_scores_are_what_counting_gives(pairs: list[tuple[int, int]]) -> None:
    predicted, labels = map(list, zip(*pairs, strict=True))
    expected = counted(predicted, labels)
    for metric in METRICS:
        found = of_classes(metric, np.array(predicted), np.array(labels))
        assert found == pytest.approx(100 * expected[metric], abs=1e-6), metric


@pytest.mark.parametrize("metric", METRICS)
def test_all_right_is_a_hundred_percent(metric: str) -> None:
    labels = np.array([0, 1, 1, 0, 1])
    assert of_classes(metric, labels, labels) == pytest.approx(100)


def test_f1_is_of_the_second_class_even_where_it_is_not_there() -> None:
    assert of_classes("f1", np.zeros(4, int), np.zeros(4, int)) == 0


def test_macro_f1_counts_small_classes_as_large_ones() -> None:
    labels = np.array([0] * 98 + [1, 2])
    always = np.zeros(100, int)
    assert of_classes("accuracy", always, labels) == 98
    assert of_classes("macro_f1", always, labels) == pytest.approx(100 * (196 / 198) / 3)


def test_an_unknown_metric_is_an_error() -> None:
    with pytest.raises(ValueError, match="rouge"):
        of_classes("rouge", np.array([0]), np.array([0]))


def test_predictions_are_columns_of_one_length() -> None:
    logits = np.array([[2.0, -1.0], [0.5, 0.75], [3.0, 1.0]], np.float32)
    found = TASK.predictions(
        np.array(["a", "b", "c"]), np.array([0, 1, 1]), logits, NAMES, "accuracy"
    )
    assert found == {
        "id": ["a", "b", "c"],
        "label": ["neg", "pos", "pos"],
        "predicted": ["neg", "pos", "neg"],
        "correct": [True, True, False],
        "logit_neg": [2.0, 0.5, 3.0],
        "logit_pos": [-1.0, 0.75, 1.0],
    }
    json.dumps(found)  # plain values


# Forward


@pytest.mark.parametrize("kind", KINDS)
def test_logits_do_not_depend_on_padding(kind: str) -> None:
    lengths = np.array([3, 11, 1, 7])
    rng = np.random.default_rng(0)
    data = Encoded(
        "made up", rng.integers(4, 99, lengths.sum(), dtype=np.int32),
        np.concatenate([[0], np.cumsum(lengths)]), None, None, np.array(list("abcd")),
    )  # fmt: skip
    model, rows = tiny_model(kind), np.arange(4)
    pad = model.config.pad_token_id
    with torch.no_grad():
        short = TASK.forward(model, TASK.collate(data, rows, pad)).logits()
        long = TASK.forward(model, TASK.collate(data, rows, pad, pad_to=40)).logits()
        alone = TASK.forward(model, TASK.collate(data, rows[1:2], pad)).logits()
    assert short.shape == (4, 3) and short.dtype == torch.float32
    torch.testing.assert_close(short, long, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(short[1:2], alone, rtol=1e-4, atol=1e-5)


# Models


def change(**config: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **config}))

    return edit


def without(*parts: str) -> Callable[[Path], None]:
    """Weights whose names hold one of the parts, taken out of the file."""

    def edit(folder: Path) -> None:
        path = folder / "model.safetensors"
        kept = {k: v for k, v in load_file(path).items() if not any(p in k for p in parts)}
        save_file(kept, path, metadata={"format": "pt"})

    return edit


def torn(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def test_a_model_knows_its_labels_and_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    model = TASK.load_model(folder, NAMES, trained=True)
    assert model.config.id2label == {0: "neg", 1: "pos"}
    assert model.config.label2id == {"neg": 0, "pos": 1}
    with safe_open(folder / "model.safetensors", "pt") as weights:
        state = model.state_dict()
        assert all(torch.equal(state[k], weights.get_tensor(k)) for k in weights.keys())
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_half_precision_weights_are_read_into_full(tmp_path: Path) -> None:
    tiny_model("bert", labels=2).half().save_pretrained(tmp_path)
    model = TASK.load_model(tmp_path, NAMES, trained=True)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("edit", [without("classifier"), without("classifier", "pooler")])
def test_a_head_that_is_lacking_starts_from_the_seed(
    tmp_path: Path, edit: Callable[[Path], None]
) -> None:
    folder = write_model(tmp_path / "model")
    edit(folder)
    heads = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        heads.append(TASK.load_model(folder, ("a", "b", "c"), trained=False).classifier.weight)
    assert heads[0].shape[0] == 3
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])


MISTAKES: dict[str, tuple[Callable[[Path], None], bool, tuple[str, ...]]] = {
    "blocks that have no weights": (
        change(num_hidden_layers=6), False, ("32 weights", "layer.4.", "another model"),
    ),
    "weights of another width": (change(hidden_size=64), False, ("another model",)),
    "weights of another kind": (change(model_type="roberta"), False, ("roberta.",)),
    "a block lost": (without("layer.2."), True, ("16 weights", "layer.2.")),
    "a torn file": (torn, False, ("cannot be read", "copy them anew")),
    "a head that was never trained": (without("classifier"), True, ("head", "fine_tune: true")),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_model_that_is_not_whole_is_refused(
    tmp_path: Path, case: str, capfd: pytest.CaptureFixture[str]
) -> None:
    edit, trained, wanted = MISTAKES[case]
    folder = write_model(tmp_path / "model")
    edit(folder)
    capfd.readouterr()
    with pytest.raises(UserError) as told:
        TASK.load_model(folder, NAMES, trained=trained)
    assert len(told.value.lines) == 1
    for part in ("teacher.model", str(folder), *wanted):
        assert part in str(told.value)
    assert capfd.readouterr() == ("", "")


def test_a_trained_head_of_other_labels_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    with pytest.raises(UserError, match="no trained head for 3 labels"):
        TASK.load_model(folder, ("a", "b", "c"), trained=True)


def test_code_beside_a_model_is_never_run(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    (folder / "evil.py").write_text("from pathlib import Path; Path(__file__ + '.ran').touch()")
    change(auto_map={"AutoConfig": "evil.C", "AutoModelForSequenceClassification": "evil.M"})(
        folder
    )
    model = TASK.load_model(folder, NAMES, trained=True)
    assert type(model).__module__.startswith("transformers.")
    assert not list(folder.glob("*.ran"))


def test_pickled_weights_are_never_read(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(OSError, match="safetensors"):
        TASK.load_model(folder, NAMES, trained=True)


def test_the_tokenizer_is_the_one_that_was_saved(tmp_path: Path) -> None:
    found = load_tokenizer(write_model(tmp_path / "model"))
    text = "a lovely film with unknown words"
    assert found(text)["input_ids"] == tokenizer()(text)["input_ids"]
    assert found.pad_token_id == 0


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_is_longer_than_the_model_has_positions(tmp_path: Path, kind: str) -> None:
    """For tokenizers that state no limit of their own."""
    model = tiny_model(kind)
    model.save_pretrained(tmp_path)
    endless = tokenizer()
    endless.model_max_length = int(1e30)
    endless.save_pretrained(tmp_path)
    longest = load_tokenizer(tmp_path).model_max_length
    if kind == "deberta":  # relative positions: any length will do
        assert longest > 1000
        return
    assert longest == {"roberta": 63, "mpnet": 62}.get(kind, 64)
    ids = torch.full((1, longest), 5)
    assert model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.isfinite().all()
    with pytest.raises((IndexError, RuntimeError)):
        ids = torch.full((1, longest + 1), 5)
        model(input_ids=ids, attention_mask=torch.ones_like(ids))


# Classifiers made of decoders (models 9)


def gpt2(folder: Path, pad_in_config: int | None, pads: bool = True) -> Path:
    """GPT-2 as a classifier, which reads the last token before the padding, and its tokenizer."""
    config = GPT2Config(
        vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=64, num_labels=2,
        pad_token_id=pad_in_config, id2label=dict(enumerate(NAMES)),
    )  # fmt: skip
    GPT2ForSequenceClassification(config).save_pretrained(folder)
    own = tokenizer()
    own.add_special_tokens({"eos_token": "[SEP]"})
    own.save_pretrained(folder)
    if not pads:  # as GPT-2's own
        settings = folder / "tokenizer_config.json"
        named = json.loads(settings.read_text())
        del named["pad_token"]
        settings.write_text(json.dumps(named))
    return folder


@pytest.mark.parametrize(("in_config", "pads"), [(None, True), (9, True), (None, False)])
def test_a_decoders_padding_is_that_of_the_rows(
    in_config: int | None, pads: bool, tmp_path: Path
) -> None:
    model = TASK.load_model(gpt2(tmp_path, in_config, pads), NAMES, trained=True).eval()
    own = TASK.load_tokenizer(tmp_path)
    assert own.pad_token == ("[PAD]" if pads else "[SEP]")
    assert model.config.pad_token_id == own.pad_token_id
    ids = [[5, 6, 7, 8, 9], [10, 11]]
    offsets = np.array([0, 5, 7])
    rows = Encoded("", np.array(sum(ids, [])), offsets, None, np.arange(2), np.arange(2))
    with torch.no_grad():
        together = TASK.forward(model, TASK.collate(rows, np.arange(2), own.pad_token_id))
        for i, row in enumerate(ids):
            alone = model(torch.tensor([row])).logits[0]
            torch.testing.assert_close(together.logits()[i], alone, rtol=1e-4, atol=1e-5)


def test_a_tokenizer_that_cannot_pad_is_refused(tmp_path: Path) -> None:
    own = tokenizer()
    own.pad_token = None
    own.save_pretrained(write_model(tmp_path))
    with pytest.raises(UserError, match="no padding token and no end-of-text token"):
        TASK.load_tokenizer(tmp_path)
