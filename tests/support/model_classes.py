"""A tiny random teacher of every model class that raykd supports, each with data of its task. A new
class is a line in CASES; the invariants of the training loop are tested with each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.maps.published import PUBLISHED
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.training.inputs import TrainingInputs

from . import lm_world, tiny_models, tiny_seq2seq, world, world_seq2seq
from .tiny_lms import LMS, tiny_lm
from .tiny_models import tiny_model

ROWS = 60
SIX_STEPS = {"steps": 6, "batch": 16, "lr": 1e-3, "evaluations": 3, "precision": "fp32"}
BF16 = {**SIX_STEPS, "weights": "bf16"}
FP16 = {**SIX_STEPS, "precision": "fp16"}
MIXED = {"strategy": "custom", "map": {"encoder": [[1, "2*4"], None], "decoder": [1, 1]}}
SETS = {"strategy": "custom", "name": "sets", "map": [[1, "0.5*4"], "2*cosine(3)"]}
PAIRS = {
    "strategy": "custom", "name": "pairs",
    "map": [{"student": 2, "teacher": 4, "loss": "mse"}, {"student": 2, "teacher": 1}],
}  # fmt: skip


def _reviews(folder: Path, **changes: Any) -> Path:
    world.write_csv(folder / "reviews.csv", world.texts(ROWS))
    return world.write_sweep(folder, **{"training": SIX_STEPS, **changes})


def _prompts(folder: Path, **changes: Any) -> Path:
    lm_world.write_rows(folder / "reviews.csv", ROWS)
    return lm_world.write_lm_sweep(folder, **{"training": SIX_STEPS, **changes})


def _pairs(folder: Path, **changes: Any) -> Path:
    world_seq2seq.write_pairs(folder / "pairs.csv", world_seq2seq.pairs(ROWS))
    return world_seq2seq.write_sweep(folder, training=SIX_STEPS, **changes)


def _arms(*strategies: object) -> dict[str, Any]:
    return {"strategies": list(strategies), "inits": ["copied", "random"], "seeds": 1}


SCHEDULES = {
    "hint": [{"until": 0.5, "ce": 0, "kl": 0}, {"until": 1, "hidden": 0}],
    "rising": [{"until": 0.7, "blocks": "progressive"}, {"until": 1, "hidden": [1, 3], "kl": 0.5}],
}

SWEEPS: dict[str, Callable[[Path], Path]] = {
    "classification": partial(_reviews, confirm=_arms("none", "reverse")),
    "sets": partial(_reviews, confirm=_arms(SETS, PAIRS)),
    "fp16": partial(_reviews, confirm=_arms("none", "reverse"), training=FP16),
    "methods": partial(_reviews, confirm={**_arms(*PUBLISHED), "inits": ["random"]}),
    "choices": partial(_prompts, confirm=_arms("none", "reverse")),
    "choices in bf16": partial(_prompts, confirm=_arms("none", "reverse"), training=BF16),
    "methods in bf16": partial(
        _reviews, confirm={**_arms(*PUBLISHED), "inits": ["random"]}, training=BF16
    ),
    "writing": partial(_prompts, task=lm_world.WRITTEN, confirm=_arms("none", "reverse")),
    "plain text": partial(
        lm_world.write_plain_sweep, rows=ROWS, training=SIX_STEPS, confirm=_arms("none", "reverse")
    ),
    "seq2seq": partial(_pairs, confirm=_arms("none", MIXED)),
    "schedules": partial(_reviews, confirm={**_arms("none", "reverse"), "schedules": SCHEDULES}),
    "schedules of a whole batch": partial(
        _reviews,
        losses={"kind": "linear_cka"},
        confirm={**_arms("reverse"), "schedules": SCHEDULES},
    ),
    "schedules of two stacks": partial(
        _pairs, confirm={**_arms("reverse"), "schedules": SCHEDULES}
    ),
}

Build = Callable[..., PreTrainedModel]
"""(dropout) -> the teacher."""

CASES: dict[str, tuple[str, Build]] = {
    **{
        kind: ("classification", partial(tiny_model, kind, blocks=4, labels=2, vocab=64))
        for kind in tiny_models.KINDS
    },
    **{kind: ("choices", partial(tiny_lm, kind)) for kind in LMS},
    **{
        kind: ("seq2seq", partial(tiny_seq2seq.tiny_seq2seq, kind, (4, 4), vocab=16))
        for kind in tiny_seq2seq.KINDS
    },
    "bert in fp16": ("fp16", partial(tiny_model, "bert", blocks=4, labels=2, vocab=64)),
    "llama that writes": ("writing", partial(tiny_lm, "llama")),
    "sets of blocks": ("sets", partial(tiny_model, "bert", blocks=4, labels=2, vocab=64)),
    "llama on plain text": ("plain text", partial(tiny_lm, "llama")),
    "published methods": ("methods", partial(tiny_model, "bert", blocks=4, labels=2, vocab=64)),
    **{
        name: (name, partial(tiny_model, "bert", blocks=4, labels=2, vocab=64))
        for name in ("schedules", "schedules of a whole batch")
    },
    "schedules of two stacks": (
        "schedules of two stacks",
        partial(tiny_seq2seq.tiny_seq2seq, "bart", (4, 4), vocab=16),
    ),
}

# Weights in bf16 beside projections, and methods' own weights, in fp32.
MIXED_DTYPES: dict[str, tuple[str, Build]] = {
    "tied llama in bf16": ("choices in bf16", partial(tiny_lm, "smollm2")),
    "methods in bf16": (
        "methods in bf16",
        partial(tiny_model, "bert", blocks=4, labels=2, vocab=64),
    ),
}


class Place:
    """A folder of sweeps and teachers, made on first use, which other processes can read."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._studies: dict[str, Study] = {}

    def sources(self, case: str, dropout: float) -> TrainingInputs:
        name, build = (CASES | MIXED_DTYPES)[case]
        teacher = self.root / f"{case} {dropout}"
        if not teacher.exists():
            decided(build(dropout=dropout)).save_pretrained(teacher)
            tokenizer = {"seq2seq": world_seq2seq.tokenizer, "classification": world.tokenizer}
            reviews = ("fp16", "sets", "methods", "methods in bf16", "schedules",
                       "schedules of a whole batch")  # fmt: skip
            tokenizer |= dict.fromkeys(reviews, world.tokenizer)
            tokenizer["schedules of two stacks"] = world_seq2seq.tokenizer
            tokenizer.get(name, lm_world.lm_tokenizer)().save_pretrained(teacher)
        return replace(training_inputs(self.study(case), teacher), fingerprint=case)

    def study(self, case: str) -> Study:
        name, _ = (CASES | MIXED_DTYPES)[case]
        if name not in self._studies:
            self._studies[name] = self._study(name)
        return self._studies[name]

    def _study(self, name: str) -> Study:
        folder = self.root / name
        if not folder.exists():
            folder.mkdir()
            SWEEPS[name](folder)
        return resolve(load(folder / "sweep.yaml"), folder / "home", "sweep.yaml")

    def cohort(self, case: str) -> Cohort:
        """Students from copied blocks, and from random weights at half the width."""
        return Cohort(
            tuple(
                t if t.init.kind == "copied" else replace(t, shape=replace(t.shape, width=16))
                for t in confirm_trials(self.study(case))
                if t.strategy != "none" or t.init.kind == "copied"
            )
        )


def decided(model: PreTrainedModel) -> PreTrainedModel:
    """The same model with larger weights. With initial weights each token's state is nearly its
    embedding, and a loss would hardly depend on what a block reads of other tokens."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data *= max(1.0, 0.15 / float(parameter.detach().std()))
    return model
