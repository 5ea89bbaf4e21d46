"""Models of random weights and rows of random tokens, made from configurations: no file is read.

The teacher is a BERT classifier. Rows have lengths and tokens drawn by a seed; a token's frequency
follows Zipf's law, as words do, or is the same for all.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel

from raykd.config.cohort import Cohort
from raykd.config.trial import Init, Loss, Shape, TargetKind, Training, TrialSpec
from raykd.data.encoded import Encoded
from raykd.maps import strategies
from raykd.maps.activations import Activation
from raykd.maps.layer_map import LayerMap
from raykd.runtime.execution import Execution
from raykd.runtime.seeds import seeded
from raykd.tasks.classification import Classification
from raykd.tasks.task import Data
from raykd.training.cohort_students import CohortStudents
from raykd.training.hooks import Hooks
from raykd.training.inputs import TrainingInputs
from raykd.training.recorder import Memory
from raykd.training.trainer import CohortTrainer

PAD, FIRST = 0, 5  # ids below are not words
HELD_OUT = 16  # rows of select, and of test


@dataclass(frozen=True)
class Size:
    """A teacher's sizes, and the blocks of its students."""

    name: str
    blocks: int
    width: int
    heads: int
    vocab: int
    student: int
    dropout: float = 0.1
    scale: float = 0.02
    """Standard deviation of the random weights. As they usually begin, each state is nearly its
    token's embedding, and a loss would hardly notice what a block does."""

    def config(self) -> BertConfig:
        return BertConfig(
            vocab_size=self.vocab, hidden_size=self.width, num_hidden_layers=self.blocks,
            num_attention_heads=self.heads, intermediate_size=4 * self.width, num_labels=2,
            hidden_dropout_prob=self.dropout, attention_probs_dropout_prob=self.dropout,
            initializer_range=self.scale, pad_token_id=PAD,
        )  # fmt: skip


TINY = Size("tiny", 4, 32, 4, 99, 2, scale=0.15)
SMALL = Size("small", 6, 128, 4, 2000, 3, scale=0.1)
MINILM = Size("MiniLM", 6, 384, 12, 30522, 3)
BERT = Size("BERT-base", 12, 768, 12, 30522, 6)


def rows(
    count: int, vocab: int, shortest: int, longest: int, seed: int, zipf: bool = True
) -> Encoded:
    """`count` rows. Where lengths differ, they follow a log-normal law with its median at a
    quarter of the longest, as sentences do."""
    rng = np.random.default_rng(seed)
    drawn = rng.lognormal(np.log(max(1, longest / 4)), 0.6, count).round()
    lengths = np.clip(drawn, shortest, longest).astype(np.int64)
    weights = 1 / (np.arange(vocab - FIRST) + 2.7) if zipf else np.ones(vocab - FIRST)
    total = int(lengths.sum())
    tokens = FIRST + rng.choice(vocab - FIRST, total, p=weights / weights.sum())
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    labels = (tokens[offsets[:-1]] % 2).astype(np.int64)
    ids = np.array([f"{seed:02}-{i:07}" for i in range(count)])
    name = f"synthetic {count} {vocab} {shortest} {longest} {seed} {zipf}"
    return Encoded(name, tokens.astype(np.int32), offsets, None, labels, ids)


def data(train: Encoded, vocab: int, held_out: int = HELD_OUT) -> Data:
    longest = int(train.lengths.max())
    select, test = (
        rows(held_out, vocab, int(train.lengths.min()), longest, seed) for seed in (91, 92)
    )
    labels = test.labels
    assert labels is not None
    return Data(
        Classification(), train, select, replace(test, labels=None), lambda: labels,
        ("no", "yes"), PAD,
        tokenizer=cast(Any, None), task=cast(Any, None),  # nothing is tokenised or written
    )  # fmt: skip


def model(config: BertConfig, seed: int = 0) -> PreTrainedModel:
    """On the CPU, so that a seed means the same weights on every machine."""
    with seeded(seed):
        return BertForSequenceClassification(config).eval()


