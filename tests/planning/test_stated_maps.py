"""Maps of several targets a block, as a sweep file states them: their trials, ids and mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raykd.config.sweep import load
from raykd.config.trial import TrialSpec
from raykd.errors import UserError
from raykd.maps.layer_map import LayerMap
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.trials import confirm_trials, largest_explore_trial
from raykd.search.space import space_of

from ..support.world import write_sweep


def study(folder: Path, *strategies: Any, **changes: Any) -> Study:
    confirm = {"strategies": list(strategies), "seeds": 1}
    file = write_sweep(folder, confirm=confirm, **changes)
    return resolve(load(file), folder / "home", file.name)


def custom(stated: Any, name: str = "mine") -> dict[str, Any]:
    return {"strategy": "custom", "name": name, "map": stated}


def test_each_form_of_a_map_is_the_same_map(tmp_path: Path) -> None:
    forms: list[Any] = [
        [[1, 4], "0.5*cosine(2)"],
        [["4", "1"], ["0.5 * cosine(2)"]],
        [{"student": 2, "teacher": 2, "weight": 0.5, "loss": "cosine"},
         {"student": 1, "teacher": 4}, {"student": 1, "teacher": 1}],
    ]  # fmt: skip
    names = [f"form_{i}" for i in range(len(forms))]
    trials = confirm_trials(study(tmp_path, *map(custom, forms, names)))
    assert {t.layer_map for t in trials} == {LayerMap.of([[1, 4], "0.5*cosine(2)"])}
    assert all(TrialSpec.from_json(t.to_json()) == t for t in trials)
    assert trials[0].hidden_kinds == {"normalized_mse", "cosine"}


def test_weights_and_losses_are_part_of_the_id_and_their_defaults_are_not(tmp_path: Path) -> None:
    stated = {"plain": [1, 4], "same": ["1*1", [4]], "weight": [1, "0.5*4"], "loss": [1, "mse(4)"]}
    trials = confirm_trials(study(tmp_path, *(custom(m, n) for n, m in stated.items())))
    by_name = {t.strategy: t.layer_map.to_json() for t in trials}
    assert by_name["plain"] == by_name["same"] == {"map": [1, 4], "embedding": False}
    assert len({str(m) for m in by_name.values()}) == 3
    assert len({t.id for t in trials}) == 4


def test_pairs_leave_other_student_blocks_unmatched(tmp_path: Path) -> None:
    (trial,) = confirm_trials(study(tmp_path, custom([{"student": 2, "teacher": 3}])))
    assert trial.layer_map == LayerMap((None, 3))


@pytest.mark.parametrize(
    ("stated", "line"),
    [
        ([{"student": 1, "teacher": 2, "weight": -1}], "0.map.0.weight: -1 will not do; write a n"),
        (
            [{"student": 1, "teacher": 2, "weight": 0}],
            "0.map.0.weight: 0 will not do; write a numb",
        ),
        (
            [{"student": 1, "teacher": 2, "loss": "cosin"}],
            '0.map.0.loss: "cosin" is not known; did',
        ),
        ([{"student": 1}], "0.map.0.teacher: missing"),
        ([{"student": 1, "teacher": 2, "wait": 1}], "0.map.0.wait: unknown key; did you mean `wei"),
        (
            [{"student": 1, "teacher": 2}] * 2,
            "0.map: student block 1 and teacher block 2 are a pai",
        ),
        ([{"student": 3, "teacher": 2}], "0.map: student block 3, and the student has 2 blocks"),
        ([{"student": 1, "teacher": 5}], "names teacher block 5, the teacher has 4 blocks"),
        ([1, {"student": 2, "teacher": 2}], "0.map: write an entry for each student block or a l"),
        ([[1, 1], 2], "0.map.0: teacher block 1 occurs twice for one student block; name it once"),
        (["-1*3", 2], '0.map.0: "-1*3" is no teacher block; write 4, 0.5*4 or cosine(4)'),
        (["0*3", 2], "0.map.0: weight 0.0 of teacher block 3; write a number greater than 0"),
        (["cosin(3)", 2], "0.map: [cosin(3), 2]: cosin is not known; write one of cosine, "),
        (["minilm(3)", 2], "minilm is no loss of single pairs; write one of cosine, "),
        ([[], 2], "0.map.0: [] is no set of teacher blocks; write one such as [1, 4]"),
        ([[1, 2], 3, 4], "has 3 entries, the student has 2 blocks"),
    ],
)
def test_a_mistake_in_a_map_is_one_line(tmp_path: Path, stated: Any, line: str) -> None:
    with pytest.raises(UserError) as caught:
        study(tmp_path, custom(stated))
    (told,) = caught.value.lines
    assert f"confirm.strategies.{line}" in told or line in told


@pytest.mark.parametrize(
    ("changes", "stated", "line"),
    [
        ({"losses": {"kind": "minilm"}}, ["0.5*1", 2], "minilm compares all matched blocks"),
        ({"losses": {"kind": "paper_qwen"}}, ["mse(1)", 2], "paper_qwen is computed with padding"),
        ({"cluster": {"micro_batch": 4}}, ["linear_cka(1)", 2], "leave `cluster.micro_batch` out"),
        ({"explore": {"maps": 4, "targets": 2, "space": "in_order"}}, [1, 2], "sets of blocks"),
        ({"explore": {"maps": 4, "weights": [1]}}, [1, 2], "write the lowest and the highest weig"),
        ({"explore": {"maps": 4, "weights": [2, 1]}}, [1, 2], "write the lowest and the highest w"),
        ({"explore": {"maps": 4, "weights": [0, 1]}}, [1, 2], "greater than 0"),
        ({"explore": {"maps": 4, "weights": [1, 2]}, "losses": {"kind": "minilm"}}, [1, 2],
         "explore.weights: minilm (losses.kind) compares all matched blocks"),
    ],
)  # fmt: skip
def test_keys_that_do_not_go_together_are_one_line(
    tmp_path: Path, changes: dict[str, Any], stated: Any, line: str
) -> None:
    with pytest.raises(UserError) as caught:
        study(tmp_path, custom(stated), **changes)
    (told,) = caught.value.lines
    assert line in told


def test_memory_is_forecast_for_the_largest_map_of_the_search(tmp_path: Path) -> None:
    searched = study(tmp_path, "none", explore={"maps": 4, "targets": 3, "weights": [0.1, 10]})
    largest = largest_explore_trial(searched).layer_map
    space = space_of(searched.base.depths, searched.depth, targets=3)
    assert len(largest.pairs()) == max(len(m.pairs()) for m in space) == 6
