"""An experiment says its version; one of a newer raykd is refused, at no request more."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Experiment

from raykd.config.versions import STORE, STORE_TAG
from raykd.data.assets import packages
from raykd.errors import UserError
from raykd.sweep.ledger import Ledger
from raykd.tracking import store
from raykd.tracking.sweep_id import ID

from ..support.specs import spec
from .conftest import Place
from .helpers import writer


def tagged(place: Place, version: str) -> str:
    """The name of the experiment, once it has that version."""
    place.client.set_experiment_tag(place.experiment, STORE_TAG, version)
    return str(place.client.get_experiment(place.experiment).name)


def test_a_new_experiment_has_its_id_and_its_version(every_place: Place) -> None:
    tags = every_place.client.get_experiment(every_place.experiment).tags
    assert tags[STORE_TAG] == str(STORE) and len(tags[ID]) == 32


@pytest.mark.parametrize("version", [str(STORE + 1), "99", "0", "2.1", "later"])
def test_what_this_raykd_cannot_read_is_neither_read_nor_written(
    place: Place, version: str
) -> None:
    name = tagged(place, version)
    words = f"{STORE_TAG} of the experiment '{name}': {version} is of a newer raykd"
    for read in (store.find_experiment, store.experiment):
        with pytest.raises(UserError, match=words):
            read(place.client, name)
    with pytest.raises(UserError, match=words):
        writer(place).open(spec(), {})
    assert not Ledger(place.uri, place.client, "another", packages.home()).read()


def test_every_version_up_to_this_raykds_is_read(place: Place) -> None:
    for version in range(1, STORE + 1):
        name = tagged(place, str(version))
        assert store.find_experiment(place.client, name) == place.experiment
    assert writer(place).open(spec(), {})


def test_the_version_takes_no_request(every_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The experiment is asked for once: by its name for its id, by its id for its board."""
    requests = Counter[str]()
    original = dict(vars(MlflowClient))
    for name in ("get_experiment", "get_experiment_by_name", "search_experiments"):

        def counted(self: Any, *arguments: Any, name: str = name, **options: Any) -> Any:
            requests[name] += 1
            return original[name](self, *arguments, **options)

        monkeypatch.setattr(MlflowClient, name, counted)
    sweep = tagged(every_place, "1")
    requests.clear()
    assert store.find_experiment(every_place.client, sweep) == every_place.experiment
    assert requests == {"get_experiment_by_name": 1}
    requests.clear()
    assert writer(every_place).open(spec(), {})
    assert requests == {"get_experiment": 1}


def test_credentials_of_the_address_are_not_shown() -> None:
    client = MlflowClient(tracking_uri="http://me:secret@host:5000")
    experiment = Experiment("1", "first", "place", "active", tags=[])
    store.refuse_newer(client, experiment)
    experiment.tags[STORE_TAG] = "2"
    with pytest.raises(UserError, match=r"tracking\.uri: http://\*\*\*@host:5000: ") as caught:
        store.refuse_newer(client, experiment)
    assert "secret" not in str(caught.value)
