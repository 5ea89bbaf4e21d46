"""A trial's specification for tests: plain values, any of them changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from raykd.config.trial import Init, Loss, Shape, Training, TrialSpec
from raykd.maps.layer_map import LayerMap

SPEC = TrialSpec(
    task="classification",
    metric="accuracy",
    data="d" * 12,
    teacher="t" * 12,
    shape=Shape(3),
    init=Init("copied", (4, 8, 12), head=True),
    phase="confirm",
    strategy="forward",
    layer_map=LayerMap((4, 8, 12)),
    loss=Loss(ce=1.0, kl=1.0, hidden=1.0, temperature=1.0, kind="normalized_mse"),
    training=Training(
        steps=100,
        batch=32,
        batch_tokens=None,
        lr=1e-4,
        warmup=0.1,
        weight_decay=0.01,
        clip=1.0,
        evaluations=4,
        precision="fp32",
        diverged=1e4,
    ),
    seed=0,
)


def spec(**changes: Any) -> TrialSpec:
    """SPEC with some fields changed; fields of `training` and `loss` are given by name."""
    training = {k: changes.pop(k) for k in Training.__slots__ if k in changes}
    loss = {k: changes.pop(k) for k in Loss.__slots__ if k in changes}
    return replace(
        SPEC,
        **{
            "training": replace(SPEC.training, **training),
            "loss": replace(SPEC.loss, **loss),
            **changes,
        },
    )
