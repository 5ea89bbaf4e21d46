"""The terms of matched pairs have a group of their own in MLflow."""

from __future__ import annotations

from ..support.specs import spec
from .conftest import Place
from .helpers import record, writer

TERMS = {"hidden_1_to_4": 0.5, "hidden_decoder_0_to_decoder_12": 0.25}


def test_terms_of_matched_pairs_are_a_group_of_metrics(place: Place) -> None:
    trial, others = spec(), {"loss": 2.0, "hidden": 0.75, "hidden_attention": 0.1}
    for _ in range(2):  # a resumed trial logs a step once
        writing = writer(place)
        assert writing.open(trial, {})
        writing.log(trial, 10, {**others, **TERMS})
        writing.flush()
    run = place.client.get_run(record(place, trial).run_id)
    grouped = {"hidden_pairs/1_to_4": 0.5, "hidden_pairs/decoder_0_to_decoder_12": 0.25}
    assert run.data.metrics == {**others, **grouped}
    assert len(place.client.get_metric_history(run.info.run_id, "hidden_pairs/1_to_4")) == 1


def test_a_resumed_trial_of_an_older_store_keeps_the_names_of_its_terms(place: Place) -> None:
    trial = spec()
    writing = writer(place)
    assert writing.open(trial, {})
    run_id = record(place, trial).run_id
    place.client.log_metric(run_id, "hidden_1_to_4", 0.5, step=10)
    resumed = writer(place)
    assert resumed.open(trial, {})
    for step in (10, 20):
        resumed.log(trial, step, {"hidden_1_to_4": 0.5})
    resumed.flush()
    steps = [m.step for m in place.client.get_metric_history(run_id, "hidden_1_to_4")]
    assert steps == [10, 20]
    assert set(place.client.get_run(run_id).data.metrics) == {"hidden_1_to_4"}
