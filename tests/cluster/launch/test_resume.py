"""With which checkpoint a job begins: its own sweep's, whole, with its history in the store."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from raykd.cluster.launch.resume import NOTE, has_history, newest, take_over
from raykd.config.trial import TrialSpec
from raykd.sweep.folders import Places, under
from raykd.tracking import store
from raykd.tracking.sweep_id import ID, identity

from ...support.specs import spec
from ...tracking import services
from ...tracking.conftest import Place
from ...tracking.helpers import RESULT, writer

TRIALS = (spec(seed=0, strategy="forward"), spec(seed=0, strategy="none"))
STEP = 50
TOLD = (10, 20, 25, 30, 40, 50)  # of 100 steps: ten ticks, four evaluations


@pytest.fixture(params=["folder", "s3"])
def root(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    if request.param == "folder":
        yield str(tmp_path / "checkpoints")
        return
    with services.s3("raykd") as address:
        for key, value in {**services.KEYS, "AWS_ENDPOINT_URL": address}.items():
            monkeypatch.setenv(key, value)
        yield "s3://raykd/jobs?region=us-east-1"


def put(storage: str, job: str, step: int = STEP, note: str | None = None) -> None:
    """What Ray Train leaves of a job, with a checkpoint at this step."""
    filesystem, path = fs.FileSystem.from_uri(storage)
    name = f"checkpoint_{step}"
    reported = {"cohort": "c", "trials": [t.id for t in TRIALS], "step": step}
    latest = {"checkpoint_dir_name": name, "metrics": reported}
    whole = json.dumps({"checkpoint_results": [latest], "latest_checkpoint_result": latest})
    files = {f"{name}/state.pt": str(step), NOTE: whole if note is None else note}
    filesystem.create_dir(f"{path}/{job}/{name}")
    for file, text in files.items():
        with filesystem.open_output_stream(f"{path}/{job}/{file}") as stream:
            stream.write(text.encode())


def there(storage: str) -> dict[str, str]:
    """All files below a place, and what is in them; notes as their step."""
    filesystem, path = fs.FileSystem.from_uri(storage)
    found = filesystem.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    files = {}
    for each in found:
        if each.type == fs.FileType.File:
            with filesystem.open_input_stream(each.path) as stream:
                files[each.path.removeprefix(f"{path}/")] = stream.read().decode()
    return {name: "note" if name.endswith(NOTE) else text for name, text in files.items()}


def places(root: str, tmp_path: Path, launch: str = "now", *ended: str) -> Places:
    return Places(tmp_path, root, "sweep", launch, ended)


def always(found: Any) -> bool:
    return True


def never(found: Any) -> bool:
    return False


def test_a_job_takes_over_the_newest_launchs_checkpoint_and_none_of_another_sweep(
    root: str, tmp_path: Path
) -> None:
    mine = places(root, tmp_path, "now", "newer", "older")
    put(under(root, "sweep", "older"), "job", 25)
    put(under(root, "sweep", "newer"), "job", 50)
    others = [under(root, "sweep", "of-a-copy"), under(root, "another-sweep", "newer")]
    for other in others:
        put(other, "job", 75)
    assert take_over(mine.checkpoints, mine.earlier, "job", always) is None
    assert there(mine.checkpoints) == {f"job/{NOTE}": "note", "job/checkpoint_50/state.pt": "50"}
    assert there(under(root, "sweep", "newer")) == {}
    assert all("job/checkpoint_75/state.pt" in there(other) for other in others)
    # Its own is newer than all others, whatever they are.
    assert take_over(mine.checkpoints, mine.earlier, "job", never) is None
    found = newest(mine.checkpoints, "job")
    assert found is not None and found["step"] == 50
    assert take_over(mine.checkpoints, mine.earlier, "never begun", always) is None


def test_a_checkpoint_without_its_history_is_removed_in_a_line_and_an_older_one_taken(
    root: str, tmp_path: Path
) -> None:
    mine = places(root, tmp_path, "now", "newer", "older")
    put(under(root, "sweep", "newer"), "job", 75)
    put(under(root, "sweep", "older"), "job", 50)
    told = take_over(mine.checkpoints, mine.earlier, "job", lambda found: found["step"] <= 50)
    assert told is not None and "step 75" in told and "\n" not in told
    assert there(under(root, "sweep")).keys() == {
        f"now/job/{NOTE}", "now/job/checkpoint_50/state.pt",
    }  # fmt: skip


def test_what_0_1_0_kept_in_one_place_for_all_is_taken_or_removed(
    root: str, tmp_path: Path
) -> None:
    mine = places(root, tmp_path)
    for job, fits in (("mine", always), ("of-another-store", never)):
        put(root, job)
        told = take_over(mine.checkpoints, mine.earlier, job, fits)
        assert (told is None) == (fits is always)
    assert there(root).keys() == {
        f"sweep/now/mine/{NOTE}", "sweep/now/mine/checkpoint_50/state.pt",
    }  # fmt: skip


def test_a_note_in_halves_or_of_what_is_gone_is_removed_with_what_it_is_of(tmp_path: Path) -> None:
    put(str(tmp_path), "whole")
    whole = (tmp_path / "whole" / NOTE).read_text()
    for kept in range(len(whole)):
        put(str(tmp_path), "job", note=whole[:kept])
        assert newest(str(tmp_path), "job") is None and not (tmp_path / "job").exists()
    put(str(tmp_path), "job", note=whole.replace("checkpoint_50", "checkpoint_49"))
    assert newest(str(tmp_path), "job") is None and not (tmp_path / "job").exists()
    assert newest(str(tmp_path), "whole") is not None
    assert (tmp_path / "whole" / "checkpoint_50").exists()


# What the store must know


REPORTED = {"trials": [t.id for t in TRIALS], "step": STEP}


def tell(at: Place, trial: TrialSpec, steps: tuple[int, ...], **last: float) -> Any:
    writing = writer(at)
    assert writing.open(trial, {})
    for step in steps:
        writing.log(trial, step, {"loss": last.get("loss", 0.5) if step == steps[-1] else 0.5})
    writing.flush()
    return writing


def known(at: Place) -> bool:
    return has_history(REPORTED, TRIALS, at.client, at.experiment)


def test_a_checkpoint_counts_where_every_trial_has_all_its_losses_until_then(place: Place) -> None:
    assert not known(place)  # a new store
    tell(place, TRIALS[0], (*TOLD, 60))
    assert not known(place)  # one trial's run was deleted, or is of another store
    tell(place, TRIALS[1], TOLD[:-1])
    assert not known(place)  # an older copy
    tell(place, TRIALS[1], TOLD[-1:])
    assert known(place)
    elsewhere = (spec(seed=1), *TRIALS[1:])
    assert not has_history(REPORTED, elsewhere, place.client, place.experiment)
    assert not has_history({"trials": REPORTED["trials"]}, TRIALS, place.client, place.experiment)


def test_a_history_that_begins_in_the_middle_is_none_and_is_made_whole(place: Place) -> None:
    """As raykd 0.1.0 left it that went on from another store's student."""
    for trial in TRIALS:
        tell(place, trial, TOLD[3:])
    assert not known(place)
    for trial in TRIALS:
        tell(place, trial, TOLD)
    assert known(place)
    for trial in TRIALS:
        found = place.client.search_runs([place.experiment], f"tags.`raykd.trial` = '{trial.id}'")
        steps = [m.step for m in place.client.get_metric_history(found[0].info.run_id, "loss")]
        assert sorted(steps) == list(TOLD)


