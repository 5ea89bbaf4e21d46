"""The losses that students train with under the paper's kinds, against a word-for-word
transcription of the dossier's section 2, for all four tracks: values and gradients.

The student, the teacher, the taps, the masks and the projections are the real ones; the
transcription reads what transformers itself says of both models and goes position by position.
CE and hidden losses are of the release's positions. KL has the release's arithmetic, over ours: the
positions where something is to be told, which are those of the release in BERT and, where no target
is shorter than its batch mates, in BART. What differs elsewhere is stated by the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from raykd.config.trial import Init, Shape
from raykd.data.batches import Batch
from raykd.data.encoded import Encoded
from raykd.data.token_lists import flat
from raykd.losses.hidden_module import release_mask
from raykd.maps.activations import Stack, state
from raykd.maps.layer_map import LayerMap
from raykd.models.student import build_student, width
from raykd.runtime.execution import Execution
from raykd.tasks.registry import task as task_of
from raykd.teachers.targets import LiveTeacher
from raykd.training.learner import Learner

from ...support.specs import spec
from ...support.tiny_lms import tiny_lm
from ...support.tiny_models import tiny_model
from ...support.tiny_seq2seq import tiny_seq2seq

B, PAD, IGNORED, HIDDEN_WEIGHT = 3, 0, -100, 3.0
SOURCES = [[4, 8, 9, 10, 7, 5, 1], [4, 6, 6, 1], [4, 1]]
EQUAL = [[11, 12, 13, 14, 15, 1], [9, 9, 8, 8, 7, 1], [21, 20, 19, 18, 17, 1]]
SHORTER = [[11, 12, 13, 14, 15, 1], [9, 9, 1], [21, 20, 19, 1]]
ONE, TWO = LayerMap((4, 2)), LayerMap((4, 2), 0, LayerMap((2, 4), 0))
Places = list[tuple[int, int]]


@dataclass(frozen=True)
class Track:
    task: str
    kind: str
    temperature: float
    layer_map: LayerMap
    teacher: Callable[[], PreTrainedModel]


TRACKS = {
    "bert": Track("classification", "paper", 1.0, LayerMap((4, 2), 0),
                  lambda: tiny_model("bert", blocks=4, dropout=0.0)),
    "bart": Track("seq2seq", "paper_bart", 1.0, TWO,
                  lambda: tiny_seq2seq("bart", (4, 4), dropout=0.0)),
    "t5": Track("seq2seq", "paper_t5", 2.0, TWO, lambda: tiny_seq2seq("t5", (4, 4), dropout=0.0)),
    "qwen": Track("causal_lm", "paper_qwen", 1.0, ONE, lambda: tiny_lm("qwen3", dropout=0.0)),
}  # fmt: skip


def rows(track: str, targets: list[list[int]]) -> Encoded:
    ids = np.array(list("abc"))
    if track == "bert":
        return Encoded("made up", **flat("input_ids", "offsets", SOURCES), type_ids=None,
                       labels=np.array([2, 0, 1]), ids=ids)  # fmt: skip
    sources = SOURCES
    if track == "qwen":  # the prompt, and what completes it
        sources = [s[:n] + t for s, n, t in zip(SOURCES, (3, 2, 1), targets, strict=True)]
    return Encoded(
        "made up", type_ids=None, labels=None, ids=ids,
        **flat("input_ids", "offsets", sources), **flat("targets", "target_offsets", targets),
    )  # fmt: skip


class Trained:
    """One backward pass of a student under its teacher, and what transformers says of both."""

    def __init__(self, name: str, targets: list[list[int]], narrow: bool = False) -> None:
        track = TRACKS[name]
        self.teacher, family = track.teacher(), task_of(track.task)
        shape = Shape(2, width=16 if narrow else None, decoder_blocks=2 if track.task == "seq2seq"
                      else None)  # fmt: skip
        self.student = build_student(self.teacher, shape, Init("random"), 7)
        for model in (self.teacher, self.student):
            spread(model)
        self.batch: Batch = family.collate(rows(name, targets), np.arange(B), PAD)
        trial = spec(
            task=track.task, shape=shape, layer_map=track.layer_map, kind=track.kind,
            temperature=track.temperature, hidden=HIDDEN_WEIGHT,
        )  # fmt: skip
        self.learner = Learner(
            trial, self.student, family, width(self.teacher), Execution(),
        )  # fmt: skip
        live = LiveTeacher(self.teacher, trial.teacher_states, family, nullcontext(), padded=True)
        self.learner.backward(self.batch, live(self.batch), 0)
        self.loss, self.ce, self.kl, self.hidden = self.learner.sums[:4].tolist()
        live.close()
        self.own, self.told = said(self.student, self.batch), said(self.teacher, self.batch)
        self.told = {k: x.detach() for k, x in self.told.items()}

    def pairs(self, stack: Stack = "encoder") -> list[tuple[Tensor, Tensor]]:
        """(student, teacher) states x_BTD of one stack, the student's in the teacher's width."""
        found = []
        for s, t in self.learner.hidden.pairs:
            if s.stack == stack:
                own = self.own[s.column]
                if len(self.learner.projections):
                    own = own @ self.learner.projections[s.number].weight.double().T  # type: ignore[operator]
                found.append((own, self.told[t.column]))
        return found

    def equals(self, wanted: Tensor) -> None:
        """That this is the loss, and that its gradients are those of the training."""
        assert self.loss == pytest.approx(wanted.item(), rel=1e-5)
        trained = self.learner.parameters
        expected = torch.autograd.grad(wanted, trained, allow_unused=True)
        for parameter, gradient in zip(trained, expected, strict=True):
            found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            wanted_here = torch.zeros_like(parameter) if gradient is None else gradient
            torch.testing.assert_close(found, wanted_here, rtol=2e-3, atol=2e-5)


@torch.no_grad()
def spread(model: PreTrainedModel) -> None:
    """Weights as wide as a trained model's, so that logits and states are no specks."""
    for weight in model.parameters():
        if weight.ndim > 1 and weight.std() < 0.1:
            weight.mul_(6)


