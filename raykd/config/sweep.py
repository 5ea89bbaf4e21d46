"""The sweep file: pydantic models of its keys.

Few keys are needed: a name, data, a teacher, a student depth. Every default is what a
practitioner would choose. `load` answers every mistake with file, key, value and what to write.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from raykd.config import live_only, variants, yaml_file
from raykd.config.budget import Budget
from raykd.config.design import Confirm, Explore, Positive
from raykd.config.task import Files as Files
from raykd.config.task import Task as Task
from raykd.config.yaml_file import Compound, Model, Number, Plain, Word, by, by_halves, by_word
from raykd.maps.published import LossKind
from raykd.training.early_stopping import MOST_EPOCHS, PATIENCE, WARMED

Weight = Annotated[float, Field(ge=0)]


class Lora(Model):
    """Low-rank adapters in place of full fine-tuning; merged into the model when it is stored."""

    rank: Positive = 16
    alpha: float = Field(32.0, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: tuple[str, ...] | None = Field(
        None, description="names of linear layers, such as [q_proj]; default: all in the blocks"
    )


class Teacher(Model):
    """The model that is imitated, and how it is fine-tuned once."""

    model: str = Field(
        examples=["minilm"],
        description="`minilm`, `mpnet`, `smollm2`, a model folder, or a hub name",
    )
    revision: str | None = None
    fine_tune: bool = Field(True, description="false: the model is fine-tuned already")
    epochs: Annotated[
        Annotated[float, Field(gt=0), Number] | Annotated[Literal["auto"], Word], by_word
    ] = Field(
        "auto",
        description=f"auto: until its score on select stops rising, at most {MOST_EPOCHS}; it is "
        f"evaluated once an epoch, ends after {PATIENCE} evaluations without a new best, and the "
        "best is kept. A number: so many, with a rate that decays to zero",
    )
    batch: Positive = 32
    lr: float = Field(5e-5, gt=0)
    warmup: float = Field(
        0.1, ge=0, lt=1, description=f"share of the steps; under `epochs: auto` of {WARMED} epochs"
    )
    weight_decay: Weight = 0.01
    seed: int = 0
    allow_weak: bool = Field(False, description="go on with a teacher no better than the majority")
    weights: Literal["fp32", "bf16"] = Field(
        "fp32", description="how they are held while it is fine-tuned"
    )
    lora: Lora | None = Field(None, description="it is fine-tuned by adapters")
    bits: Literal[8, 4] | None = Field(
        None, description="of a weight while it is imitated; needs a CUDA GPU and bitsandbytes"
    )
    dropout: bool = Field(
        False, description="its dropout stays on while students imitate it, as in a paper's release"
    )


class Blocks(Model):
    """Of an encoder-decoder, where its stacks are not equally deep."""

    encoder: Positive = Field(examples=[3])
    decoder: Positive = Field(examples=[2])


class Student(Model):
    """The student's size; what is not stated is as the teacher has it."""

    blocks: Annotated[
        Annotated[Positive, Plain] | Annotated[Blocks, Compound], by_halves(Blocks)
    ] = Field(examples=[3], description="of each stack, where the teacher is an encoder-decoder")
    width: Positive | None = None
    heads: Positive | None = None
    intermediate: Positive | None = None
    projections: Literal["trained", "frozen"] = Field(
        "trained", description="the maps to the teacher's width, where the student's is another"
    )


class Losses(Model):
    """loss = ce * CE + kl * KL(teacher || student) + hidden * hidden loss."""

    ce: Weight = 1.0
    kl: Weight = 1.0
    hidden: Weight = 1.0
    temperature: float = Field(1.0, gt=0)
    kind: LossKind = "normalized_mse"
    embedding: bool | None = Field(
        None,
        description="match the embedding outputs too; by default only under the kinds paper, "
        "paper_bart and paper_t5",
    )