def test_who_is_over_or_has_diverged_needs_no_history_after_it(place: Place) -> None:
    writing = tell(place, TRIALS[0], TOLD[:2], loss=float("nan"))
    tell(place, TRIALS[1], TOLD)
    assert known(place)
    writing.fail(TRIALS[0], "diverged")
    assert known(place)
    writing = tell(place, TRIALS[0], TOLD[:3])
    writing.finish(TRIALS[0], RESULT)
    assert known(place)


# Identity


def test_an_id_stays_with_a_store_wherever_it_lies_and_is_new_in_a_new_one(
    sqlite: str, empty_database: Path, tmp_path: Path
) -> None:
    def named(folder: Path, name: str = "sweep") -> str:
        client = store.connect(f"sqlite:///{folder}/mlflow.db")
        return identity(client, store.experiment(client, name))

    first = named(tmp_path)
    assert first == named(tmp_path) != named(tmp_path, "another name")
    for folder, like in (
        (tmp_path / "moved", tmp_path / "mlflow.db"),
        (tmp_path / "new", empty_database),
    ):
        folder.mkdir()
        shutil.copy(like, folder / "mlflow.db")
    assert named(tmp_path / "moved") == first != named(tmp_path / "new")


def test_an_experiment_of_0_1_0_has_one_id_for_all_processes(place: Place) -> None:
    place.client.delete_experiment_tag(place.experiment, ID)
    found = identity(place.client, place.experiment)
    place.client.delete_experiment_tag(place.experiment, ID)
    assert identity(place.client, place.experiment) == found


def test_an_address_with_options_keeps_them() -> None:
    mine = Places(Path("/home"), "s3://bucket/jobs/?region=x", "a", "b", ("c",))
    assert mine.checkpoints == "s3://bucket/jobs/a/b?region=x"
    assert mine.earlier == ("s3://bucket/jobs/a/c?region=x", mine.root)
    assert under("/a?b", "c") == "/a?b/c"
    alike = [replace(mine, launch="d"), replace(mine, sweep="e")]
    for own in ("checkpoints", "spool"):
        assert len({str(getattr(each, own)) for each in (mine, *alike)}) == 3
