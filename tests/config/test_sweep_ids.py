"""The ids of every sweep file that is shipped stay what they were in 0.1.0: a default that changed
since is stated there by its old value."""

from __future__ import annotations

import json

import pytest

from ..support import sweep_ids

IDS: dict[str, dict[str, str]] = json.loads(sweep_ids.IDS.read_text(encoding="utf-8"))


@pytest.mark.parametrize("named", IDS)
def test_a_files_ids_are_what_they_were(named: str) -> None:
    assert sweep_ids.ids(*named.split(" ")) == IDS[named]


def test_every_file_is_held_to_its_ids() -> None:
    assert {named.split(" ")[0] for named in IDS} == set(sweep_ids.files())