def said(model: PreTrainedModel, batch: Batch) -> dict[str, Tensor]:
    """Logits and all states, by the model's own class, in double precision."""
    inputs: dict[str, Any] = dict(batch.inputs)
    if model.config.is_encoder_decoder:
        inputs["decoder_attention_mask"] = (batch.inputs["labels"] != IGNORED).long()
    out = model.eval()(**inputs, output_hidden_states=True, use_cache=False)
    if model.config.is_encoder_decoder:
        states = {state(k): x for k, x in enumerate(out.encoder_hidden_states)}
        states |= {state(k, "decoder"): x for k, x in enumerate(out.decoder_hidden_states)}
    else:
        states = {state(k): x for k, x in enumerate(out.hidden_states)}
    return {"logits": out.logits.double(), **{k.column: x.double() for k, x in states.items()}}


# The transcription


def softmax(x_V: Tensor) -> Tensor:
    return (x_V - x_V.max()).exp() / (x_V - x_V.max()).exp().sum()


def zero() -> Tensor:
    return torch.zeros((), dtype=torch.float64)


def mean_ce(logits: Tensor, labels: dict[tuple[int, ...], int]) -> Tensor:
    total = zero()
    for place, label in labels.items():
        total = total - softmax(logits[place])[label].log()
    return total / len(labels)


def mean_kl(own: Tensor, told: Tensor, places: Any, temperature: float) -> Tensor:
    """KL(teacher || student), sum over the vocabulary, mean over places, times T^2."""
    total = zero()
    for place in places:
        p, q = softmax(told[place] / temperature), softmax(own[place] / temperature)
        total = total + (p * (p.log() - q.log())).sum()
    return total / len(places) * temperature**2


def bert_hid(pairs: list[tuple[Tensor, Tensor]], mask: Tensor) -> Tensor:
    """(1/M) * sum_m (1/B) * (1/N) * sum_{b,t} mask[b,t] * || t_m[b,t] - s_m[b,t] ||_2^2"""
    total = zero()
    for s, t in pairs:
        for b in range(B):
            for i in range(mask.shape[1]):
                total = total + mask[b, i] * ((t[b, i] - s[b, i]) ** 2).sum()
    return total / (len(pairs) * B * mask.sum())


def two_stack_hid(pairs: list[tuple[Tensor, Tensor]], places: Places, joint: bool) -> Tensor:
    """sum over states of the mean over valid tokens and dims; T5: each state standardised over the
    whole batch x time x hidden block first."""
    total = zero()
    for s, t in pairs:
        if joint:
            s, t = ((x - x.mean()) / (((x - x.mean()) ** 2).mean() + 1e-5).sqrt() for x in (s, t))
        total = total + torch.stack([((s[p] - t[p]) ** 2).mean() for p in places]).mean()
    return total


def qwen_hid(pairs: list[tuple[Tensor, Tensor]], mask: Tensor) -> Tensor:
    """2 - 2 cos, mean over layers, batch and all positions, times (valid / total)"""
    total, places = zero(), mask.numel()
    for s, t in pairs:
        for b in range(B):
            for i in range(mask.shape[1]):
                u, v = s[b, i] / s[b, i].norm(), t[b, i] / t[b, i].norm()
                total = total + ((u - v) ** 2).sum()
    return total / (len(pairs) * places) * (mask.sum() / places)


def where(mask: Tensor) -> Places:
    return [(int(b), int(t)) for b, t in mask.nonzero()]


# The tracks


@pytest.mark.parametrize("narrow", [False, True])
def test_bert(narrow: bool) -> None:
    """Everything, whatever the padding: one loss position an example, states at valid tokens."""
    found = Trained("bert", EQUAL, narrow)
    own, told = found.own["logits"], found.told["logits"]
    ce = mean_ce(own, {(0,): 2, (1,): 0, (2,): 1})
    kl = mean_kl(own, told, [(b,) for b in range(B)], 1.0)  # batchmean
    hid = bert_hid(found.pairs(), found.batch.inputs["attention_mask"])
    assert found.ce == pytest.approx(ce.item(), rel=1e-5)
    assert found.kl == pytest.approx(kl.item(), rel=1e-3)
    assert found.hidden == pytest.approx(hid.item(), rel=1e-5)
    found.equals(ce + kl + HIDDEN_WEIGHT * hid)


