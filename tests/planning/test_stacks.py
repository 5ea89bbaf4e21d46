"""Sweep files for encoder-decoders: what they mean, and what is wrong with them in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from raykd.config.sweep import load
from raykd.errors import UserError
from raykd.maps.activations import Stack, state
from raykd.maps.depth import Depth
from raykd.planning.plan import Explored, Power, make
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.trials import confirm_trials
from raykd.sweep.overview import outline
from raykd.sweep.sweep import Sweep

from ..support import world, world_seq2seq

T5: dict[str, Any] = {"strategies": ["forward"]}


def resolved(sweep: Path) -> Study:
    return resolve(load(sweep), sweep.parent / "home", "s.yaml")


def complaints(sweep: Path) -> list[str]:
    with pytest.raises(UserError) as error:
        resolved(sweep)
    return [line.removeprefix("s.yaml: ") for line in error.value.lines]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"confirm": {"strategies": [{"strategy": "custom", "map": [2, 4]}]}},
            "confirm.strategies.0.map: [2, 4] has no half for the decoder; write {encoder: [2, 4], "
            "decoder: [...]}",
        ),
        (
            {"confirm": {"strategies": [{"strategy": "custom",
                                         "map": {"encoder": [2, 4], "decoder": [2, 5]}}]}},
            "confirm.strategies.0.map: [2, 5] names teacher block 5, the teacher has 4 decoder "
            "blocks",
        ),
        (
            {"confirm": {**T5, "inits": [{"copied": [1, 2]}]}},
            "confirm.inits.0: [1, 2] has no half for the decoder; write {encoder: [1, 2], decoder: "
            "[...]}",
        ),
        (
            {"confirm": T5, "student": {"blocks": {"encoder": 2, "decoder": 5}}},
            "student.blocks: 5 is deeper than the teacher's 4, which confirm.inits.0 copies from; "
            "write at most 4, or the init `random`",
        ),
        (
            {"confirm": T5, "student": {"blocks": {"encoder": 2, "decoder": 1}},
             "explore": {"maps": 3, "decoder": "mirrored"}},
            "explore.decoder: mirrored, and the two stacks are not equally deep; leave it out to "
            "search both halves",
        ),
        (
            {"confirm": T5, "angles": True},
            "angles: they are measured in models of one stack, and the teacher is an "
            "encoder-decoder; leave the key out",
        ),
    ],
)  # fmt: skip
def test_mistakes_about_an_encoder_decoder(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    assert complaints(world_seq2seq.write_sweep(tmp_path, **changes)) == [told]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"confirm": {"strategies": [{"strategy": "custom",
                                         "map": {"encoder": [2, 4], "decoder": [4, 2]}}]}},
            "confirm.strategies.0.map: {encoder: [2, 4], decoder: [4, 2]} has a half for a "
            "decoder, the model has one stack; write a list",
        ),
        (
            {"confirm": {"strategies": [{"strategy": "forward", "decoder": "reverse"}]}},
            "confirm.strategies.0.decoder: the teacher has one stack; leave it out",
        ),
        (
            {"student": {"blocks": {"encoder": 2, "decoder": 2}}},
            "student.blocks: {encoder: 2, decoder: 2}, and the teacher has one stack; write one "
            "number, such as 2",
        ),
        (
            {"confirm": {"strategies": ["none"], "inits": [{"copied": {"encoder": [1, 2]}}]}},
            "confirm.inits.0: {encoder: [1, 2], decoder: [2, 4]} has a half for a decoder, the "
            "model has one stack; write a list",
        ),
        (
            {"explore": {"maps": 3, "decoder": "same"}},
            "explore.decoder: same, and the teacher has one stack; leave it out",
        ),
    ],
)  # fmt: skip
def test_halves_for_a_model_of_one_stack(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    assert complaints(world.write_sweep(tmp_path, **changes)) == [told]


def test_a_teacher_of_the_wrong_kind(tmp_path: Path) -> None:
    world.write_model(tmp_path / "bert")
    teacher = {"model": str(tmp_path / "bert")}
    (line,) = complaints(world_seq2seq.write_sweep(tmp_path, teacher=teacher))
    assert line.startswith("task.kind: seq2seq, and the teacher has no decoder")
    teacher = {"model": str(world_seq2seq.write_model(tmp_path / "t5"))}
    (line,) = complaints(world.write_sweep(tmp_path, teacher=teacher))
    assert line.startswith("task.kind: classification, and the teacher is an encoder-decoder")


def test_a_column_that_is_missing_and_a_target_that_is_empty(tmp_path: Path) -> None:
    sweep = world_seq2seq.write_sweep(tmp_path)
    text = yaml.safe_load(sweep.read_text())
    text["task"]["target"] = "de"
    sweep.write_text(yaml.safe_dump(text))
    (line,) = complaints(sweep)
    assert "task.target:" in line and "has no column 'de'; it has en, ro" in line
    text["task"]["target"] = "ro"
    sweep.write_text(yaml.safe_dump(text))
    world_seq2seq.write_pairs(tmp_path / "pairs.csv", [("one", "un"), ("two", "")])
    (line,) = complaints(sweep)
    assert "1 rows with an empty target (row 2); fill or drop them" in line


def test_keys_and_metrics_of_another_kind_are_told(tmp_path: Path) -> None:
    sweep = world_seq2seq.write_sweep(tmp_path)
    text = yaml.safe_load(sweep.read_text())
    for change, told in (
        ({"label": "ro"}, "`label` goes with `kind: classification`"),
        ({"metric": "accuracy"}, 'task.metric: "accuracy" is not known; write one of chrf, bleu'),
        ({"languages": ["en"]}, "name two languages"),
    ):
        sweep.write_text(yaml.safe_dump({**text, "task": {**text["task"], **change}}))
        with pytest.raises(UserError, match=told):
            load(sweep)


def test_sources_with_several_targets_keep_them_all_as_references(tmp_path: Path) -> None:
    rows = world_seq2seq.pairs(80)
    world_seq2seq.write_pairs(tmp_path / "pairs.csv", [*rows, *[(en, "alt") for en, _ in rows]])
    prepared = resolved(world_seq2seq.write_sweep(tmp_path)).prepared
    assert sum(prepared.counts.values()) == len(rows) and prepared.report.duplicates == 0
    assert all(str(label).endswith("\x1ealt") for label in prepared.test_labels())


def test_a_search_over_both_halves_is_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = {"encoder": 2, "decoder": 1}
    explore = {"maps": 5, "init": "random", "space": "in_order"}
    sweep = world_seq2seq.write_sweep(
        tmp_path, student={"blocks": blocks}, explore=explore, confirm={"sampled": 3, "seeds": 1}
    )
    study = resolved(sweep)
    assert str(study.shape) == "2+1" and study.depth == Depth(2, 1)
    made = make(study, (), Explored({}), 8 * 2**30, Power(2, 0, 1))
    assert made.space is not None and made.space.size() == 6 * 4
    stacks: tuple[Stack, ...] = ("encoder", "decoder")
    every = {state(block, stack) for block in (1, 2, 3, 4) for stack in stacks}
    assert set(made.teacher_states()) == every and len(made.teacher_states()) == 8
    sampled = [t for t in confirm_trials(study) if t.strategy.startswith("uniform_random")]
    assert len({t.layer_map for t in sampled}) == 3
    assert all(t.layer_map.depth == Depth(2, 1) for t in sampled)
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    overview = outline(Sweep.open(sweep, f"sqlite:///{tmp_path}/mlflow.db").state())
    assert overview["teacher"]["blocks"] == "4+4" and overview["student"]["blocks"] == "2+1"
