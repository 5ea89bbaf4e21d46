"""Measures rates in processes of their own: what trains is imported there."""

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


def measure_students(order: TimingRequest, neighbours: int) -> Rates:
    """So many processes side by side, as jobs will be."""
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(neighbours)
    with ProcessPoolExecutor(neighbours, context, _stand_at, (gate,)) as pool:
        found = list(pool.map(_student, [order] * neighbours))
    means: dict[str, Any] = {k: fmean(getattr(r, k) for r in found) for k in MEANS}
    return replace(
        found[0], **means, low=min(r.low for r in found), high=max(r.high for r in found)
    )


def measure_teacher(order: TimingRequest) -> TeacherRates:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(_teacher, order).result()


def alone(order: TimingRequest) -> Rates:
    """In this process, a worker of a cluster's."""
    began = time.time()
    from raykd.planning.estimate import calibrate

    return calibrate.student(order, began, lambda: None)


def teacher_alone(order: TimingRequest) -> TeacherRates:
    """As `alone`."""
    began = time.time()
    from raykd.planning.estimate import calibrate

    return calibrate.teacher(order, began)


_gate: Barrier


def _stand_at(gate: Barrier) -> None:
    global _gate
    _gate = gate


def _student(order: TimingRequest) -> Rates:
    from raykd.planning.estimate import calibrate

    try:
        return calibrate.student(order, psutil.Process().create_time(), _gate.wait)
    except BaseException:
        _gate.abort()  # the neighbours would wait for ever
        raise


def _teacher(order: TimingRequest) -> TeacherRates:
    from raykd.planning.estimate import calibrate

    return calibrate.teacher(order, psutil.Process().create_time())
