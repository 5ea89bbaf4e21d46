"""The sweep file: pydantic models of its keys.

Few keys are needed: a name, data, a teacher, a student depth. Every default is what a
practitioner would choose. `load` answers every mistake with file, key, value and what to write.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from raykd.config import schedule, variants, versions, yaml_file
from raykd.config.budget import Budget
from raykd.config.claims import Claim, claim_conflicts
from raykd.config.cluster import Cluster, Tracking
from raykd.config.design import Confirm
from raykd.config.explore import Explore
from raykd.config.task import TaskConfig
from raykd.config.training import (
    Losses,
    States,
    Student,
    Teacher,
    Training,
)
from raykd.config.value_types import Positive
from raykd.config.yaml_file import Compound, Model, Plain, by
from raykd.errors import UserError
from raykd.losses.hidden.registry import hidden_loss
from raykd.runtime.plugins import import_plugins


class Angles(Model):
    """The angles between teacher blocks, seen from the students, at every evaluation."""

    rows: Positive = Field(256, description="rows of the select split to look at")


class Labels(Model):
    """Training labels that are made wrong on purpose; select and test keep theirs."""

    noise: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="classification: share of training labels that are replaced by another one, "
        "drawn at random; the teacher is fine-tuned on them too",
    )
    seed: int = Field(0, description="of the noise")


class Published(Model):
    """Scores that someone published, to stand beside this sweep's in its verdict and report."""

    table: str = Field(
        examples=["scores.csv"], description="a CSV or Parquet table, its path from this file's"
    )
    task: str = Field(examples=["SST-2"], description="which of its tasks this sweep repeats")


class EndpointMargins(Model):
    """The differences that matter in secondary endpoints. They decide no hypothesis."""

    nll: float | None = Field(None, gt=0, examples=[0.05], description="in nats")
    brier: float | None = Field(None, gt=0, lt=2, examples=[0.01], description="of 0 to 2")
    agreement: float | None = Field(
        None, gt=0, lt=100, examples=[2.0], description="with the teacher, in points"
    )

    @property
    def stated(self) -> dict[str, float]:
        return self.model_dump(exclude_none=True)


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$")]


class Versioned(Model):
    """The key that says how the others are to be read."""

    version: int = Field(
        versions.SWEEP_FILE,
        ge=1,
        json_schema_extra={"maximum": versions.SWEEP_FILE},
        description="of the sweep file's format",
    )

    @field_validator("version")
    @classmethod
    def _readable(cls, version: int) -> int:
        if version > versions.SWEEP_FILE:
            raise ValueError(versions.too_new(str(version), versions.SWEEP_FILE))
        return version


class SweepConfig(Versioned):
    """A sweep file."""

    variant: str = Field(
        "clean", description="clean: the file as it stands; else one of `variants`, over it"
    )
    variants: dict[Name, dict[Any, Any]] | None = Field(
        None,
        examples=[{"as_released": {"losses": {"kind": "paper"}}}],
        description="parts of a sweep file by name, each over the rest: mappings are merged key by "
        "key, all else is replaced",
    )
    plugins: tuple[str, ...] = Field(
        (),
        examples=[["my_losses.py"]],
        description="Python files that register strategies, hidden losses, tasks or metrics; paths "
        "from this file's folder",
    )
    name: Name = Field(examples=["first"])
    task: TaskConfig
    teacher: Teacher
    student: Student
    labels: Labels = Labels()
    losses: Losses = Losses()
    states: States = States()
    training: Training = Training()
    explore: Explore | None = None
    confirm: Confirm | None = Confirm()
    margin: float = Field(1.0, gt=0, description="the difference that matters, in metric units")
    endpoint_margins: EndpointMargins = EndpointMargins()
    alpha: float = Field(0.05, gt=0, lt=0.5)
    claims: tuple[Claim, ...] = Field(
        (),
        examples=[[{"better": "last", "than": "forward", "by": 0}]],
        description="questions of your own, stated before the sweep and judged with H1 to H6",
    )
    agreement_margin: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="H6: how alike the pull towards two teacher blocks must be, from 0 (unrelated) "
        "to 1 (the same)",
    )
    angles: Annotated[
        Annotated[bool, Plain] | Annotated[Angles, Compound],
        by(Angles),
    ] = Field(False, description="measure angles during training, at evaluations")
    published: Published | None = None
    cluster: Cluster = Cluster()
    budget: Budget = Budget()
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
        if problem := next(conflicts(self), None):
            raise ValueError(problem)
        return self

    @property
    def angle_rows(self) -> int | None:
        """Rows to look at during training; None where the file does not ask."""
        if isinstance(self.angles, Angles):
            return self.angles.rows
        return Angles().rows if self.angles else None


def load(path: str | Path) -> SweepConfig:
    """Read and validate a sweep file, in the variant that it asks for. Raises UserError with a line
    for each mistake in any variant."""
    file = Path(path)
    content = yaml_file.read(file)
    _check_version(file, content)  # first: a newer file may have keys that are unknown here
    plugins = content.get("plugins")
    if isinstance(plugins, list) and all(isinstance(name, str) for name in plugins):
        import_plugins(plugins, file)  # before the rest: what they register is valid in the file
    return variants.chosen(file, content, SweepConfig)


