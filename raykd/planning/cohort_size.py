"""How many students fit into a worker's memory: what a study's largest cohort takes there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from raykd.maps.layer_map import everywhere
from raykd.planning.memory.footprint import (
    LARGEST_COHORT,
    MEMORY_SHARE,
    RUNTIME_BYTES,
    Footprint,
    MemoryQuestion,
)
from raykd.planning.study import Study
from raykd.planning.teacher_source import explored_states
from raykd.planning.trials import confirm_trials, explore_trial
from raykd.teachers.model_facts import Base, read_config, remembered


def usable(memory: int, gpu: bool) -> int:
    """Bytes for a cohort, of so many that a worker may use: a GPU's, or of the host's memory."""
    return max(0, int(memory * MEMORY_SHARE) - (0 if gpu else RUNTIME_BYTES))


def footprint(study: Study, gpu: bool) -> Footprint:
    """Of the hidden loss that takes the most. Workers hold each other's gradients once more while
    they sum them; a control may have an untrained teacher, in fp32, beside the teacher."""
    config, labels = study.config, len(study.prepared.labels)
    found = [
        Footprint(**measured_footprint(study.base, load, labels, study.home))
        for load in _loads(study, gpu)
    ]
    largest = max(found, key=lambda f: f.peak(LARGEST_COHORT))
    if config.cluster.workers > 1:
        summed = largest.step + largest.gradients
        largest = replace(largest, step=summed, gradients=2 * largest.gradients)
    strategies = config.confirm.strategies if config.confirm else ()
    if any(s.targets == "untrained" for s in strategies):
        largest = replace(largest, teacher=largest.teacher + 4 * study.teacher_parameters)
    return largest if gpu else largest.in_heap()


def _loads(study: Study, gpu: bool) -> Iterator[MemoryQuestion]:
    """Of each hidden loss the trial that matches the most."""
    config, trials = study.config, confirm_trials(study)
    training, task, cluster = config.training, config.task, config.cluster
    named = {state for t in trials if t.seed == trials[0].seed for state in t.teacher_states}
    if config.explore is not None:
        trials = (*trials, explore_trial(study, everywhere(study.depth, 1)))
        named |= explored_states(study)
    whole = training.batch
    if training.batch_tokens is not None:
        whole = max(1, training.batch_tokens // task.max_length)
    rows = math.ceil(whole / cluster.workers)
    bf16 = training.precision == "bf16" or (training.precision == "auto" and gpu)
    for kind in dict.fromkeys(t.loss.kind for t in trials):
        alike = [t for t in trials if t.loss.kind == kind]
        largest = max(alike, key=lambda t: len(t.layer_map.pairs()))
        yield MemoryQuestion(
            largest,
            tuple(sorted(named)),
            min(rows, cluster.micro_batch or rows),
            task.max_length,
            task.max_target_length if task.of_kind.encoder_decoder else None,
            task.writes,
            task.generation.beams,
            bf16=bf16 and training.weights == "fp32",
            gradient_checkpointing=cluster.gradient_checkpointing,
            gpu=gpu,
            bits=config.teacher.bits,
        )


def measured_footprint(base: Base, load: MemoryQuestion, labels: int, home: Path) -> dict[str, int]:
    """`dry_run.measure` for students of this base with so many labels."""

    def ask() -> dict[str, int]:
        from raykd.planning.memory.dry_run import measure

        config = read_config(base.folder)
        if labels:
            config.num_labels = labels
        return asdict(measure(config, load))

    return remembered(home, ["footprint", base.fingerprint, labels, load.question()], ask)
