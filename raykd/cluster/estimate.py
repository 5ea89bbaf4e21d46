"""Estimates the cost of a launch on its machines, from measurements if they are worth their
time."""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from raykd.cluster.ray_init import one_line
from raykd.cluster.ray_session import here, joined
from raykd.errors import first_line
from raykd.planning.estimate import rates
from raykd.planning.estimate.estimate import Estimate, estimate
from raykd.planning.estimate.measure import (
    alone,
    measure_students,
    measure_teacher,
    teacher_alone,
)
from raykd.planning.estimate.rates import Rates, TeacherRates, TimingRequest
from raykd.planning.estimate.simulate import Around
from raykd.planning.memory.footprint import RUNTIME_BYTES
from raykd.planning.plan import Plan
from raykd.planning.teacher_source import cache_root
from raykd.runtime import memory
from raykd.sweep.resources import Node, Share, share, this_machine
from raykd.sweep.state import SweepState
from raykd.teachers import teacher

logger = logging.getLogger(__name__)

Place = Literal["here", "joined", "to come"]
"""This machine; a joined cluster; nodes that an autoscaler has yet to start."""

WORTH_SECONDS = 180.0  # measuring takes about ten seconds, a few percent of this
NEIGHBOURS = 2  # processes measured in parallel; more would add little
STORED = 0.8  # share of the expected bytes, which are computed from mean row lengths


def plan(state: SweepState, address: str | None) -> Estimate:
    """Return the estimate for `raykd plan --cluster`: on the cluster at the address, on the nodes
    that the file says will be added, or on this machine. Rates are measured if a machine is
    available."""
    study, cluster = state.study, state.study.config.cluster
    if address is not None:
        with joined(study, address) as fitted:
            return foresee(state.on(fitted), "joined", measure=True)
    if cluster.grows is not None:
        nodes = [Node(cluster.grows.cpus, cluster.grows.gpus)] * cluster.grows.nodes
        fitted = share(cluster, nodes, cluster.grows.slots, study.file)
        return foresee(state.on(fitted), "to come", measure=True)
    # Where nothing is missing, there is nothing to time.
    return foresee(state.on(here(state)), "here", measure=bool(state.missing))


def foresee(state: SweepState, place: Place, measure: bool = False) -> Estimate:
    """Return the cost of the missing trials. Rates that are not stored are measured if `measure` is
    set, or if a rough estimate is so long that measuring adds little."""
    study, sweep_plan, fitted = state.study, state.plan, state.share
    ready = teacher.stored(study.home, study.teacher)
    around = Around(fitted.workers, fitted.gpus, _is_stored(sweep_plan))
    scene = Scene(sweep_plan, fitted, place, _kind(place, fitted))
    folder = ready.folder if ready else None

    def guess(measuring: bool) -> Estimate:
        students, note = scene.students(folder, measuring)
        teacher_rates, teacher_note = (None, "") if ready else scene.teacher(measuring)
        device, price = scene.device, study.config.budget.price
        return estimate(
            sweep_plan, around, students, teacher_rates, device, price, note or teacher_note
        )

    first = guess(False)
    worth = measure or first.total.seconds.likely > WORTH_SECONDS
    return guess(True) if worth and not first.measured else first


