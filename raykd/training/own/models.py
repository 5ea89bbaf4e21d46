"""What a caller's own models and settings are as a trial; refuses those that do not fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, get_args

import torch
from pydantic import ValidationError
from transformers import PreTrainedModel

from raykd.config.schedule import OrderedStages, resolved, stage_problems, under
from raykd.config.trial import Init, Loss, Shape, Training, TrialSpec
from raykd.config.yaml_file import Model, explain, unknown
from raykd.errors import UserError
from raykd.losses.fit import misfit_of_models
from raykd.losses.hidden.registry import hidden_loss, hidden_losses, pair_problem
from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap, check
from raykd.maps.published import PUBLISHED
from raykd.maps.strategies import apply_to_stacks
from raykd.models import stacks
from raykd.runtime.execution_settings import Precision
from raykd.tasks.own_batches import kind_of
from raykd.tasks.registry import task


def trial_of(
    kind: str, student: PreTrainedModel, layer_map: LayerMap, loss: Loss, training: Training,
    seed: int,
) -> TrialSpec:  # fmt: skip
    """A trial of a caller's own models. It is stored nowhere, so it names neither data nor
    teacher."""
    depth = stacks.depth(student.config)
    return TrialSpec(
        kind, "", "", "", Shape.of(depth), Init("random"), "confirm", "custom", layer_map, loss,
        training, seed,
    )  # fmt: skip


def check_models(teacher: PreTrainedModel, student: PreTrainedModel, kl: float) -> str:
    """The kind of task that both models are for. Raises ValueError if they cannot be distilled."""
    kinds = kind_of(teacher), kind_of(student)
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"the teacher is a {type(teacher).__name__}, the student a {type(student).__name__}; "
            "load both for one kind of task"
        )
    for name, model in (("teacher", teacher), ("student", student)):
        problem = getattr(model.config, "problem_type", None)
        if kinds[0] == "classification" and problem not in (None, "single_label_classification"):
            raise ValueError(
                f"the {name}'s config.problem_type is {problem}, and its outputs are compared as "
                "logits of one class per example; set it to None if they are"
            )
    of_teacher = {id(p): name for name, p in teacher.named_parameters()}
    shared = [of_teacher[id(p)] for p in student.parameters() if id(p) in of_teacher]
    if shared:
        raise ValueError(
            f"student and teacher share weights ({shared[0]}), so both would be trained; make the "
            "student with raykd.build_student or copy.deepcopy"
        )
    if not any(p.requires_grad for p in student.parameters()):
        raise ValueError("no parameter of the student is trainable; set requires_grad")
    if any(p.dtype == torch.float16 for p in student.parameters()):
        raise ValueError("the student is in float16, in which training fails; load it in float32")
    sizes = _outputs(teacher), _outputs(student)
    if kl and sizes[0] != sizes[1]:
        raise ValueError(
            f"the teacher has {sizes[0]} outputs, the student {sizes[1]}, and the KL compares "
            "them one by one; build the student from the teacher, or write kl=0"
        )
    for model in (teacher, student):
        with evaluating(model):
            try:
                task(kinds[0]).refuse_other_head(model)
            except UserError as error:
                raise ValueError(str(error).removeprefix("teacher.model: ")) from None
    return kinds[0]


def _outputs(model: PreTrainedModel) -> int:
    """Number of classes, or of words of an output layer."""
    layer = model.get_output_embeddings()
    return int(model.config.num_labels) if layer is None else len(layer.weight)


def check_map(
    teacher: PreTrainedModel, student: PreTrainedModel, layer_map: LayerMap, kind: str
) -> None:
    """Raises ValueError if a map does not fit the models, or a hidden loss neither the map nor the
    models."""
    depths = stacks.depth(teacher.config), stacks.depth(student.config)
    if problem := check(layer_map, *depths):
        raise ValueError(f"layer_map: {problem}")
    loss = hidden_loss(kind)
    if not layer_map.pairs():
        return
    if problem := pair_problem(layer_map, kind):
        raise ValueError(f"layer_map: {problem}")
    if loss.form == "blocks" and len(depths[0].stacks) > 1:
        raise ValueError(f"kind: {kind} is for models of one stack, these have two")
    if problem := misfit_of_models(teacher.config, student.config, kind):
        raise ValueError(f"kind: {problem}")
    if not loss.any_map and layer_map not in _own_maps(kind, *depths).values():
        name = next(iter(_own_maps(kind, *depths)))
        raise ValueError(
            f"kind: {kind} goes with the map of its method alone; write "
            f"layer_map=raykd.strategy({name!r}, teacher={depths[0]}, student={depths[1]})"
        )


def _own_maps(kind: str, teacher: Depth, student: Depth) -> dict[str, LayerMap]:
    methods = {name: p.rule for name, p in PUBLISHED.items() if p.loss == kind}
    return {n: apply_to_stacks(rule, teacher, student, 0) for n, rule in methods.items()}


def loss_of(
    kind: str, options: Mapping[str, float] | None, ce: float, kl: float, hidden: float,
    temperature: float,
) -> Loss:  # fmt: skip
    """Raises ValueError for an unknown kind or option, and for a weight below 0."""
    if kind not in hidden_losses():
        raise ValueError(f"kind: {unknown(kind, sorted(hidden_losses()))}")
    known = hidden_loss(kind).options
    for name in options or {}:
        if name not in known:
            takes = f"takes {', '.join(known)}" if known else "has no options"
            raise ValueError(f"options: {name!r}; {kind} {takes}")
    for name, weight in (("ce", ce), ("kl", kl), ("hidden", hidden)):
        if not 0 <= weight < float("inf"):
            raise ValueError(f"{name}: {weight}; write a weight from 0 on")
    if not ce + kl + hidden:
        raise ValueError("ce, kl and hidden are all 0, so there is nothing to learn")
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature: {temperature}; write a number above 0")
    return Loss(ce, kl, hidden, temperature, kind, tuple(sorted((options or {}).items())) or None)


class _Own(Model):
    schedule: OrderedStages


def scheduled(
    loss: Loss, schedule: Sequence[Mapping[str, Any]] | None, matched: bool, labelled: bool,
    steps: int,
) -> Loss:  # fmt: skip
    """The loss under the stages of a sweep file's `losses.schedule`. Raises ValueError."""
    if schedule is None:
        return loss
    try:
        stages = _Own.model_validate({"schedule": list(schedule)}).schedule
    except ValidationError as error:
        where, problem = next(iter(explain(error, _Own)))
        raise ValueError(f"{'.'.join(where)}: {problem}") from None
    weights = resolved(stages, loss.ce, loss.kl, loss.hidden)
    for stage_problem in stage_problems(weights):
        raise ValueError(f"schedule.{stage_problem}")
    if len(stages) > steps:
        raise ValueError(
            f"schedule: {len(stages)} stages, and there are {steps} steps; write fewer"
        )
    if not labelled and any(any(stage.ce) for stage in weights):
        raise ValueError("schedule: ce has a weight, and the batches have no labels; leave ce out")
    whole = hidden_loss(loss.kind).form == "blocks"
    if whole and any(stage.progressive for stage in weights):
        raise ValueError(
            f"schedule: blocks: progressive switches pairs on one by one, and {loss.kind} is of "
            "all blocks at once; take another kind"
        )
    return under(loss, stages, loss.ce, loss.kl, matched)


