"""The sections of a sweep file for the resources of a cohort and for the tracking of results."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from raykd.config.value_types import Positive
from raykd.config.yaml_file import Model
from raykd.runtime.execution_settings import ExecutionSettings


class Growth(Model):
    """What an autoscaled cluster may come to have: so many worker nodes, each with this."""

    nodes: Positive = 1
    cpus: Positive = 1
    gpus: int = Field(0, ge=0)
    slots: Positive = Field(
        16, description="jobs that its head takes at once, as its `trial_slot` says: for a plan"
    )


def gpu_fault(workers: int, gpus: float | None) -> str | None:
    """Return why workers cannot have this many GPUs each; None if they can."""
    if gpus is not None and gpus > 1:
        return (
            f"{gpus:g} will not do: a worker trains on one GPU, and the others would idle; write "
            "1, and the number of GPUs that train a cohort together as cluster.workers"
        )
    if gpus and gpus < 1 and workers > 1:
        return (
            f"{gpus:g} will not do with {workers} workers: two of them would get the same GPU, "
            "which NCCL refuses; write 1, or one worker"
        )
    return None


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
    checkpoint_seconds: float | None = Field(
        None, ge=0, description="at evaluations this far apart; default: by what one costs"
    )
    checkpoint_price: float = Field(
        0.0,
        ge=0,
        examples=[0.06],
        description="of a GB written there, in the currency of budget.price, which it needs",
    )
    preemption_rate: float = Field(
        0.01, ge=0, description="machines lost in an hour, of one; for the time between checkpoints"
    )

    @field_validator("workers", mode="before")
    @classmethod
    def _workers_are_one_number(cls, value: Any) -> Any:
        if isinstance(value, dict | list | tuple):
            raise ValueError(
                "a cohort trains on a fixed number of workers, because another number in the "
                "middle of a training would change its results; write one number, such as 2"
            )
        return value

    @field_validator("gpus_per_worker")
    @classmethod
    def _one_gpu_trains_a_worker(cls, value: float | None, info: ValidationInfo) -> float | None:
        if fault := gpu_fault(info.data.get("workers", 1), value):
            raise ValueError(fault)
        return value

    @property
    def execution(self) -> ExecutionSettings:
        """Settings of how a worker computes its share of a step."""
        return ExecutionSettings(
            micro_batch=self.micro_batch, compile=self.compile,
            gradient_checkpointing=self.gradient_checkpointing,
        )  # fmt: skip


class Tracking(Model):
    uri: str | None = Field(None, description="default: sqlite:///mlflow.db where raykd is run")
    students: Literal["none", "first_seed", "all"] = Field(
        "first_seed", description="which confirmed students are stored, ready for export"
    )
