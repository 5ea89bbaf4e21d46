"""What a process needs to train a study's trials: encoded data, the teacher, student builders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from raykd.config.cohort import Cohort
from raykd.config.trial import TrialSpec
from raykd.data.prepared import Prepared, load
from raykd.data.splits import SPLITS
from raykd.losses.hidden.registry import hidden_loss
from raykd.maps.activations import Activation
from raykd.models import lora, quantization, stacks
from raykd.models.dtypes import DTYPES, cast
from raykd.models.loading import read_model
from raykd.models.student import build_student, width
from raykd.runtime.execution import Execution
from raykd.runtime.precision import bf16_pays
from raykd.runtime.seeds import seeded, stream
from raykd.search.halving import SuccessiveHalving
from raykd.tasks.registry import task as task_of
from raykd.tasks.task import Data, Names, Task
from raykd.teachers.cache import Entry
from raykd.teachers.controls import Controls, mean_states, untrained
from raykd.teachers.fill_cache import Filler, choose_half, open_cache
from raykd.teachers.targets import CachedTeacher, LiveTeacher
from raykd.training.angle_probe import Probe
from raykd.training.distill import distill
from raykd.training.hooks import Hooks
from raykd.training.inputs import TrainingInputs
from raykd.training.recorder import Recorder

if TYPE_CHECKING:
    from raykd.config.task import TaskConfig


def load_data(
    family: Task, prepared: Prepared, names: Names, tokenizer_folder: Path, task: TaskConfig,
    home: Path,
) -> Data:  # fmt: skip
    """The encoded splits, for models of one tokenizer."""
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


def use_bf16(trial: TrialSpec, device: torch.device, home: Path, model_width: int) -> bool:
    """Whether this trial trains under bf16 autocast here; weights in bf16 need none."""
    if trial.training.weights == "bf16":
        return False
    if trial.training.precision == "auto":
        return bf16_pays(home, device, model_width)
    return trial.training.precision == "bf16"


def trainable(model: PreTrainedModel, trial: TrialSpec, where: Execution) -> PreTrainedModel:
    """The same model as its trial trains it: its precision, and adapters where it has some."""
    cast(model, trial.training.weights, trial.training.buffers)
    if trial.training.lora is not None:
        with seeded(stream(trial.seed, "lora")):
            lora.add(model, trial.training.lora)
    if where.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model


@dataclass(frozen=True)
class CohortTrainer:
    """Data and teacher in memory, ready for one cohort after another."""

    sources: TrainingInputs
    where: Execution
    data: Data
    teacher: PreTrainedModel
    plain: PreTrainedModel
    """What students are cut from: the teacher itself, or where that is quantised, its weights as
    they were, in the host's memory."""
    opened: dict[str, CachedTeacher] = field(default_factory=dict)
    """Caches that are open already, by the precision the teacher computes in."""
    means: dict[str, dict[Activation, Tensor]] = field(default_factory=dict)
    """The teacher's mean states, likewise, where a control has asked for them."""

    @classmethod
    def load(cls, sources: TrainingInputs, where: Execution, trained: bool = True) -> CohortTrainer:
        """`trained`: the sources name a teacher, and not what one is yet to be made of."""
        prepared = load(sources.data)
        family = task_of(sources.task.kind)
        names = family.names(sources.teacher, prepared) if trained else prepared.labels
        data = load_data(family, prepared, names, sources.teacher, sources.task, sources.home)
        plain = family.load_model(sources.teacher, names, trained=trained)
        cast(plain, sources.weights, sources.buffers)
        if sources.bits is None:
            plain.to(where.device)
            return cls(sources, where, data, plain, plain)
        how = quantization.options(sources.bits, where.device, DTYPES[sources.weights])
        teacher, _ = read_model(family.auto, sources.teacher, **how)
        return cls(sources, where, data, teacher, plain)

    def build(self, trial: TrialSpec) -> PreTrainedModel:
        """A trial's student before its training."""
        model = build_student(self.plain, trial.shape, trial.init, stream(trial.seed, "init"))
        return trainable(model, trial, self.where)

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
        """Train a cohort: `distill` with students built from this teacher.

        `keep` names the trials whose student is handed to the recorder as a folder.
        """
        teacher_width = width(self.teacher)
        bf16 = use_bf16(cohort.trials[0], self.where.device, self.sources.home, teacher_width)
        where = replace(self.where, bf16=bf16)
        states = {state for trial in cohort.trials for state in trial.teacher_states}
        imitates = any(t.loss.kl or (t.loss.hidden and t.layer_map.pairs()) for t in cohort.trials)
        # An interrupted training ends as it began, and so with the numbers of one that was not.
        began = self.sources.source if resume is None else resume["source"]
        controls = self._controls(cohort, where)
        source = (
            self._source(cohort, states, where, began == LiveTeacher.name) if imitates else None
        )

        def save(trial: TrialSpec, model: PreTrainedModel, folder: Path) -> bool:
            if trial.id not in keep:
                return False
            if trial.training.lora is not None:
                lora.merge(model)
            save_model(model, self.data.family, self.sources.teacher, folder)
            return True

        probe = None
        if self.sources.angles is not None and cohort.trials[0].phase == "confirm":
            probe = Probe(self.teacher, self.data, self.sources.angles, where, self.build)
        facts = {
            "precision": self._precision(where),
            "device": str(where.device),
            "teacher_source": source.name if source else "none",
        }
        try:
            distill(
                cohort, self.data, self.build, source, teacher_width, recorder,
                where=where, hooks=hooks, resume=resume, save_student=save, facts=facts,
                rungs=rungs, probe=probe, controls=controls,
            )  # fmt: skip
        finally:
            for each in (source, controls.untrained):
                if isinstance(each, LiveTeacher):
                    each.close()

    def _controls(self, cohort: Cohort, where: Execution) -> Controls:
        """What the cohort's controls imitate; made of the teacher itself, whatever the source."""
        kinds, seed = {t.targets for t in cohort.trials}, cohort.trials[0].seed
        other, precision = None, self._precision(where)
        if "untrained" in kinds:
            pairs = {
                p for t in cohort.trials if t.targets == "untrained" for p in t.layer_map.pairs()
            }
            model = untrained(self.plain, seed).to(where.device)
            states = {state for _, state in pairs}
            other = LiveTeacher(model, states, self.data.family, where.autocast())
        if "mean" in kinds and precision not in self.means:
            self.means[precision] = mean_states(self._filler(where))
        return Controls(seed, where.group.rank, other, self.means.get(precision, {}))

    def _source(
        self, cohort: Cohort, states: set[Activation], where: Execution, live: bool
    ) -> LiveTeacher | CachedTeacher:
        """The teacher for a cohort whose maps name these states."""
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
        """What teacher and students compute in; stored outputs are known by it."""
        if self.sources.weights == "bf16":
            buffers = self.sources.buffers
            return "bf16 weights" if buffers is None else f"bf16 weights, {buffers} buffers"
        return "bf16" if where.bf16 else "fp32"

    def _filler(self, where: Execution) -> Filler:
        data = self.data
        return Filler(
            self.teacher, data.train, data.pad, where.device, where.autocast, data.family
        )  # fmt: skip

    def _open(self, precision: str, where: Execution) -> CachedTeacher:
        sources, encoded = self.sources, self.data.train
        filler = self._filler(where)
        half = sources.cache_dtype
        if half == "auto":
            half = choose_half(filler, stacks.depth(self.teacher.config))
        entry = Entry(
            sources.fingerprint, encoded.fingerprint, precision, width(self.teacher), half
        )
        return open_cache(
            sources.cache, entry, filler, sources.states, sources.home / "near", where.group,
            sources.limit,
        )  # fmt: skip


def save_model(model: PreTrainedModel, family: Task, tokenizer_folder: Path, folder: Path) -> None:
    """A plain transformers folder: safetensors weights, configuration, tokenizer."""
    model.save_pretrained(folder)
    family.load_tokenizer(tokenizer_folder).save_pretrained(folder)
