"""Resolves a sweep file into a study: reads data and base model and checks the file against
them."""

from __future__ import annotations

from pathlib import Path

from raykd.config import sweep
from raykd.config.sweep import SweepConfig
from raykd.config.task import TaskConfig
from raykd.config.trial import Init, Shape
from raykd.data.prepared import prepare
from raykd.errors import UserError
from raykd.losses.hidden.registry import hidden_loss
from raykd.maps.published import own_loss
from raykd.planning import inits, schedules
from raykd.planning.blocks import deeper, other_stacks, unfit_for_stacks
from raykd.planning.study import Study
from raykd.planning.trials import strategy_problems
from raykd.runtime.memo import digest
from raykd.runtime.plugins import import_plugins
from raykd.search.space import space_of
from raykd.tasks import labels
from raykd.teachers import model_facts
from raykd.teachers import teacher as teachers
from raykd.teachers.model_facts import Base


def resolve(config: SweepConfig, home: Path, file: str) -> Study:
    """Return the study of a sweep file: read the data, find the teacher's base model and check the
    file against both. Raises UserError with a line per mistake."""
    base = teachers.find_base(config.teacher, home, file)
    if problem := model_facts.foreign_tokenizer(base, home):
        raise UserError(f"{file}: teacher.model: {config.teacher.model}: {problem}")
    prepared, task = prepare(config.task, home, file, config.labels), config.task
    classes = prepared.report.classes.get("select", {})
    select = [label for label, count in classes.items() if count]
    if len(select) == 1 and not config.teacher.allow_weak:
        raise UserError(
            f"{file}: task.data: every select row has the label {select[0]!r}, so no model scores "
            "better than the majority class; give more rows, or a larger `select_share`"
        )
    _check_weights(task, prepared.labels, file)
    name = teachers.fingerprint(config.teacher, base, prepared, task)
    data = digest([prepared.fingerprint, base.fingerprint, config.task.reading])
    if not config.teacher.fine_tune and config.task.of_kind.classes:
        if problem := model_facts.other_problem(base):
            raise UserError(f"{file}: teacher.model: {config.teacher.model}: {problem}")
        labels.in_order(base.labels, prepared.labels, file)
    plugins = import_plugins(config.plugins, Path(file))
    study = Study(config, file, home, prepared, base, name, data, plugins)
    _check(study)
    return study


def _check_weights(task: TaskConfig, labels: tuple[str, ...], file: str) -> None:
    """Raise UserError for a class weight of a label that the data lacks."""
    stated = task.class_weights if isinstance(task.class_weights, dict) else {}
    if unknown := [label for label in stated if label not in labels]:
        raise UserError(
            f"{file}: task.class_weights: no class is named {unknown[0]!r}; write some of "
            f"{', '.join(labels[:10])}"
        )


def _refuse_class(study: Study) -> None:
    """Raise UserError for a teacher of whose class no students can be cut for the file's task. A
    task for another number of stacks, and sizes that do not fit, are told with the other keys."""
    config, base = study.config, study.base
    other_kind = config.task.of_kind.encoder_decoder == (base.depths.decoder is None)
    if other_kind or model_facts.misfit(base, study.shape, Init("random"), study.home):
        return
    labels, kind = len(study.prepared.labels), config.task.kind
    if problem := model_facts.uncuttable(base, study.shape, labels, study.home, kind):
        raise UserError(f"{study.file}: teacher.model: {config.teacher.model}: {problem}")


def _check(study: Study) -> None:
    """Check all keys of the file about blocks against the depths; one line per mistake."""
    _refuse_class(study)
    config, file, depth = study.config, study.file, study.base.depths
    blocks, problems = study.depth, []
    for key, init in inits.stated(config).items():
        problem = model_facts.misfit(study.base, study.shape, Init("random"), study.home)
        if problem:
            problems.append(f"{file}: student: {problem}")
        elif init != "random" and (too_deep := deeper(blocks, depth)):
            size, most = too_deep
            problems.append(
                f"{file}: student.blocks: {size} is deeper than the teacher's {most}, which "
                f"{key} copies from; write at most {most}, or the init `random`"
            )
        elif problem := other_stacks(inits.resolved(study, init).layer_map, depth, blocks):
            problems.append(f"{file}: {key}: {problem}")
        elif problem := model_facts.misfit(
            study.base, study.shape, inits.resolved(study, init), study.home
        ):
            problems.append(
                f"{file}: {key}: {problem}; leave that size of the student out, or write `random`"
            )
        elif problem := model_facts.unequal(
            study.base, study.shape, inits.resolved(study, init), study.home
        ):
            problems.append(f"{file}: {key}: {problem}; copy other blocks, or write `random`")
    if not problems:
        problems += [f"{file}: {line}" for line in inits.repeated(study)]
    problems += strategy_problems(study)
    problems += schedules.problems(study)
    problems += unreadable_losses(config, study.base, study.shape, study.home, file)
    problems += [f"{file}: {problem}" for problem in unfit_for_stacks(config, depth, blocks)]
    lora = config.training.lora
    if lora is not None and lora.targets is not None and not problems:
        kind = config.task.kind
        problem = model_facts.lora_misfit(study.base, study.shape, lora.targets, study.home, kind)
        problems += [f"{file}: training.lora.targets: {problem}"] if problem else []
    maps = space_of(depth, blocks).size()
    if config.confirm and config.confirm.sampled > maps:
        problems.append(
            f"{file}: confirm.sampled: {config.confirm.sampled}, there are {maps} maps of "
            f"{study.shape} blocks onto {Shape.of(depth)}; write at most so many"
        )
    if problems:
        raise UserError(*dict.fromkeys(problems))


def unreadable_losses(
    config: SweepConfig, base: Base, shape: Shape, home: Path, file: str
) -> list[str]:
    """Return a line for each hidden loss that reads something that these models lack or lay out
    differently."""
    kind = config.losses.kind
    kinds: dict[str, str] = {"losses.kind": kind}
    strategies = config.confirm.strategies if config.confirm else ()
    for index, strategy in enumerate(strategies):
        if method_kind := own_loss(strategy.strategy):
            kinds[f"confirm.strategies.{index}.strategy"] = method_kind
    problems = [
        f"{file}: {key}: {problem}"
        for key, method_kind in kinds.items()
        if hidden_loss(method_kind).has_requirements
        if (problem := model_facts.unreadable(base, shape, method_kind, home))
    ]
    controls = config.confirm.controls if config.confirm else ()
    if hidden_loss(kind).reads != ("state",) and controls:
        problems.append(
            f"{file}: losses.kind: {kind} compares more than states, and a control "
            f"({controls[0]}) has no other targets; write another kind, or leave the controls out"
        )
    # Checked again, because options of the command line apply after the file was read.
    return problems + [f"{file}: {conflict}" for conflict in sweep.conflicts(config)]
