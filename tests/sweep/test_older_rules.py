"""What a file meant under older defaults, and which keys say so now."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raykd.cli.app import app
from raykd.config.sweep import load
from raykd.config.trial import TrialSpec
from raykd.errors import UserError
from raykd.planning import older_rules
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_trial import teacher_trial
from raykd.planning.trials import confirm_trials
from raykd.sweep.older_trials import Older, older
from raykd.tracking import writer
from raykd.tracking.ledger import Record

from ..support.finished import finish
from ..support.lm_world import write_lm_sweep

BF16 = {"steps": 12, "batch": 16, "weights": "bf16"}
OLD = {"buffers": "bf16"}


def study(folder: Path, training: dict[str, Any], **teacher: Any) -> Study:
    model = {"model": str(folder / "model")}
    file = write_lm_sweep(folder, training=training, teacher={**model, **teacher})
    return resolve(load(file), folder / "home", str(file))


def file_of(folder: Path, **training: Any) -> Path:
    teacher = {"model": str(folder / "model"), "fine_tune": False, "allow_weak": True}
    confirm = {"strategies": ["none", "forward"], "seeds": 1}
    return write_lm_sweep(folder, training=BF16 | training, teacher=teacher, confirm=confirm)


def planned(file: Path, *options: str) -> str:
    result = CliRunner().invoke(app, ["plan", str(file), *options])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def test_trials_of_a_store_are_counted_and_had_back_by_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    with monkeypatch.context() as then:
        then.setattr(writer, "RULES", 2)
        finish(file_of(tmp_path, **OLD))
    assert json.loads(planned(tmp_path / "sweep.yaml", "--json"))["confirm"]["finished"] == 2
    file = file_of(tmp_path)
    found = json.loads(planned(file, "--json"))
    assert found["confirm"] | {"finished": 0, "missing": 2} == found["confirm"]
    assert found["older_rules"] == [{"finished": 2, "keys": ["training.buffers: bf16"]}]
    told = " ".join(planned(file).split())
    assert "2 finished trials of this file were made by an older default" in told
    assert "write `training.buffers: bf16` to have them back" in told


def without_buffers(trial: TrialSpec) -> TrialSpec:
    return replace(trial, training=replace(trial.training, buffers=None))


def test_weights_in_bf16_have_new_ids_and_by_the_key_their_old_ones(tmp_path: Path) -> None:
    new = confirm_trials(study(tmp_path, BF16, epochs=1))
    old = confirm_trials(study(tmp_path, BF16 | OLD, epochs=1))
    assert not {t.id for t in new} & {t.id for t in old}
    assert [without_buffers(t) for t in new] == list(old)
    for trial in old:  # as it was before there was the key
        assert trial.to_json()["training"]["weights"] == "bf16"
        assert "buffers" not in trial.to_json()["training"]
    for trial in new:
        assert TrialSpec.from_json(trial.to_json()) == trial


def test_weights_in_fp32_know_of_no_buffers(tmp_path: Path) -> None:
    made = study(tmp_path, {"steps": 12}, epochs=1)
    for trial in (*confirm_trials(made), teacher_trial(made)):
        assert not {"weights", "buffers"} & set(trial.to_json()["training"])
    assert older_rules.before(made.config, 1) is None


def test_a_teacher_that_is_tuned_in_bf16_has_a_new_name_and_by_the_key_its_old_one(
    tmp_path: Path,
) -> None:
    new = study(tmp_path, BF16, epochs=1, weights="bf16")
    old = study(tmp_path, BF16, epochs=1, weights="bf16", **OLD)
    assert new.teacher != old.teacher
    assert without_buffers(teacher_trial(new)) == teacher_trial(old) != teacher_trial(new)
    still = {"weights": "bf16", "fine_tune": False}
    assert study(tmp_path, BF16, **still).teacher == study(tmp_path, BF16, **still, **OLD).teacher


@pytest.mark.parametrize("part", ["training", "teacher"])
def test_rounded_buffers_without_rounded_weights_are_refused(tmp_path: Path, part: str) -> None:
    training: dict[str, Any] = {"steps": 12}
    with pytest.raises(UserError) as error:
        study(tmp_path, training | OLD) if part == "training" else study(tmp_path, training, **OLD)
    (line,) = error.value.lines
    assert part in line and "`buffers: bf16` is for `weights: bf16`" in line


def finished(trials: tuple[TrialSpec, ...], rules: int) -> list[Record]:
    return [
        Record(
            t.id, f"{rules}{t.id}", "finished", t.phase, t.strategy, str(t.layer_map), str(t.init),
            t.seed, t.family, "", None, {}, {}, 0.0, 1.0, rules=rules,
        )
        for t in trials
    ]  # fmt: skip


def test_a_plan_names_the_keys_of_each_older_rule(tmp_path: Path) -> None:
    """Two defaults have changed: trials of before both need both keys, those between one."""
    now = study(tmp_path, BF16)
    between = confirm_trials(study(tmp_path, BF16 | OLD))
    first = confirm_trials(study(tmp_path, BF16 | OLD, epochs=older_rules.EPOCHS_BEFORE))
    records = [
        *finished(first[:4], 1),
        *finished(between[:3], 2),
        *finished(confirm_trials(now), 3),
    ]
    buffers, epochs = "training.buffers: bf16", "teacher.epochs: 2"
    assert older(now, records) == (Older(4, (epochs, buffers)), Older(3, (buffers,)))
    stated = study(tmp_path, BF16 | OLD)
    assert older(stated, records) == (Older(4, (epochs,)),)
    assert older(study(tmp_path, BF16 | OLD, epochs=2), records) == ()


def test_a_teachers_key_is_named_too(tmp_path: Path) -> None:
    now = study(tmp_path, {"steps": 12}, epochs=1, weights="bf16")
    then = confirm_trials(study(tmp_path, {"steps": 12}, epochs=1, weights="bf16", **OLD))
    assert older(now, finished(then, 2)) == (Older(len(then), ("teacher.buffers: bf16",)),)
