"""The memory of the largest cohort of a study, and with it how many students fit a worker."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from raykd.errors import first_line
from raykd.planning.memory.footprint import (
    LARGEST_COHORT,
    MEMORY_SHARE,
    RUNTIME_BYTES,
    Footprint,
    MemoryQuestion,
)
from raykd.planning.study import Study
from raykd.planning.teacher_source import explored_states
from raykd.planning.trials import confirm_trials, largest_explore_trial
from raykd.teachers.model_facts import Base, labelled, read_config, remembered

logger = logging.getLogger(__name__)


def usable(memory: int, gpu: bool) -> int:
    """Return the bytes for a cohort, given the `memory` that a worker may use (GPU or host)."""
    return max(0, int(memory * MEMORY_SHARE) - (0 if gpu else RUNTIME_BYTES))


def footprint(study: Study, gpu: bool) -> Footprint:
    """Return the largest footprint over the hidden losses of a study. Workers hold a second copy of
    the gradients while they sum them. A control may need an untrained teacher in fp32 as well."""
    config, labels = study.config, len(study.prepared.labels)
    footprints = [
        Footprint(**measured_footprint(study.base, question, labels, study.home))
        for question in _memory_questions(study, gpu)
    ]
    largest = max(footprints, key=lambda f: f.peak(LARGEST_COHORT))
    if config.cluster.workers > 1:
        summed = largest.step + largest.gradients
        largest = replace(largest, step=summed, gradients=2 * largest.gradients)
    strategies = config.confirm.strategies if config.confirm else ()
    if any(s.targets == "untrained" for s in strategies):
        largest = replace(largest, teacher=largest.teacher + 4 * study.teacher_parameters)
    return largest if gpu else largest.in_heap()


def _memory_questions(study: Study, gpu: bool) -> Iterator[MemoryQuestion]:
    """Yield the question of the trial with the most matched pairs, for each hidden loss and each
    mixture of losses."""
    config, trials = study.config, confirm_trials(study)
    training, task, cluster = config.training, config.task, config.cluster
    states = {state for t in trials if t.seed == trials[0].seed for state in t.teacher_states}
    if config.explore is not None:
        trials = (*trials, largest_explore_trial(study))
        states |= explored_states(study)
    batch_rows = training.batch
    if training.batch_tokens is not None:
        batch_rows = max(1, training.batch_tokens // task.max_length)
    rows = math.ceil(batch_rows / cluster.workers)
    half = training.precision in ("bf16", "fp16") or (training.precision == "auto" and gpu)
    for kinds in dict.fromkeys((t.loss.kind, t.hidden_kinds) for t in trials):
        same_kind = [t for t in trials if (t.loss.kind, t.hidden_kinds) == kinds]
        largest = max(
            same_kind, key=lambda t: (len(t.layer_map.pairs()), t.loss.hidden > 0, t.loss.kl > 0)
        )
        yield MemoryQuestion(
            largest,
            tuple(sorted(states)),
            min(rows, cluster.micro_batch or rows),
            task.max_length,
            task.max_target_length if task.of_kind.encoder_decoder else None,
            task.writes,
            task.generation.beams,
            bf16=half and training.weights == "fp32",
            gradient_checkpointing=cluster.gradient_checkpointing,
            gpu=gpu,
            bits=config.teacher.bits,
        )


def measured_footprint(
    base: Base, question: MemoryQuestion, labels: int, home: Path
) -> dict[str, int]:
    """Return the footprint of students of this base, from the memo or by `dry_run.measure`."""

    def run_dry() -> dict[str, int]:
        from raykd.planning.memory.dry_run import estimate, measure

        logger.info("computing the memory of a student's training")
        config = labelled(read_config(base.folder), labels)
        try:
            return asdict(measure(config, question))
        except Exception as error:  # the classes of transformers raise many kinds
            logger.warning(
                "the memory of a student's training is a rough figure: a %s cannot be run without "
                "the values of its weights (%s)", config.model_type, first_line(error),
            )  # fmt: skip
            return asdict(estimate(config, question))

    return remembered(home, ["footprint", base.fingerprint, labels, question.question()], run_dry)