def training_of(
    steps: int, lr: float, warmup: float, weight_decay: float, clip: float, precision: Precision
) -> Training:
    """Raises ValueError for a number out of range."""
    ranges = {
        "lr": (0 < lr < float("inf"), lr, "a number above 0"),
        "warmup": (0 <= warmup < 1, warmup, "a share of the steps, from 0 to below 1"),
        "weight_decay": (0 <= weight_decay < float("inf"), weight_decay, "a number from 0 on"),
        "clip": (clip > 0, clip, "a number above 0"),
        "precision": (precision in get_args(Precision), precision, "fp32, bf16 or fp16"),
    }
    for name, (fits, value, write) in ranges.items():
        if not fits:
            raise ValueError(f"{name}: {value}; write {write}")
    # The loop has a batch for each step, no evaluations, and ends by itself at a loss of NaN.
    return Training(
        steps, 1, None, lr, warmup, weight_decay, clip, 1, precision, diverged=float("inf")
    )


def map_of(layer_map: LayerMap | Sequence[object]) -> LayerMap:
    return layer_map if isinstance(layer_map, LayerMap) else LayerMap.of(layer_map)


@contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """The model in eval mode and frozen; afterwards as it was."""
    modes = {module: module.training for module in model.modules()}
    trained = [p for p in model.parameters() if p.requires_grad]
    try:
        model.eval()
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for parameter in trained:
            parameter.requires_grad_(True)
