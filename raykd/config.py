"""The sweep file: pydantic models of its keys.

Few keys are needed: a name, data, a teacher, a student depth. Every default is what a
practitioner would choose. `load` answers every mistake with file, key, value and what to write.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from raykd import sweepfile
from raykd.errors import UserError
from raykd.layermap import STRATEGIES
from raykd.sweepfile import Compound, Model, Plain, by

Positive = Annotated[int, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]


class Task(Model):
    """What is learned, and from which rows."""

    kind: Literal["classification"] = "classification"
    data: str = Field(
        examples=["movie-reviews"],
        description="`movie-reviews`, a CSV/TSV/JSONL/Parquet path, or a hub name",
    )
    revision: str | None = Field(None, description="a hub data set's revision (commit or tag)")
    subset: str | None = Field(None, description="a hub data set's configuration name")
    text: Annotated[Annotated[str, Plain] | Annotated[tuple[str, ...], Compound], by(tuple)] = (
        Field("text", description="one text column, or two for pairs")
    )
    label: str = "label"
    split: str | None = Field(None, description="a column holding train / select / test")
    select_share: float = Field(0.1, gt=0, lt=1, description="share of rows split off by hash")
    test_share: float = Field(0.2, gt=0, lt=1, description="share of rows split off by hash")
    rows: Positive | None = Field(None, description="train on at most so many rows")
    max_length: Positive = Field(128, description="tokens; longer texts are cut")
    metric: Literal["accuracy", "f1", "macro_f1", "matthews"] = "accuracy"

    @field_validator("text")
    @classmethod
    def _one_or_two(cls, text: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not isinstance(text, str) and len(text) not in (1, 2):
            raise ValueError("name one text column, or two for a pair of texts")
        return text

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.text,) if isinstance(self.text, str) else self.text


class Teacher(Model):
    """The model that is imitated, and how it is fine-tuned once."""

    model: str = Field(
        examples=["minilm"], description="`minilm`, `mpnet`, a model folder, or a hub name"
    )
    revision: str | None = None
    fine_tune: bool = Field(True, description="false: the model is fine-tuned already")
    epochs: float = Field(2.0, gt=0)
    batch: Positive = 32
    lr: float = Field(5e-5, gt=0)
    warmup: float = Field(0.1, ge=0, lt=1)
    weight_decay: Weight = 0.01
    seed: int = 0
    allow_weak: bool = Field(False, description="go on with a teacher no better than the majority")


class Student(Model):
    """The student's size; what is not stated is as the teacher has it."""

    blocks: Positive = Field(examples=[3])
    width: Positive | None = None
    heads: Positive | None = None
    intermediate: Positive | None = None


class CopiedInit(Model):
    """Weights copied from teacher blocks, by an init map of its own."""

    copied: Annotated[
        Annotated[Literal["forward", "reverse"], Plain] | Annotated[tuple[Positive, ...], Compound],
        by(tuple),
    ] = "forward"
    head: bool = Field(True, description="start from the teacher's classifier head too")


Init = Annotated[
    Annotated[Literal["copied", "random"], Plain] | Annotated[CopiedInit, Compound],
    by(CopiedInit),
]


class Losses(Model):
    """loss = ce * CE + kl * KL(teacher || student) + hidden * hidden loss."""

    ce: Weight = 1.0
    kl: Weight = 1.0
    hidden: Weight = 1.0
    temperature: float = Field(1.0, gt=0)
    kind: Literal["mse", "normalized_mse", "cosine", "paper"] = "normalized_mse"
    embedding: bool | None = Field(
        None, description="match the embedding outputs too; by default only under `kind: paper`"
    )


class States(Model):
    """Where students get the teacher's outputs: from the teacher at each step, or from a store
    that it fills once."""

    source: Literal["auto", "live", "cached"] = Field("auto", description="auto: the cheaper")
    half: Literal["auto", "float16", "bfloat16"] = Field("auto", description="how states are kept")
    cache: str | None = Field(
        None, description="a folder or fsspec address that all nodes see; default: in the storage"
    )
    limit_gb: float = Field(50.0, gt=0, description="of the store; what was unused longest goes")


class Training(Model):
    """One student's training. `steps` wins over `epochs` where both could count."""

    epochs: float | None = Field(None, gt=0)
    steps: Positive | None = None
    batch: Positive = Field(32, description="the global batch, split over the workers")
    lr: float = Field(1e-4, gt=0)
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps")
    weight_decay: Weight = 0.01
    clip: float = Field(1.0, gt=0)
    evaluations: Positive = Field(4, description="evaluations on select; the best is kept")
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    diverged: float = Field(1e4, gt=0, description="a training loss above this is a divergence")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("`epochs` and `steps` both stand here; leave one out")
        return self


class Explore(Model):
    """A search over maps by an optimiser; its results are selected, so never tested."""

    maps: Positive = Field(examples=[20], description="how many distinct maps to try")
    space: Literal["any", "in_order"] = "any"
    skip: bool = Field(False, description="a student block may also stay unmatched")
    sampler: Literal["tpe", "random", "brute_force", "cma_es", "gp"] = "tpe"
    seed: int = Field(1000, description="of the sampler and of the explored students")
    init: Init = "copied"
    fidelity: float = Field(1.0, gt=0, le=1, description="share of the full training's steps")


