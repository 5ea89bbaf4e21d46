"""How often and how long a store is asked again that has a passing fault."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from mlflow.exceptions import RestException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    TEMPORARILY_UNAVAILABLE,
    ErrorCode,
)

from raykd.tracking import store


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.pauses = 0.0, list[float]()
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def fault(code: int, status: int) -> RestException:
    found = RestException({"error_code": ErrorCode.Name(code), "message": "the store's own words"})
    found.get_http_status_code = lambda: status
    return found


def failing(error: Exception, times: int) -> Callable[[], str]:
    errors = [error] * times

    def call() -> str:
        if errors:
            raise errors.pop()
        return "answer"

    return call


BUSY, AWAY = fault(INTERNAL_ERROR, 500), fault(TEMPORARILY_UNAVAILABLE, 503)


@pytest.mark.parametrize(
    ("error", "times", "pauses"),
    [(BUSY, 0, []), (BUSY, 4, [1, 2, 4, 8]), (AWAY, 70, [1, 2, 4, *[8] * 67])],
)
def test_a_passing_fault_is_waited_out(
    error: Exception, times: int, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    assert store.patiently(failing(error, times)) == "answer"
    assert clock.pauses == pauses


@pytest.mark.parametrize(
    ("error", "seconds"),
    [(BUSY, 15), (AWAY, 607), (fault(INVALID_PARAMETER_VALUE, 400), 0), (ValueError("own"), 0)],
)
def test_a_fault_that_stays_is_raised_as_it_is(
    error: Exception, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    with pytest.raises(type(error)) as raised:
        store.patiently(failing(error, 1000))
    assert raised.value is error and clock.now == seconds
