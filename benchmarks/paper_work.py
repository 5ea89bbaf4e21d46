"""The files of sweeps/paper as studies without their data, and what a step of each is made of:
floating-point operations, and operators that are launched.

Rows are as many as the sets' publishers say; how long they are is assumed. A step is raykd's own,
run under torch's fake tensors, which have shapes and no content, as
raykd/planning/memory/dry_run.py does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from raykd.config.sweep import load
from raykd.config.trial import Training, TrialSpec
from raykd.data.batches import Batch
from raykd.data.encoded import Encoded
from raykd.data.prepared import Prepared
from raykd.models.dtypes import cast
from raykd.models.student import student_config
from raykd.planning.study import Study
from raykd.planning.teacher_trial import teacher_trial
from raykd.planning.trials import confirm_trials
from raykd.runtime.execution import Execution
from raykd.runtime.memo import digest, memoised
from raykd.tasks.registry import task as task_of
from raykd.tasks.task import Data
from raykd.teachers import model_facts
from raykd.teachers import teacher as teachers
from raykd.teachers.model_facts import of_base
from raykd.teachers.targets import LiveTeacher, Targets
from raykd.training.learner import Learner
from raykd.training.trainer import trainable
from tests.support.paper_models import TEACHERS

FOLDER = Path(__file__).parents[1] / "sweeps" / "paper"
FILES = {file.stem: file for file in sorted(FOLDER.glob("*.yaml"))}
SEEDS = 10


@dataclass(frozen=True)
class Published:
    """A data set: its rows as published (of DART the distinct sources, of CoQA the turns), and,
    assumed, the words of a text that is read and the tokens that are written. `select`: None where
    it is split off train."""

    train: int
    select: int | None
    test: int
    words: float
    written: int = 0
    choices: int = 1
    labels: tuple[str, ...] = ()


TWO, THREE = ("0", "1"), ("0", "1", "2")
SETS = {
    "mnli": Published(392_702, None, 9_815 + 9_832, 30, labels=THREE),
    "qqp": Published(363_846, None, 40_430, 22, labels=TWO),
    "qnli": Published(104_743, None, 5_463, 37, labels=TWO),
    "sst2": Published(67_349, None, 872, 9.4, labels=TWO),
    "GEM/dart": Published(30_526, 2_768, 6_959, 25, 30),
    "wmt/wmt16": Published(610_320, 1_999, 1_999, 26, 50),
    "Rowan/hellaswag": Published(39_905, None, 10_042, 45, 28, choices=4),
    "stanfordnlp/coqa": Published(108_647, None, 7_983, 350, 4),
    "tau/commonsense_qa": Published(9_741, None, 1_221, 15, 2, choices=5),
}
"""Data sets by GLUE subset or by name."""


@dataclass(frozen=True)
class Work:
    """The work of one call: floating-point operations, and operators that are not views."""

    flop: float
    operators: float


@dataclass(frozen=True)
class Parts:
    """The work of the parts of a sweep. `step`: a student's step with its update; `teach`: the
    teacher's pass over that batch; `answer`: a student's pass over an evaluation batch; `tune`: a
    step of the teacher's fine-tuning."""

    step: Work
    teach: Work
    answer: Work
    tune: Work


def published(study: Study) -> Published:
    task = study.config.task
    return SETS.get(task.subset or "") or SETS[task.named]


def study(name: str, home: Path, longer: float = 1.0) -> Study:
    """The study of a file with ten seeds and the published sizes of its data set. `longer`: factor
    on the assumed length of rows."""
    config = load(FILES[name])
    assert config.confirm is not None
    confirm = config.confirm.model_copy(update={"seeds": SEEDS})
    config = config.model_copy(update={"confirm": confirm})
    task, model = config.task, config.teacher.model
    folder = home / "models" / model
    TEACHERS[model].full.save_pretrained(folder)
    facts = of_base(folder, digest([model]), home)
    base = model_facts.Base(
        folder, digest([model]), facts["depth"], facts["width"], tuple(facts["labels"]),
        facts["decoder_depth"],
    )  # fmt: skip
    rows = SETS.get(task.subset or "") or SETS[task.named]
    held_out = round(rows.train * task.select_share) if rows.select is None else 0
    train = min(rows.train - held_out, task.rows or rows.train)
    counts = {"train": train, "select": rows.select or held_out, "test": rows.test}
    key = digest([task.data, task.subset, counts])
    prepared = Prepared(
        home / "rows", key, rows.labels, counts, majority=0,
        mean_words=rows.words * longer,
    )  # fmt: skip
    teacher = teachers.fingerprint(config.teacher, base, prepared, task)
    return Study(config, str(FILES[name]), home, prepared, base, teacher, key)


