"""The pins against a copy of the advisory database: what counts as affected, by OSV's own rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy import audit


def part(*events: tuple[str, str], **more: Any) -> dict[str, Any]:
    ranges = [{"type": "ECOSYSTEM", "events": [{kind: at} for kind, at in events]}]
    return {"package": {"name": "Some_Package"}, "ranges": ranges, **more}


@pytest.mark.parametrize(
    ("version", "bad"),
    [("0.9", False), ("1.0", True), ("1.10rc1", True), ("1.10", False), ("2.1", True),
     ("2.3", False), ("3.0.dev1", False), ("3.0", True), ("99", True)],
)  # fmt: skip
def test_a_range_ends_where_it_was_fixed(version: str, bad: bool) -> None:
    stretches = part(("introduced", "1.0"), ("fixed", "1.10"), ("introduced", "2.0"),
                     ("last_affected", "2.2"), ("introduced", "3.0"))  # fmt: skip
    assert audit.affected(version, stretches) is bad


def test_versions_count_one_by_one() -> None:
    assert audit.affected("1.5", part(versions=["1.5"])) and not audit.affected("1.6", part())


def test_a_known_flaw_is_found_whatever_its_package_is_called() -> None:
    advisory = {"id": "X-1", "aliases": ["CVE-1"], "affected": [part(("introduced", "0"))]}
    (line,) = audit.flaws({"some-package": "1.0", "other": "1.0"}, [advisory])
    assert line == "some-package 1.0: X-1 (CVE-1)"


def test_withdrawn_records_and_those_of_others_are_not_kept() -> None:
    record = {"id": "X-1", "affected": [part(("introduced", "0"))]}
    assert audit.cut(record, {"some-package"}) is not None
    assert audit.cut(record, {"other"}) is None
    assert audit.cut({**record, "withdrawn": "2024-01-01T00:00:00Z"}, {"some-package"}) is None


def test_without_a_copy_it_says_that_nothing_is_audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit, "COPY", tmp_path / "none.json")
    monkeypatch.setattr("sys.argv", ["audit.py"])
    assert audit.main() == 0
    assert "not audited" in capsys.readouterr().err


def test_a_pin_with_a_flaw_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, version = next(iter(audit.pins().items()))
    advisory = {"id": "X-1", "affected": [{"package": {"name": name}, "versions": [version]}]}
    file = tmp_path / "copy.json"
    file.write_text(json.dumps({"date": "2024-01-01", "advisories": [advisory]}))
    monkeypatch.setattr(audit, "COPY", file)
    monkeypatch.setattr("sys.argv", ["audit.py"])
    assert audit.main() == 1
    told = capsys.readouterr()
    assert f"{name} {version}: X-1" in told.out and "months old" in told.err
