"""What is run on the simulated GPU, apart from the list of model classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from transformers import MixtralConfig, Qwen3MoeConfig

from benchmarks.gpu import every_loss
from benchmarks.gpu.every_loss import BLOCKS, VOCAB, Case
from raykd.config.trial import TrialSpec
from raykd.losses.hidden.schedule import Stage
from raykd.maps.layer_map import LayerMap

from .classes import classes as classes
from .planted import operations as operations
from .planted import planted as planted
from .world import Cohort, evaluated, stepped

Run = Callable[[torch.device], object]


def losses() -> dict[str, Run]:
    """A step of every hidden loss and published method."""
    return {
        f"{number} {case.name}": partial(_loss, case)
        for number, case in enumerate(every_loss.cases())
    }


def _loss(case: Case, device: torch.device) -> None:
    _, spec, loss = every_loss.prepared(case)
    stepped(Cohort(case.config, [spec], device, parts=2 if loss.divisible else 1))


def _of(kind: str, model_type: str = "bert") -> tuple[Any, TrialSpec]:
    case = next(
        c for c in every_loss.cases() if c.kind == kind and c.config.model_type == model_type
    )
    return case.config, every_loss.prepared(case)[1]


def _with(**changes: Any) -> tuple[Any, TrialSpec]:
    config, spec = _of("normalized_mse")
    return config, replace(spec, **changes)


SCHEDULE = (
    Stage(0.5, (0.0, 1.0), (1.0, 1.0), (1.0, 2.0), progressive=True),
    Stage(1.0, (1.0, 1.0), (0.0, 0.0), (0.0, 0.0)),
)


def trainings() -> dict[str, Run]:
    """Cohorts, schedules, controls, maps of sets of pairs, routers."""
    config, spec = _of("normalized_mse")
    scheduled = replace(spec, loss=replace(spec.loss, schedule=SCHEDULE),
                        training=replace(spec.training, steps=4))  # fmt: skip
    pairs = replace(spec, layer_map=LayerMap.of([[1, "0.5*4"], "2*cosine(3)"]))
    controls = [replace(spec, targets=kind) for kind in ("teacher", "shuffled", "untrained")]
    return {
        "cohort": lambda device: stepped(Cohort(config, [spec, pairs], device)),
        "weights and losses of pairs": lambda device: stepped(Cohort(config, [pairs], device, 2)),
        "schedule": lambda device: stepped(Cohort(config, [scheduled], device), 4),
        "controls": lambda device: stepped(Cohort(config, controls, device)),
        "rows of the word embedding": lambda device: stepped(
            Cohort(config, [spec], device, used=True)
        ),
        "loss scaling": lambda device: stepped(
            Cohort(config, [spec, pairs], device, 2, used=True, precision="fp16")
        ),
        **{
            f"router of {kind.model_type}": partial(_router, kind)
            for kind in (MixtralConfig, Qwen3MoeConfig)
        },
    }


def _router(kind: Any, device: torch.device) -> None:
    _, spec = _of("normalized_mse", "llama")
    config = kind(
        vocab_size=VOCAB, hidden_size=32, num_hidden_layers=BLOCKS, num_attention_heads=4,
        num_key_value_heads=2, intermediate_size=64, moe_intermediate_size=16, num_experts=4,
        num_local_experts=4, num_experts_per_tok=2, router_aux_loss_coef=0.01,
    )  # fmt: skip
    (learner,) = stepped(Cohort(config, [spec], device, dtype=torch.bfloat16)).learners
    assert learner.router is not None


def evaluations() -> dict[str, Run]:
    """Evaluations up to the transfer of their answers; those that write texts are not here: each
    token decides whether another follows."""
    bert, llama = _of("normalized_mse"), _of("normalized_mse", "llama")
    plain = (llama[0], replace(llama[1], task="language_modeling"))
    named = {"classification": bert, "choices": llama, "language_modeling": plain}
    return {name: partial(_evaluation, config, spec) for name, (config, spec) in named.items()}


def _evaluation(config: Any, spec: TrialSpec, device: torch.device) -> None:
    evaluated(Cohort(config, [spec], device))
