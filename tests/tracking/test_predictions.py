"""Predictions read back: of the part of test that the metric is of."""

from __future__ import annotations

from dataclasses import replace

from raykd.tracking.artifacts import correct

from ..support.specs import spec
from .conftest import Place
from .helpers import RESULT, record, writer


def test_examples_of_the_first_part_alone_are_compared(every_place: Place) -> None:
    told = {
        "id": ["d", "b", "a", "c"],
        "correct": [True, False, True, True],
        "part": ["m", "m", "mm", "mm"],
    }
    whole, parted = spec(seed=1), spec(seed=2)
    for trial, predictions in ((whole, RESULT.predictions), (parted, told)):
        writing = writer(every_place)
        assert writing.open(trial, {})
        writing.finish(trial, replace(RESULT, predictions=predictions))
    records = [record(every_place, trial) for trial in (whole, parted)]
    found = correct(every_place.client, records)
    ids, right = found[parted.id]
    assert ids.tolist() == ["b", "d"] and right.tolist() == [False, True]
    assert found[whole.id][0].tolist() == ["a", "b"]
