"""The trial that fine-tunes the teacher in the training loop of the students."""

from __future__ import annotations

from raykd.config.trial import (
    MOST_EPOCHS,
    PATIENCE,
    WARMED,
    Init,
    Lora,
    Loss,
    Shape,
    Training,
    TrialSpec,
)
from raykd.maps.layer_map import everywhere
from raykd.maps.strategies import apply_to_stacks, forward
from raykd.planning.study import Study
from raykd.teachers import teacher


def teacher_trial(study: Study) -> TrialSpec:
    """Return the trial: all blocks of the teacher, trained on labels only. With `epochs: auto` its
    steps are the upper limit."""
    t, depth = study.config.teacher, study.base.depths
    auto = t.epochs == "auto"
    epochs = MOST_EPOCHS if t.epochs == "auto" else t.epochs
    steps = teacher.fine_tune_steps(t, study.prepared.counts["train"])
    return TrialSpec(
        task=study.config.task.kind, metric=study.config.task.metric, data=study.data,
        teacher=study.base.fingerprint,
        shape=Shape.of(depth), init=Init.of(apply_to_stacks(forward, depth, depth, 0)),
        phase="confirm", strategy="teacher",
        layer_map=everywhere(depth, None),
        loss=Loss(
            ce=1.0, kl=0.0, hidden=0.0, temperature=1.0, kind="mse",
            class_weights=study.class_weights,
        ),
        training=Training(
            steps=steps, batch=t.batch, batch_tokens=None, lr=t.lr,
            warmup=t.warmup * WARMED / MOST_EPOCHS if auto else t.warmup,
            weight_decay=t.weight_decay, clip=1.0,
            evaluations=min(steps, max(1, round(epochs))), precision="auto", diverged=1e4,
            patience=PATIENCE if auto else None,
            weights=t.weights, buffers=t.own_buffers,
            lora=Lora(**t.lora.model_dump()) if t.lora else None,
        ),
        seed=t.seed,
    )  # fmt: skip