def _check_version(file: Path, content: dict[str, Any]) -> None:
    try:
        Versioned.model_validate({k: v for k, v in content.items() if k in Versioned.model_fields})
    except ValidationError as error:
        problems = yaml_file.explain(error, Versioned)
        raise UserError(*(yaml_file.line(file, problem) for problem in problems)) from None


SMOKE = {"steps": 4, "rows": 256, "seeds": 1, "maps": 2}


def smoke_config(config: SweepConfig) -> SweepConfig:
    """The same path with minimal steps, under a name of its own."""
    steps, rows = SMOKE["steps"], SMOKE["rows"]
    update: dict[str, Any] = {
        "name": f"{config.name}-smoke",
        "task": config.task.model_copy(update={"rows": rows}),
        "teacher": config.teacher.model_copy(update={"epochs": 0.5, "allow_weak": True}),
        "training": config.training.model_copy(
            update={"steps": max(steps, _stages(config)), "epochs": None, "evaluations": 1}
        ),
    }
    if config.explore:
        maps = min(config.explore.maps, SMOKE["maps"])
        update["explore"] = config.explore.model_copy(update={"maps": maps})
    if config.confirm:
        seeds = config.confirm.seed_list[: SMOKE["seeds"]]
        update["confirm"] = config.confirm.model_copy(
            update={"seeds": seeds, "looks": None, "extend": False}
        )
    return config.model_copy(update=update)


def _stages(config: SweepConfig) -> int:
    """Return the most stages of a schedule of the file; each has a step at least."""
    named = (config.confirm.schedules if config.confirm else None) or {}
    return max(map(len, (config.losses.schedule or (), *named.values())))


def needs_live(config: SweepConfig) -> str | None:
    """Why no store can feed the students; None where one can."""
    if config.teacher.dropout:
        return "the teacher's dropout is on (teacher.dropout), so it says something else each time"
    if hidden_loss(config.losses.kind).padded:
        return f"{config.losses.kind} (losses.kind) looks at padding, which is not stored"
    return None


def conflicts(config: SweepConfig) -> Iterator[str]:
    """Keys that do not go together, each with what is wrong and what to write."""
    if config.states.source == "cached" and (why := needs_live(config)):
        yield f"states.source: cached, and {why}; write live"
    if config.endpoint_margins.stated and config.task.writes is not None:
        yield "endpoint_margins: answers are texts here, without probabilities; leave it out"
    yield from _schedule_conflicts(config)
    yield from claim_conflicts(config.claims, config.confirm, config.explore)
    if config.labels.noise and not config.task.of_kind.classes:
        yield (
            f"labels.noise: {config.labels.noise:g}, and `task.kind: {config.task.kind}` has no "
            "classes; leave it out"
        )
    kind = config.losses.kind
    loss = hidden_loss(kind)
    workers, micro = config.cluster.workers, config.cluster.micro_batch
    if config.explore and config.explore.weights and loss.form == "blocks":
        yield (
            f"explore.weights: {kind} (losses.kind) compares all matched blocks together, so pairs "
            "have no weights; leave it out, or take a loss of pairs such as normalized_mse"
        )
    whole = "a whole padded batch" if loss.padded else "a whole batch"
    if micro is not None and not loss.divisible:
        yield f"cluster.micro_batch: {micro}, and {kind} is of {whole}; leave it out"
    if problem := too_few_examples(config, kind):
        yield problem
    if not loss.padded:
        return
    if workers > 1:
        yield f"cluster.workers: {workers}, and {kind} is of {whole}; write 1"
    controls = config.confirm.controls if config.confirm else ()
    if controls:
        yield (
            f"losses.kind: {kind} looks at padding, and a control ({controls[0]}) has targets for "
            "tokens alone; write another kind, or leave the controls out"
        )


def _schedule_conflicts(config: SweepConfig) -> Iterator[str]:
    losses, confirm = config.losses, config.confirm
    kinds = {"losses.kind": losses.kind, **(confirm.own_losses if confirm else {})}
    return schedule.conflicts(
        losses.schedule, (confirm.schedules if confirm else None) or {},
        (losses.ce, losses.kl, losses.hidden),
        crossed=confirm is not None and confirm.hidden_weights is not None,
        whole=[name for name, kind in kinds.items() if hidden_loss(kind).form == "blocks"],
    )  # fmt: skip


def too_few_examples(config: SweepConfig, kind: str) -> str | None:
    """A line if a batch may have fewer examples than a hidden loss compares with each other."""
    training = config.training
    least = hidden_loss(kind).least_examples
    if least == 1:
        return None
    compares = f"{kind} compares the examples of a batch with each other"
    if training.batch_tokens is None:
        if training.batch >= least:
            return None
        return f"training.batch: {training.batch}, and {compares}; write {least} or more"
    longest = config.task.max_length
    if training.batch_tokens >= least * longest:
        return None
    return (
        f"training.batch_tokens: {training.batch_tokens}, and {compares}; write {least * longest} "
        f"or more, which holds {least} texts of {longest} tokens (task.max_length)"
    )