def parts(study: Study) -> Parts:
    """The work of each part, counted once per shape and cached on disk."""
    config, task = study.config, study.config.task
    student = max(confirm_trials(study), key=lambda t: len(t.layer_map.pairs()))
    rows = published(study)
    tokens = round(study.mean_tokens) + (rows.written if task.kind == "causal_lm" else 0)
    question = ["work", study.base.fingerprint, tokens, rows.written, rows.labels,
                asdict(student.shape), asdict(student.training), config.teacher.model_dump(),
                config.cluster.gradient_checkpointing, student.layer_map.to_json()]  # fmt: skip
    counts = memoised(study.home, question, lambda: _count(study, student, tokens))
    return Parts(**{part: Work(**work) for part, work in counts.items()})


def _count(study: Study, student: TrialSpec, tokens: int) -> dict[str, dict[str, float]]:
    task, rows = study.config.task, published(study)
    family, tuning = task_of(task.kind), teacher_trial(study)
    config = TEACHERS[study.config.teacher.model].full
    config = type(config).from_dict({**config.to_dict(), "num_labels": max(2, len(rows.labels))})

    def batch(count: int) -> Batch:
        ids = np.zeros(count, dtype=np.int64)
        read, writes = _flat(count, tokens), task.kind != "classification"
        text = Encoded("", *read, None, None if writes else ids, ids)
        if writes:
            written = _flat(count, rows.written)
            text = replace(text, targets=written[0], target_offsets=written[1])
        return family.collate(text, np.arange(count), 0)

    def bare(trial: TrialSpec, training: Training, train: bool) -> Any:
        with torch.device("meta"):  # where a model can still be given its precision and adapters
            model = family.auto.from_config(student_config(config, trial.shape))
            cast(model, training.weights, training.buffers)
            return trainable(model, trial, where(trial)) if train else model

    def where(trial: TrialSpec) -> Execution:
        full_weights, checkpointing = (
            trial.training.weights == "fp32",
            study.config.cluster.gradient_checkpointing,
        )
        return Execution(
            precision="bf16" if full_weights else "fp32", gradient_checkpointing=checkpointing
        )

    def learner(trial: TrialSpec, model: Any) -> Learner:
        return Learner(trial, _placed(model), family, study.base.width, where(trial))

    models = [bare(student, student.training, True),
              bare(tuning, student.training, False),
              bare(tuning, tuning.training, True)]  # fmt: skip
    with FakeTensorMode(allow_non_fake_inputs=True):
        student_learner, autocast = learner(student, models[0]), where(student).autocast()
        teacher = _placed(models[1])
        named = {s for t in confirm_trials(study)[:1] for s in t.teacher_states}
        live = LiveTeacher(teacher, named | student.teacher_states, family, autocast)
        student_batch, eval_batch = batch(student.training.batch), batch(Data.eval_batch)
        targets = live(student_batch)
        _step(student_learner, student_batch, targets)  # the first allocates the optimiser's state
        work = {"teach": _work(lambda: live(student_batch))}
        live.close()
        work["step"] = _work(lambda: _step(student_learner, student_batch, targets))

        def answer() -> None:
            with torch.no_grad(), autocast:
                family.forward(student_learner.model.eval(), eval_batch)

        work["answer"] = _work(answer)
        teacher_learner = learner(tuning, models[2])
        teacher_batch = batch(tuning.training.batch)
        work["tune"] = _work(lambda: _step(teacher_learner, teacher_batch, None))
    return work


def _step(learner: Learner, batch: Batch, targets: Targets | None) -> None:
    learner.backward(batch, targets, 1)
    learner.update(1)


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operators that are not views; each is at least one launch on a GPU."""

    count = 0

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.count += not operator.is_view and operator.namespace == "aten"
        return operator(*args, **(kwargs or {}))


def _work(call: Callable[[], object]) -> dict[str, float]:
    operators = _Operators()  # type: ignore[no-untyped-call]
    with operators, FlopCounterMode(display=False) as flops:
        call()
    return asdict(Work(flops.get_total_flops(), operators.count))


def _placed(model: Any) -> Any:
    model.to_empty(device="cpu")
    model.tie_weights()
    return model


def _flat(rows: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(rows * length, dtype=np.int64), np.arange(rows + 1) * length
