"""Loads data and teacher in a training process, and trains cohorts with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import PreTrainedModel

from raykd.config.cohort import Cohort
from raykd.config.trial import TrialSpec
from raykd.data.prepared import Prepared, load
from raykd.data.splits import SPLITS
from raykd.losses.hidden.registry import hidden_loss
from raykd.losses.hidden.statistics import Statistics
from raykd.maps.activations import Activation
from raykd.models import lora, quantization, stacks
from raykd.models.dtypes import DTYPES, cast
from raykd.models.loading import read_model
from raykd.models.student import width
from raykd.runtime.execution import Execution
from raykd.runtime.memo import memoised
from raykd.runtime.plugins import install_plugins
from raykd.runtime.precision import faster_precision
from raykd.runtime.seeds import seeded, stream
from raykd.search.halving import SuccessiveHalving
from raykd.tasks.registry import task as task_of
from raykd.tasks.task import Data, Names, Task
from raykd.teachers.cache import Entry
from raykd.teachers.choices import choices_on_test
from raykd.teachers.controls import Controls, untrained
from raykd.teachers.fill_cache import Filler, choose_half, open_cache
from raykd.teachers.state_statistics import STATISTICS_ROWS, state_statistics
from raykd.teachers.targets import CachedTeacher, LiveTeacher
from raykd.training.angle_probe import Probe
from raykd.training.cohort_students import CohortStudents
from raykd.training.distill import distill
from raykd.training.hooks import Hooks
from raykd.training.imitation.gradients import GradientProbe
from raykd.training.imitation.lines import TOKENS, TRAIN_TOKENS, Lines, measure_lines
from raykd.training.imitation.probe import ImitationProbe
from raykd.training.inputs import TrainingInputs
from raykd.training.recorder import Recorder

if TYPE_CHECKING:
    from raykd.config.task import TaskConfig


def load_data(
    family: Task, prepared: Prepared, names: Names, tokenizer_folder: Path, task: TaskConfig,
    home: Path,
) -> Data:  # fmt: skip
    """Return the encoded splits, for models that share one tokenizer."""
    tokenizer = family.load_tokenizer(tokenizer_folder)
    train, select, test = (
        family.encode(prepared, split, tokenizer, names, task, home) for split in SPLITS
    )
    return Data(
        family, train, select, test,
        test_labels=lambda: family.test_labels(prepared, names),
        labels=names,
        pad=int(tokenizer.pad_token_id),
        tokenizer=tokenizer,
        task=task,
        parts=prepared.test_parts,
    )  # fmt: skip


def in_precision(trial: TrialSpec, where: Execution, home: Path, model_width: int) -> Execution:
    """Return the execution in this trial's precision here; bf16 weights need no autocast."""
    precision = trial.training.precision
    if trial.training.weights == "bf16":
        precision = "fp32"
    if precision == "auto":
        precision = faster_precision(home, where.device, model_width)
    return replace(where, precision=precision)


def trainable(model: PreTrainedModel, trial: TrialSpec, where: Execution) -> PreTrainedModel:
    """Apply the trial's precision and LoRA, and gradient checkpointing, to the model in place."""
    cast(model, trial.training.weights, trial.training.buffers)
    if trial.training.lora is not None:
        with seeded(stream(trial.seed, "lora")):
            lora.add(model, trial.training.lora)
    if where.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model