class States(Model):
    """Whether students get the teacher's outputs from it at each step, or from a store."""

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
    batch: Positive = Field(32, description="rows of the global batch, split over the workers")
    batch_tokens: Positive | None = Field(
        None, description="instead: as many rows as fit so many tokens, padding included"
    )
    lr: float = Field(1e-4, gt=0)
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps")
    weight_decay: Weight = 0.01
    clip: float = Field(1.0, gt=0)
    evaluations: Positive = Field(4, description="evaluations on select; the best is kept")
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    weights: Literal["fp32", "bf16"] = Field(
        "fp32", description="how weights of students and teacher are held in memory"
    )
    lora: Lora | None = Field(None, description="adapters in place of full fine-tuning")
    diverged: float = Field(1e4, gt=0, description="a training loss above this is a divergence")
    freeze_embeddings: bool = Field(
        False, description="the embeddings stay as they began, and a tied output layer with them"
    )

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("`epochs` and `steps` both stand here; leave one out")
        if self.batch_tokens is not None and "batch" in self.model_fields_set:
            raise ValueError("`batch` and `batch_tokens` both stand here; leave one out")
        return self


class Growth(Model):
    """What an autoscaled cluster may come to have: so many worker nodes, each with this."""

    nodes: Positive = 1
    cpus: Positive = 1
    gpus: int = Field(0, ge=0)
    slots: Positive = Field(
        16, description="jobs that its head takes at once, as its `trial_slot` says: for a plan"
    )


class Cluster(Model):
    """What each cohort may use."""

    workers: Positive = Field(1, description="data-parallel workers of a cohort")
    cpus_per_worker: Positive | None = Field(None, description="default: the cores, shared out")
    gpus_per_worker: float | None = Field(None, ge=0, description="default: 1 where there are any")
    gpu_memory_gb: float | None = Field(
        None, gt=0, description="of each GPU; default: this machine's own, else 16"
    )
    cohort: Positive | None = Field(None, description="students per cohort; default: by memory")
    micro_batch: Positive | None = Field(
        None, description="rows a worker computes at a time, where memory is short"
    )
    gradient_checkpointing: bool = Field(
        False, description="keep no states inside the students' blocks: less memory, a third slower"
    )
    compile: bool = Field(
        False, description="torch.compile of the students' blocks: a minute or two to begin with"
    )
    storage: str | None = Field(None, description="checkpoints, teacher and data; all nodes see it")
    checkpoints: str | None = Field(
        None,
        examples=["s3://bucket/raykd"],
        description="a folder that all nodes see, or an object store's address; default: in the "
        "storage",
    )
    grows: Growth | None = Field(
        None, description="an autoscaled cluster's worker nodes; default: what is up at the start"
    )
    retries: int = Field(2, ge=0, description="how often a cohort may lose a worker or its driver")
    checkpoint_seconds: float = Field(120.0, ge=0, description="at evaluations this far apart")


class Angles(Model):
    """The angles between teacher blocks, seen from the students, at every evaluation."""

    rows: Positive = Field(256, description="rows of the select split to look at")


class Published(Model):
    """Scores that someone published, to stand beside this sweep's in its verdict and report."""

    table: str = Field(
        examples=["scores.csv"], description="a CSV or Parquet table, its path from this file's"
    )
    task: str = Field(examples=["SST-2"], description="which of its tasks this sweep repeats")


class Tracking(Model):
    uri: str | None = Field(None, description="default: sqlite:///mlflow.db where raykd is run")
    students: Literal["none", "first_seed", "all"] = Field(
        "first_seed", description="which confirmed students are stored, ready for export"
    )


class Variants(Model):
    """What is otherwise in a variant: a part of a sweep file, which is laid over the rest."""

    as_released: dict[Any, Any] = Field(
        examples=[{"losses": {"kind": "paper"}}],
        description="mappings are merged key by key, all else is replaced",
    )


class SweepConfig(Model):
    """A sweep file."""

    variant: Literal["clean", "as_released"] = Field(
        "clean", description="clean: the file as it stands; else what `variants` has over it"
    )
    variants: Variants | None = None
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
        if problem := next(live_only.problems(self), None):
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
    return variants.chosen(file, yaml_file.read(file), SweepConfig)
