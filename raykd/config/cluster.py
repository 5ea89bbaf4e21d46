"""The sections of a sweep file for the resources of a cohort and for the tracking of results."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from raykd.config.design import Positive
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