@dataclass(frozen=True)
class Prebuilt(CohortTrainer):
    """Its students are copies of one: to draw the weights of sixteen takes longer than what is to
    be measured."""

    first: PreTrainedModel | None = None

    def build(self, trial: TrialSpec, students: CohortStudents | None = None) -> PreTrainedModel:
        return copy.deepcopy(self.first or super().build(trial))


def prebuilt(made: CohortTrainer, first: PreTrainedModel) -> Prebuilt:
    own = {f.name: getattr(made, f.name) for f in fields(CohortTrainer)}
    return Prebuilt(**own, first=first)


def materials(
    size: Size, train: Encoded, device: torch.device, folder: Path, *, cached: bool = False,
    states: tuple[Activation, ...] = (), micro_batch: int | None = None, held_out: int = HELD_OUT,
) -> CohortTrainer:  # fmt: skip
    """A teacher on the device with its rows; `states`: what a store of its outputs holds."""
    teacher = model(size.config()).to(device)
    sources = TrainingInputs(
        home=folder, data=folder, teacher=folder, fingerprint=f"{size}", task=cast(Any, None),
        cache=str(folder / "states"), source="cached" if cached else "live", states=states,
    )  # fmt: skip
    where = Execution(device, micro_batch=micro_batch)
    return CohortTrainer(sources, where, data(train, size.vocab, held_out), teacher, teacher)


def trial(
    size: Size, layer_map: LayerMap | None = None, *, kind: str = "normalized_mse", steps: int = 12,
    batch: int = 16, precision: Any = "fp32", seed: int = 0, evaluations: int = 1,
    width: int | None = None, targets: TargetKind = "teacher", name: str = "forward",
) -> TrialSpec:  # fmt: skip
    """Of copied weights, of random ones where the student has a `width` of its own."""
    layer_map = layer_map or strategies.forward(size.blocks, size.student, 0)
    copied = tuple(b for b in strategies.forward(size.blocks, size.student, 0).blocks if b)
    training = Training(
        steps=steps, batch=batch, batch_tokens=None, lr=1e-4, warmup=0.1, weight_decay=0.01,
        clip=1.0, evaluations=evaluations, precision=precision, diverged=1e4,
    )  # fmt: skip
    return TrialSpec(
        task="classification", metric="accuracy", data="synthetic", teacher=size.name,
        shape=Shape(size.student, width=width),
        init=Init("copied", copied, head=True) if width is None else Init("random"),
        phase="confirm", strategy=name, layer_map=layer_map,
        loss=Loss(ce=1.0, kl=1.0, hidden=1.0, temperature=1.0, kind=kind),
        training=training, seed=seed, targets=targets,
    )  # fmt: skip


def train(
    made: CohortTrainer, trials: list[TrialSpec], *, hooks: Hooks | None = None, resume: Any = None,
    recorder: Memory | None = None,
) -> Memory:  # fmt: skip
    """All that a cohort's training tells. Raises RuntimeError where a student has failed."""
    recorder = recorder or Memory()
    made.run(Cohort(tuple(trials)), recorder, hooks=hooks, resume=resume)
    if recorder.failures:
        raise RuntimeError(f"students failed: {recorder.failures}")
    return recorder


def losses(found: Memory) -> dict[tuple[str, int, str], float]:
    """The training losses by trial, step and name."""
    return {
        (trial_id, step, name): value
        for trial_id, logged in found.metrics.items()
        for step, metrics in logged
        for name, value in metrics.items()
        if not name.startswith("select_")
    }


def difference(wanted: Memory, found: Memory, floor: float = 1e-2) -> float:
    """The largest relative difference between two trainings' losses; of losses below `floor`, the
    difference over that."""
    a, b = losses(wanted), losses(found)
    if a.keys() != b.keys():
        raise ValueError(f"the trainings told of other steps: {sorted(a.keys() ^ b.keys())[:4]}")
    return max(abs(a[k] - b[k]) / max(abs(a[k]), floor) for k in a)