def targets_of(batch: Batch) -> tuple[dict[tuple[int, ...], int], Places]:
    """Labels by place, and the places of the decoder where something is to be told: ours."""
    labels = batch.inputs["labels"]
    places = where(labels != IGNORED)
    return {p: int(labels[p]) for p in places}, places


def released_places(name: str, batch: Batch) -> Places:
    """Those of the release: the decoder's input is not the padding's token."""
    labels, start = batch.inputs["labels"], PAD if name == "t5" else 1
    read = torch.full_like(labels, start)
    read[:, 1:] = labels[:, :-1].masked_fill(labels[:, :-1] == IGNORED, PAD)
    return where(read != PAD)


@pytest.mark.parametrize("narrow", [False, True])
def test_bart_where_all_targets_are_equally_long(narrow: bool) -> None:
    """Sources of any length; the decoder's places are then ours."""
    found = Trained("bart", EQUAL, narrow)
    labels, places = targets_of(found.batch)
    assert released_places("bart", found.batch) == places
    source = where(found.batch.inputs["attention_mask"])
    own, told = found.own["logits"], found.told["logits"]
    hid = two_stack_hid(found.pairs(), source, joint=False)
    hid = hid + two_stack_hid(found.pairs("decoder"), places, joint=False)
    assert found.hidden == pytest.approx(hid.item(), rel=1e-5)
    found.equals(mean_ce(own, labels) + mean_kl(own, told, places, 1.0) + HIDDEN_WEIGHT * hid)


def test_bart_counts_a_place_behind_a_shorter_targets_end_and_we_do_not() -> None:
    """By design: nothing is to be told there. The arithmetic is the same over our places."""
    found = Trained("bart", SHORTER)
    labels, places = targets_of(found.batch)
    assert {*released_places("bart", found.batch)} - {*places} == {(1, 3), (2, 4)}
    assert {*places} <= {*released_places("bart", found.batch)}
    source = where(found.batch.inputs["attention_mask"])
    own, told = found.own["logits"], found.told["logits"]
    hid = two_stack_hid(found.pairs(), source, joint=False)
    hid = hid + two_stack_hid(found.pairs("decoder"), places, joint=False)
    found.equals(mean_ce(own, labels) + mean_kl(own, told, places, 1.0) + HIDDEN_WEIGHT * hid)


@pytest.mark.parametrize("narrow", [False, True])
def test_t5(narrow: bool) -> None:
    """CE and the hidden loss of any targets: the states over the whole padded batch, the decoder
    where it reads no padding, which leaves out the first place and takes one behind the end."""
    found = Trained("t5", SHORTER, narrow)
    labels, places = targets_of(found.batch)
    theirs = released_places("t5", found.batch)
    assert {*places} - {*theirs} == {(0, 0), (1, 0), (2, 0)}
    assert {*theirs} - {*places} == {(1, 3), (2, 4)}
    assert where(release_mask(found.student, found.batch, "decoder")) == theirs
    own, told = found.own["logits"], found.told["logits"]
    source = where(found.batch.inputs["attention_mask"])
    hid = two_stack_hid(found.pairs(), source, joint=True)
    hid = hid + two_stack_hid(found.pairs("decoder"), theirs, joint=True)
    assert found.ce == pytest.approx(mean_ce(own, labels).item(), rel=1e-5)
    assert found.hidden == pytest.approx(hid.item(), rel=1e-3)
    # KL by design over the target's own places, with the release's T^2.
    kl = mean_kl(own, told, places, 2.0)
    assert found.kl == pytest.approx(kl.item(), rel=1e-3)
    found.equals(mean_ce(own, labels) + kl + HIDDEN_WEIGHT * hid)


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("targets", [EQUAL, SHORTER], ids=["equal", "shorter"])
def test_qwen(targets: list[list[int]], narrow: bool) -> None:
    """CE over the completion's tokens and the hidden loss over all places, padding among them."""
    found = Trained("qwen", targets, narrow)
    mask = found.batch.inputs["attention_mask"]
    assert int(mask.sum()) < mask.numel()
    labels: dict[tuple[int, ...], int] = {}
    for b, (n, target) in enumerate(zip((3, 2, 1), targets, strict=True)):
        labels |= {(b, n - 1 + i): token for i, token in enumerate(target)}
    own, told = found.own["logits"], found.told["logits"]
    hid = qwen_hid(found.pairs(), mask)
    assert found.ce == pytest.approx(mean_ce(own, labels).item(), rel=1e-5)
    assert found.hidden == pytest.approx(hid.item(), rel=1e-5)
    # KL by design where a token of the completion is told: the release takes its mean over all
    # places, prompt, last token and padding among them, times (valid / total).
    kl = mean_kl(own, told, [*labels], 1.0)
    assert found.kl == pytest.approx(kl.item(), rel=1e-3)
    found.equals(mean_ce(own, labels) + kl + HIDDEN_WEIGHT * hid)