@dataclass(frozen=True)
class CohortTrainer:
    """Data and teacher in memory, to train any number of cohorts."""

    sources: TrainingInputs
    where: Execution
    data: Data
    teacher: PreTrainedModel
    plain: PreTrainedModel
    """The model that students are built from: the teacher itself, or for a quantised teacher its
    unquantised weights, in host memory."""
    opened: dict[str, CachedTeacher] = field(default_factory=dict)
    """Open caches, by the precision that the teacher computes in."""
    statistics: dict[str, Statistics] = field(default_factory=dict)
    """Those of the teacher's states by precision, measured when a trial needs them."""

    @classmethod
    def load(cls, sources: TrainingInputs, where: Execution, trained: bool = True) -> CohortTrainer:
        """Load data and teacher. `trained`: whether `sources.teacher` is a finished teacher, not
        the base model of one that is still to be fine-tuned."""
        install_plugins(sources.plugins)
        prepared = load(sources.data)
        family = task_of(sources.task.kind)
        names = family.names(sources.teacher, prepared) if trained else prepared.labels
        data = load_data(family, prepared, names, sources.teacher, sources.task, sources.home)
        plain = family.load_model(sources.teacher, names, trained=trained)
        cast(plain, sources.weights, sources.buffers)
        if sources.bits is None:
            plain.to(where.device)
            return cls(sources, where, data, plain, plain)
        options = quantization.options(sources.bits, where.device, DTYPES[sources.weights])
        teacher, _ = read_model(family.auto, sources.teacher, **options)
        return cls(sources, where, data, teacher, plain)

    def build(self, trial: TrialSpec, students: CohortStudents | None = None) -> PreTrainedModel:
        """Return a trial's student before its training; `students` builds those of its cohort."""
        students = students or CohortStudents(self.plain, (trial,))
        return trainable(students.build(trial), trial, self.where)

    def run(
        self,
        cohort: Cohort,
        recorder: Recorder,
        *,
        hooks: Hooks | None = None,
        resume: Mapping[str, Any] | None = None,
        keep: frozenset[str] = frozenset(),
        rungs: SuccessiveHalving | None = None,
    ) -> None:
        """Train a cohort: call `distill` with students built from this teacher.

        `keep` holds the ids of the trials whose student is passed to the recorder as a folder.
        """
        teacher_width = width(self.teacher)
        where = in_precision(cohort.trials[0], self.where, self.sources.home, teacher_width)
        teacher_states = {state for trial in cohort.trials for state in trial.teacher_states}
        imitates = any(trial.learns_from_teacher for trial in cohort.trials)
        # A resumed training keeps its first source, so its results equal an uninterrupted run's.
        source_name = self.sources.source if resume is None else resume["source"]
        controls = self._controls(cohort, where)
        standardized = any(
            hidden_loss(kind).standardized for t in cohort.trials for kind in t.hidden_kinds
        )
        statistics = self._statistics(where) if standardized else None
        source = (
            self._source(cohort, teacher_states, where, source_name == LiveTeacher.name)
            if imitates
            else None
        )

        def save(trial: TrialSpec, model: PreTrainedModel, folder: Path) -> bool:
            if trial.id not in keep:
                return False
            if trial.training.lora is not None:
                lora.merge(model)
            save_model(model, self.data.family, self.sources.teacher, folder, self.data.task)
            return True

        probe = None
        if self.sources.angles is not None and cohort.trials[0].phase == "confirm":
            probe = Probe(self.teacher, self.data, self.sources.angles, where, self.build)
        imitation = gradients = None
        one_stack = stacks.depth(self.teacher.config).decoder is None
        if one_stack and cohort.trials[0].phase == "confirm":
            imitation = ImitationProbe(
                self.teacher, self.data, where, lambda kind: self._lines(kind, where), statistics
            )
            gradients = GradientProbe(self.teacher, self.data, where, statistics)
        build = partial(self.build, students=CohortStudents(self.plain, cohort.trials))
        facts = {
            "precision": self._precision(where),
            "device": str(where.device),
            "teacher_source": source.name if source else "none",
        }
        try:
            distill(
                cohort, self.data, build, source, teacher_width, recorder,
                where=where, hooks=hooks, resume=resume, save_student=save, facts=facts,
                rungs=rungs, probe=probe, imitation=imitation, gradients=gradients,
                controls=controls, statistics=statistics,
                teacher_choices=lambda metric: self._choices(metric, where),
            )  # fmt: skip
        finally:
            for target_source in (source, controls.untrained):
                if isinstance(target_source, LiveTeacher):
                    target_source.close()

    def _controls(self, cohort: Cohort, where: Execution) -> Controls:
        """Return the targets of the cohort's controls, always made from the teacher itself."""
        kinds, seed = {t.targets for t in cohort.trials}, cohort.trials[0].seed
        untrained_teacher = None
        if "untrained" in kinds:
            model = untrained(self.plain, seed).to(where.device)
            trials = (t for t in cohort.trials if t.targets == "untrained")
            states = {state for trial in trials for state in trial.imitated}
            untrained_teacher = LiveTeacher(model, states, self.data.family, where.autocast())
        statistics = self._statistics(where) if "mean" in kinds else {}
        return Controls(seed, where.group.rank, untrained_teacher, statistics)

    def _statistics(self, where: Execution) -> Statistics:
        precision = self._precision(where)
        if precision not in self.statistics:
            self.statistics[precision] = state_statistics(self._filler(where))
        return self.statistics[precision]

    def _source(
        self, cohort: Cohort, states: set[Activation], where: Execution, live: bool
    ) -> LiveTeacher | CachedTeacher:
        """Return the teacher source of a cohort whose maps name these states."""
        if live:
            return LiveTeacher(
                self.teacher, states, self.data.family, where.autocast(),
                dropout=cohort.trials[0].training.teacher_dropout,
                padded=any(hidden_loss(t.loss.kind).padded for t in cohort.trials),
            )  # fmt: skip
        precision = self._precision(where)
        if precision not in self.opened:
            self.opened[precision] = self._open(precision, where)
        return self.opened[precision].naming(states)

    def _precision(self, where: Execution) -> str:
        """Return the precision of teacher and students, which is part of a cache entry's key."""
        if self.sources.weights == "bf16":
            buffers = self.sources.buffers
            return "bf16 weights" if buffers is None else f"bf16 weights, {buffers} buffers"
        return where.arithmetic

    def _lines(self, kind: str, where: Execution) -> Lines:
        """Return what R² in the space of a hidden loss is compared with, measured once a home."""
        sources, data = self.sources, self.data
        question = [
            "imitation lines", kind, [plugin.hash for plugin in sources.plugins],
            sources.fingerprint, data.train.fingerprint, data.select.fingerprint,
            self._precision(where), TOKENS, TRAIN_TOKENS,
        ]  # fmt: skip
        statistics = None
        if hidden_loss(kind).standardized:
            statistics = self._statistics(where)
            question.append(STATISTICS_ROWS)
        measure = partial(measure_lines, kind, self.teacher, data, where, statistics)
        return Lines(**memoised(sources.home, question, lambda: asdict(measure())))

    def _choices(self, metric: str, where: Execution) -> np.ndarray:
        """Return the class that the teacher chooses for each test row."""
        sources = self.sources
        made_by = [
            sources.fingerprint, [plugin.hash for plugin in sources.plugins], self._precision(where)
        ]  # fmt: skip
        return choices_on_test(self.teacher, self.data, metric, where, sources.home, made_by)

    def _filler(self, where: Execution) -> Filler:
        data, at = self.data, where.device
        return Filler(self.teacher, data.train, data.pad, at, where.autocast, data.family)

    def _open(self, precision: str, where: Execution) -> CachedTeacher:
        sources, encoded = self.sources, self.data.train
        filler = self._filler(where)
        cache_dtype = sources.cache_dtype
        if cache_dtype == "auto":
            cache_dtype = choose_half(filler, stacks.depth(self.teacher.config))
        entry = Entry(
            sources.fingerprint, encoded.fingerprint, precision, width(self.teacher), cache_dtype
        )
        return open_cache(
            sources.cache, entry, filler, sources.states, sources.home / "near", where.group,
            sources.limit,
        )  # fmt: skip


def save_model(
    model: PreTrainedModel, family: Task, tokenizer_folder: Path, folder: Path,
    cut: TaskConfig | None = None,
) -> None:  # fmt: skip
    """Write a plain transformers folder: safetensors weights, configuration, tokenizer. With the
    task in `cut`, the tokenizer states the task's length limit."""
    model.save_pretrained(folder)
    tokenizer = family.load_tokenizer(tokenizer_folder)
    if cut is not None:
        limit = min(tokenizer.model_max_length, cut.max_length)
        tokenizer.model_max_length = limit
        if cut.of_kind.rows == "text" and tokenizer.is_fast:
            # Read by what uses `tokenizers` alone; transformers cuts only if it is asked to.
            tokenizer.backend_tokenizer.enable_truncation(limit)
    tokenizer.save_pretrained(folder)
