"""Shared by all arms: the setting that an arm reads, its rows, its clock, the result it writes.

Imports no raykd: the peers' environment has none.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import psutil
import torch
import torch.nn.functional as F
from torch import Tensor, nn

WARM_STEPS = 2
EVAL_BATCH = 64
SWEEP_SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Setting:
    """The settings of one arm. Paths are local; none of them is written to the results."""

    folder: str
    home: str
    teacher: str
    student: str
    sweep: dict[str, Any]
    steps: int
    batch: int
    lr: float
    warmup: float
    weight_decay: float
    clip: float
    layer_map: tuple[int, ...]
    max_length: int
    pad: int
    share: int
    """Students that one cache of the teacher serves, where an arm has one."""
    threads: int
    tokens: int
    """Valid tokens of all training rows together."""
    teacher_parameters: int
    student_parameters: int
    seed: int = 0
    students: int = 1
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 is autocast: models are in fp32 in every arm."""
    whole_sweep: bool = False
    """Whether a peer trains every student of the sweep, timed from the start of its process."""

    @classmethod
    def read(cls, path: Path) -> Setting:
        values = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**values, "layer_map": tuple(values["layer_map"])})

    def write(self, path: Path) -> Path:
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path

    @property
    def sweep_students(self) -> list[tuple[tuple[int, ...], int]]:
        """Map and seed of each student of a whole sweep; the seeds of a map follow each other."""
        strategies = self.sweep["confirm"]["strategies"][: self.students]
        return [(tuple(s["map"]), seed) for s in strategies for seed in SWEEP_SEEDS]

    @property
    def warm(self) -> int:
        """Steps until the learning rate is at its height."""
        return round(self.warmup * self.steps)


@dataclass(frozen=True)
class Rows:
    """A tokenised split: row i is `input_ids[offsets[i]:offsets[i + 1]]`."""

    input_ids: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    pad: int

    @classmethod
    def read(cls, setting: Setting, split: str) -> Rows:
        with np.load(Path(setting.folder) / f"{split}.npz") as arrays:
            return cls(arrays["input_ids"], arrays["offsets"], arrays["labels"], setting.pad)

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, Any]:
        """One example, as a map-style data set yields it."""
        ids = self.input_ids[self.offsets[row] : self.offsets[row + 1]]
        return {"input_ids": ids.tolist(), "labels": int(self.labels[row]), "row": row}

    def collate(
        self, examples: Iterable[dict[str, Any]], width: int | None = None
    ) -> dict[str, Tensor]:
        """Examples padded to the longest of them, or to `width`."""
        examples = list(examples)
        length = width or max(len(example["input_ids"]) for example in examples)
        ids = torch.full((len(examples), length), self.pad)
        mask = torch.zeros((len(examples), length), dtype=torch.int64)
        for i, example in enumerate(examples):
            ids[i, : len(example["input_ids"])] = torch.tensor(example["input_ids"])
            mask[i, : len(example["input_ids"])] = 1
        labels = torch.tensor([example["labels"] for example in examples])
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}


class Clock:
    """Times loading and, after a warm-up that is not counted, training; records peak memory."""

    def __init__(self) -> None:
        self.load_seconds = 0.0
        self.seconds = 0.0
        self.peak_mb = 0.0
        self._began = 0.0

    def loaded(self) -> None:
        """Record the end of loading, which is counted from process start, with imports."""
        self.load_seconds = self.alive()

    @staticmethod
    def alive() -> float:
        """Seconds since the start of this process."""
        return time.time() - psutil.Process().create_time()

    def start(self) -> None:
        self._began = time.perf_counter()

    def stop(self) -> None:
        self.seconds += time.perf_counter() - self._began
        self.peak_mb = peak_mb()