@dataclass(frozen=True)
class Scene:
    """A plan on its machines. Rates come with a note that says why they are rough, if they are."""

    plan: Plan
    share: Share
    place: Place
    device: str

    def students(self, folder: Path | None, measure: bool) -> tuple[Rates, str]:
        """Return the students' rates and the note."""
        plan, fitted = self.plan, self.share
        request = rates.student_request(plan, folder, fitted.workers, fitted.cpus)
        processes = 1 if fitted.gpus or self.place != "here" else min(NEIGHBOURS, fitted.at_once)
        if stored := rates.known(plan.study.home, request, self.device, processes):
            return Rates(**stored), ""
        note = (
            self._obstacle(request, 1, processes)
            if measure
            else "measured by `raykd plan --cluster`"
        )
        if note:
            return rates.rough_rates(plan), note
        logger.info("timing the training of students, about ten seconds")
        try:
            student_rates: Rates = (
                measure_students(request, processes)
                if self.place == "here"
                else self._on_node(alone, request)
            )
        except (RuntimeError, MemoryError) as error:  # from torch, or a killed process
            return rates.rough_rates(plan), f"not measured: {first_line(error)}"
        rates.keep(plan.study.home, request, self.device, processes, student_rates)
        return student_rates, ""

    def teacher(self, measure: bool) -> tuple[TeacherRates, str]:
        """Return the teacher's rates and the note. On a cluster, one worker of a job trains the
        teacher; on this machine, the teacher gets all of it."""
        plan, fitted, device = self.plan, self.share, self.device
        if self.place == "here":
            node = this_machine()
            fitted = Share(1, int(node.cpus), node.gpus, 1)
            device = _kind("here", fitted)
        request = rates.teacher_request(plan, fitted.cpus, bool(fitted.gpus))
        if stored := rates.known(plan.study.home, request, device, 1):
            return TeacherRates(**stored), ""
        rough = rates.rough_teacher_rates(plan, fitted.cpus, bool(fitted.gpus))
        note = self._obstacle(request, 5, 1) if measure else "measured by `raykd plan --cluster`"
        if note:
            return rough, note
        logger.info("timing the training of the teacher")
        try:
            teacher_rates: TeacherRates = (
                measure_teacher(request)
                if self.place == "here"
                else self._on_node(teacher_alone, request)
            )
        except (RuntimeError, MemoryError) as error:
            return rough, f"not measured: {first_line(error)}"
        rates.keep(plan.study.home, request, device, 1, teacher_rates)
        return teacher_rates, ""

    def _on_node(self, measure: Callable[[TimingRequest], Any], request: TimingRequest) -> Any:
        """Measure on a node of the cluster. Raises RuntimeError if the node is lost or the
        measurement fails."""
        import ray

        task = ray.remote(measure).options(num_cpus=request.threads, num_gpus=self.share.gpus)
        try:
            return ray.get(task.remote(request))
        except ray.exceptions.RayError as error:
            raise RuntimeError(one_line(error)) from error

    def _obstacle(self, request: TimingRequest, copies: int, processes: int) -> str:
        """Return why nothing can be measured now; empty if it can."""
        if self.place == "to come":
            return "its nodes are not up: `raykd plan --cluster --address` measures on one that is"
        if self.place == "here":
            return self._too_large(copies, processes)
        import ray

        free = ray.available_resources()
        if free.get("CPU", 0) < request.threads or free.get("GPU", 0) < self.share.gpus:
            return "no node of the cluster is up and free to measure on"
        return ""

    def _too_large(self, copies: int, processes: int) -> str:
        """Return a reason if the memory does not hold, in each process, `copies` of the teacher's
        weights and a student in training; else an empty string."""
        study = self.plan.study
        teacher_weights = copies * study.teacher_parameters
        needed = 4 * (teacher_weights + 5 * study.student_parameters) + RUNTIME_BYTES
        fits = processes * needed < memory.available() or self.share.gpus
        return "" if fits else "this machine has not the memory to measure"


def _kind(place: Place, fitted: Share) -> str:
    """Return a name for the kind of device that the jobs compute on, the key under which rates are
    stored."""
    if place == "joined":
        import ray

        kinds = (k for k in ray.cluster_resources() if k.startswith("accelerator_type:"))
        kind = next(iter(sorted(kinds)), "accelerator_type:unknown").partition(":")[2]
        return f"GPU {kind}" if fitted.gpus else f"{fitted.cpus} cores of the cluster"
    if place == "to come":
        return "GPU" if fitted.gpus else f"{fitted.cpus} cores"
    if not fitted.gpus:
        return f"{fitted.cpus} cores of {platform.processor() or platform.machine()}"
    import torch

    return f"GPU {torch.cuda.get_device_name()}"


def _is_stored(plan: Plan) -> bool:
    """Return whether a local cache holds the teacher's outputs already."""
    root, choice = cache_root(plan.study), plan.choice()
    for manifest in [] if "://" in root else Path(root).glob("*/manifest.json"):
        fingerprint = json.loads(manifest.read_text(encoding="utf-8")).get("teacher")
        size = sum(f.stat().st_size for f in manifest.parent.glob("*.safetensors"))
        if fingerprint == plan.study.teacher and size > STORED * choice.bytes:
            return True
    return False
