"""Measures rates in separate processes, which import the training code."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from statistics import fmean
from threading import Barrier
from typing import Any

import psutil

from raykd.planning.estimate.rates import MEANS, Rates, TeacherRates, TimingRequest


def measure_students(request: TimingRequest, neighbours: int) -> Rates:
    """Return the mean rates of `neighbours` processes that run at once, as jobs do."""
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(neighbours)
    with ProcessPoolExecutor(neighbours, context, _set_gate, (gate,)) as pool:
        rates = list(pool.map(_student, [request] * neighbours))
    means: dict[str, Any] = {k: fmean(getattr(r, k) for r in rates) for k in MEANS}
    return replace(
        rates[0], **means, low=min(r.low for r in rates), high=max(r.high for r in rates)
    )


def measure_teacher(request: TimingRequest) -> TeacherRates:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(_teacher, request).result()


def alone(request: TimingRequest) -> Rates:
    """Return the rates of students, measured in this process: a worker of a cluster."""
    start = time.time()
    from raykd.planning.estimate import calibrate

    return calibrate.student(request, start, lambda: None)


def teacher_alone(request: TimingRequest) -> TeacherRates:
    """Return the rates of a teacher, measured in this process."""
    start = time.time()
    from raykd.planning.estimate import calibrate

    return calibrate.teacher(request, start)


_gate: Barrier


def _set_gate(gate: Barrier) -> None:
    global _gate
    _gate = gate


def _student(request: TimingRequest) -> Rates:
    from raykd.planning.estimate import calibrate

    try:
        return calibrate.student(request, psutil.Process().create_time(), _gate.wait)
    except BaseException:
        _gate.abort()  # otherwise the neighbours would wait forever
        raise


def _teacher(request: TimingRequest) -> TeacherRates:
    from raykd.planning.estimate import calibrate

    return calibrate.teacher(request, psutil.Process().create_time())