StrategyName = Literal[
    "none", "forward", "reverse", "all_to_one", "random", "in_order_random", "uniform_random",
    "last", "single", "custom",
]  # fmt: skip


class Strategy(Model):
    """A strategy with its options; a bare name stands for the strategy with none."""

    strategy: StrategyName = Field(examples=["forward"])
    name: str | None = Field(None, description="its name in the table, if not the strategy's own")
    map: tuple[Positive | None, ...] | None = Field(None, description="for `custom`")
    block: Positive | None = Field(None, description="teacher block, for all_to_one and single")
    student_block: Positive | None = Field(None, description="for single")
    exclude_identity: bool | None = Field(None, description="for random; default true")

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        allowed = {
            "custom": {"map"},
            "all_to_one": {"block"},
            "single": {"block", "student_block"},
            "random": {"exclude_identity"},
        }.get(self.strategy, set())
        stated = {k for k in ("map", "block", "student_block", "exclude_identity")
                  if getattr(self, k) is not None}  # fmt: skip
        if extra := sorted(stated - allowed):
            raise ValueError(f"`{extra[0]}` is not an option of {self.strategy}; leave it out")
        if self.strategy == "custom" and not self.map:
            raise ValueError("a custom strategy needs its `map`, for example [4, 8, 12]")
        if re.fullmatch(r"best_\d+", self.label):
            raise ValueError(f"{self.label} is the name of an explored map; write another")
        return self

    @property
    def label(self) -> str:
        return self.name or self.strategy


class Confirm(Model):
    """The fixed, replicated, full-length design; the only input of the verdict."""

    strategies: tuple[Strategy, ...] = tuple(
        Strategy(strategy=s) for s in ("none", "forward", "reverse", "all_to_one", "random")
    )
    inits: tuple[Init, ...] = ("copied",)
    seeds: Annotated[
        Annotated[Positive, Plain] | Annotated[tuple[int, ...], Compound], by(tuple)
    ] = Field(5, description="how many, or which")
    best: int = Field(1, ge=0, description="the best explored maps, confirmed under these seeds")

    @field_validator("strategies", mode="before")
    @classmethod
    def _bare_names(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return [{"strategy": v} if isinstance(v, str) else v for v in value]

    @field_validator("strategies", "inits", "seeds")
    @classmethod
    def _some_and_distinct(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, int):
            return value
        if not value:
            raise ValueError("[] is empty; name at least one")
        names = [v.label if isinstance(v, Strategy) else v for v in value]
        if twice := [n for n in names if names.count(n) > 1]:
            other = " or give one a `name`" if info.field_name == "strategies" else ""
            raise ValueError(f"{twice[0]} stands twice; leave one out{other}")
        return value

    @property
    def seed_list(self) -> tuple[int, ...]:
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds


class Cluster(Model):
    """What each cohort may use."""

    workers: Positive = Field(1, description="data-parallel workers of a cohort")
    cpus_per_worker: Positive | None = Field(None, description="default: the cores, shared out")
    gpus_per_worker: float | None = Field(None, ge=0, description="default: 1 where there are any")
    cohort: Positive | None = Field(None, description="students per cohort; default: by memory")
    storage: str | None = Field(None, description="checkpoints, teacher and data; all nodes see it")
    retries: int = Field(2, ge=0, description="how often a cohort may lose a worker or its driver")
    checkpoint_seconds: float = Field(120.0, ge=0, description="at evaluations this far apart")


class Tracking(Model):
    uri: str | None = Field(None, description="default: sqlite:///mlflow.db where raykd is run")
    students: Literal["none", "first_seed", "all"] = Field(
        "first_seed", description="which confirmed students are stored, ready for export"
    )


class SweepConfig(Model):
    """A sweep file."""

    name: str = Field(examples=["first"], pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$")
    task: Task
    teacher: Teacher
    student: Student
    losses: Losses = Losses()
    states: States = States()
    training: Training = Training()
    explore: Explore | None = None
    confirm: Confirm | None = Confirm()
    margin: float = Field(1.0, gt=0, description="the difference that matters, in metric units")
    alpha: float = Field(0.05, gt=0, lt=0.5)
    cluster: Cluster = Cluster()
    tracking: Tracking = Tracking()

    @model_validator(mode="after")
    def _phases(self) -> Self:
        if self.explore is None and self.confirm is None:
            raise ValueError("nothing to run; write `explore`, `confirm` or both")
        if self.explore and self.confirm and self.explore.seed in self.confirm.seed_list:
            raise ValueError(
                f"explore.seed: {self.explore.seed} is also a confirm seed; write another, so that "
                "maps found by explore are confirmed under fresh seeds"
            )
        return self


def load(path: str | Path) -> SweepConfig:
    """Read and validate a sweep file. Raises UserError with a line for each mistake."""
    file = Path(path)
    data = sweepfile.read(file)
    try:
        return SweepConfig.model_validate(data)
    except ValidationError as error:
        raise UserError(*sweepfile.explain(file, error, SweepConfig)) from None


def strategy_options(strategy: Strategy) -> dict[str, Any]:
    """The keyword options of a named strategy's rule, as stated in the file."""
    names = ("block", "student_block", "exclude_identity")
    return {n: getattr(strategy, n) for n in names if getattr(strategy, n) is not None}


assert set(StrategyName.__args__) == {*STRATEGIES, "custom"}  # type: ignore[attr-defined]