def peak_mb() -> float:
    """This program's peak memory in MiB. On Linux ru_maxrss would include the peak of the parent
    process."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


@dataclass(frozen=True)
class Outcome:
    """The result of an arm's training. `seconds` trained `students`, without caches.

    `cache_seconds` made a cache that serves `shared_by` students; `score` is the test accuracy in
    percent of the student of map `layer_map`, where there is one.
    """

    students: int
    seconds: float
    score: float | None = None
    cache_seconds: float = 0.0
    shared_by: int = 1
    more: dict[str, Any] = field(default_factory=dict)


def main(train: Callable[[Setting, Clock], Outcome]) -> None:
    """Run an arm as a process: SETTING.json in, OUT.json out."""
    setting, out = Setting.read(Path(sys.argv[1])), Path(sys.argv[2])
    torch.set_num_threads(setting.threads)
    clock = Clock()
    outcome = train(setting, clock)
    result = {
        "arm": Path(sys.argv[0]).stem,
        "students": outcome.students,
        "steps": setting.steps,
        "threads": setting.threads,
        "seed": setting.seed,
        "precision": setting.precision,
        "seconds": outcome.seconds / outcome.students + outcome.cache_seconds / outcome.shared_by,
        "cache_seconds": outcome.cache_seconds,
        "load_seconds": clock.load_seconds,
        "peak_mb": clock.peak_mb,
        "score": outcome.score,
        **outcome.more,
    }
    out.write_text(json.dumps(result), encoding="utf-8")


def load(setting: Setting) -> tuple[Rows, Any]:
    """The training rows and the frozen teacher."""
    teacher = load_model(setting.teacher).eval().requires_grad_(False)
    return Rows.read(setting, "train"), teacher


MaterialsT = TypeVar("MaterialsT")


def peer(
    load: Callable[[Setting], MaterialsT],
    ready: Callable[[MaterialsT, Setting, Any, int], Callable[[], None]],
    cache: Callable[[MaterialsT, Setting], None] | None = None,
) -> Callable[[Setting, Clock], Outcome]:
    """Return the `train` of a peer's arm.

    `load` reads what all students share, `cache` adds the teacher's outputs to it, and `ready` sets
    up a student's training of so many steps and returns the function that runs it. Alone, a student
    is timed after a warm-up and without loading. In a whole sweep every student is loaded, trained
    and evaluated, one after another in one process, and all of it is timed, the imports included.
    """

    def alone(setting: Setting, clock: Clock) -> Outcome:
        materials, student = load(setting), load_model(setting.student)
        clock.loaded()
        cache_seconds = 0.0
        if cache:
            began = time.perf_counter()
            cache(materials, setting)
            cache_seconds = time.perf_counter() - began
        ready(materials, setting, load_model(setting.student), WARM_STEPS)()
        torch.manual_seed(setting.seed)
        run = ready(materials, setting, student, setting.steps)
        clock.start()
        run()
        clock.stop()
        shared_by = setting.share if cache else 1
        return Outcome(1, clock.seconds, accuracy(student, setting), cache_seconds, shared_by)

    def whole(setting: Setting, clock: Clock) -> Outcome:
        materials = load(setting)
        clock.loaded()
        if cache:
            cache(materials, setting)
        scores = []
        for layer_map, seed in setting.sweep_students:
            each = replace(setting, layer_map=layer_map, seed=seed)
            student = load_model(setting.student)
            torch.manual_seed(seed)
            ready(materials, each, student, each.steps)()
            scores.append(accuracy(student, each))
        clock.stop()
        return Outcome(len(scores), clock.alive(), more={"scores": scores})

    return lambda setting, clock: (whole if setting.whole_sweep else alone)(setting, clock)


def autocast(setting: Setting) -> torch.autocast:
    """Autocast to bf16 where the setting asks for it; else no change."""
    return torch.autocast("cpu", torch.bfloat16, enabled=setting.precision == "bf16")


def load_model(folder: str) -> Any:
    """A classifier in fp32 from a local folder."""
    from transformers import AutoModelForSequenceClassification
    from transformers.utils import logging

    logging.disable_progress_bar()
    return AutoModelForSequenceClassification.from_pretrained(
        folder, local_files_only=True, dtype=torch.float32
    )


def accuracy(model: nn.Module, setting: Setting) -> float:
    """Test accuracy in percent; the same rows and the same code for every arm."""
    rows = Rows.read(setting, "test")
    order = np.argsort(rows.lengths, kind="stable")
    correct = 0
    model.eval()
    with torch.no_grad(), autocast(setting):
        for start in range(0, len(order), EVAL_BATCH):
            batch = rows.collate([rows[i] for i in order[start : start + EVAL_BATCH]])
            labels = batch.pop("labels")
            correct += int((model(**batch).logits.argmax(-1) == labels).sum())
    return 100 * correct / len(rows)


def epochs(make: Callable[[], Iterable[Any]], steps: int) -> Iterator[Any]:
    """The first `steps` batches of one epoch after another."""
    count = 0
    while True:
        for batch in make():
            if count == steps:
                return
            count += 1
            yield batch


def decayed(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups: biases and norms are not decayed."""
    return [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]


def optimizer(model: nn.Module, setting: Setting) -> torch.optim.Optimizer:
    """AdamW as `transformers.Trainer` sets it up."""
    groups = decayed(model, setting.weight_decay)
    return torch.optim.AdamW(groups, lr=setting.lr, fused=True)


def losses(
    student: Any, teacher: Any, mask_BT: Tensor, labels_B: Tensor, layer_map: tuple[int, ...]
) -> Tensor:
    """CE + KL + hidden, the sweep file's default losses, from two outputs with all hidden states.

    Hidden states are compared after a layer norm, over valid tokens, mean over the pairs.
    """
    ce = F.cross_entropy(student.logits, labels_B)
    kl = F.kl_div(
        F.log_softmax(student.logits, -1), F.softmax(teacher.logits, -1), reduction="batchmean"
    )
    pairs = enumerate(layer_map, 1)
    hidden = [
        normalized_mse(student.hidden_states[s], teacher.hidden_states[t], mask_BT)
        for s, t in pairs
    ]
    return ce + kl + torch.stack(hidden).mean()


def normalized_mse(student_BTD: Tensor, teacher_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    width = student_BTD.shape[-1:]
    difference = F.layer_norm(student_BTD, width) - F.layer_norm(teacher_BTD, width)
    squared_BT = difference.square().mean(-1)
    return (squared_BT * mask_BT).sum() / mask_BT.sum()
