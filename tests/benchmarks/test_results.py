"""The benchmarks' arithmetic and their committed results. Nothing here is timed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import memory, ratios, report, run, setting
from benchmarks.arms import raykd_sweep
from benchmarks.frame import Rows, Setting, normalized_mse
from raykd.data.batches import valid
from raykd.losses.hidden.registry import hidden_loss

HERE = Path(__file__).parents[2] / "benchmarks"


def result(seconds: float, **more: Any) -> dict[str, Any]:
    return {
        "seconds": seconds, "students": 1, "score": 80.0, "peak_mb": 900.0, "cache_seconds": 0.0,
        "load_seconds": 5.0, **more,
    }  # fmt: skip


def ours(seconds: float, **more: Any) -> dict[str, Any]:
    return result(seconds, students=8, cache_seconds=4.0, whole_seconds=50.0, **more)


ARMS = {
    "matmul": [result(1.0, gflops=100.0, block_parameters=1_000_000)] * 3,
    "paper": [result(60.0), result(130.0), result(65.0)],
    "practitioner": [result(20.0, score=79.0), result(30.0, score=81.0), result(21.0, score=80.0)],
    "textbrewer": [result(15.0), result(18.0), result(19.0)],
    "torchdistill": [result(40.0)] * 3,
    "raykd_cached_8": [ours(5.0, score=78.0), ours(10.0, score=79.5), ours(6.5, score=79.0)],
    "limit": [result(4.5, students=8), result(9.5, students=8), result(6.0, students=8)],
    "raykd_sweep": [result(7.0, students=16)] * 3,
}
HALF = {
    "textbrewer_bf16": [result(6.0)] * 3,
    "torchdistill_bf16": [result(8.0)] * 3,
    "raykd_cached_8_bf16": [ours(4.0), ours(4.0), ours(3.0)],
    "limit_bf16": [result(5.0, students=8)] * 3,
    "practitioner_sweep": [result(12.0, students=24, precision="bf16")] * 3,
    "textbrewer_sweep": [result(9.0, students=24, precision="bf16")] * 3,
    "raykd_whole": [result(6.0, students=24, precision="bf16")] * 3,
}


SETTING = Setting(
    folder="f", home="h", teacher="t", student="s", sweep={"name": "bench"}, steps=8, batch=4,
    lr=1e-4, warmup=0.1, weight_decay=0.01, clip=1.0, layer_map=(2, 4, 6), max_length=128,
    pad=0, share=8, threads=2, tokens=9, teacher_parameters=1, student_parameters=1,
)  # fmt: skip


def test_a_ratio_is_the_median_of_pairs_within_a_repeat() -> None:
    """The second repeat ran on a slow machine: both of its sides did."""
    found = ratios.ratios(ARMS)["paper"]
    assert (found["low"], found["value"], found["high"]) == pytest.approx((10.0, 12.0, 13.0))
    assert found["reached"]
    assert found["over_seconds"] == {"median": 65.0, "low": 60.0, "high": 130.0}
    assert found["under_seconds"] == {"median": 6.5, "low": 5.0, "high": 10.0}


def test_the_best_peer_is_the_fastest_of_each_repeat_and_the_usual_one_is_named() -> None:
    found = ratios.ratios(ARMS)["best_peer"]
    assert found["over"] == "textbrewer"
    assert found["value"] == pytest.approx(19.0 / 6.5)
    assert found["reached"]
    once = {**ARMS, "torchdistill": [result(40.0), result(40.0), result(13.0)]}
    assert ratios.ratios(once)["best_peer"]["value"] == pytest.approx(13.0 / 6.5)


def test_the_limit_is_a_share_of_the_students_own_speed() -> None:
    found = ratios.ratios(ARMS)["limit"]
    assert found["value"] == pytest.approx(6.0 / 6.5)
    assert not found["reached"]


def test_a_sweep_is_held_against_its_cohorts_and_one_cache() -> None:
    found = ratios.ratios(ARMS)["sweep_overhead"]
    assert found["over_seconds"]["median"] == 16 * 7.0
    assert found["under_seconds"]["median"] == 2 * 50.0 + 4.0
    assert found["reached"]  # 112 s against 104 s


def test_an_arm_under_bf16_is_held_against_arms_under_bf16() -> None:
    found = ratios.ratios({**ARMS, **HALF})
    assert found["best_peer_bf16"]["over"] == "textbrewer_bf16"
    assert found["best_peer_bf16"]["value"] == pytest.approx(6.0 / 4.0)
    assert found["limit_bf16"]["value"] == pytest.approx(5.0 / 4.0)
    assert found["best_peer"] == ratios.ratios(ARMS)["best_peer"]


def test_the_papers_own_recipe_is_in_fp32_whatever_raykd_chooses() -> None:
    found = ratios.ratios({**ARMS, **HALF})["paper_auto"]
    assert (found["over"], found["under"]) == ("paper", "raykd_cached_8_bf16")
    assert found["value"] == pytest.approx(65.0 / 3.0)


def test_whole_sweeps_are_compared_with_whole_sweeps() -> None:
    found = ratios.ratios({**ARMS, **HALF})["whole_sweep"]
    assert (found["over"], found["under"]) == ("textbrewer_sweep", "raykd_whole")
    assert found["value"] == pytest.approx(9.0 / 6.0)


def test_every_arm_runs_in_fp32_where_bf16_does_not_pay() -> None:
    without, with_bf16 = run.fitting(run.LONG, False), run.fitting(run.LONG, True)
    assert {a.precision for a in without} == {"fp32"}
    assert {"paper", "raykd_whole"} <= {a.name for a in without}
    in_bf16 = {a.name for a in with_bf16 if a.precision == "bf16"}
    assert in_bf16 >= {*ratios.WHOLE.values(), "raykd_whole", "raykd_cached_8_bf16"}
    assert not in_bf16 & {a.name for a in run.PLAIN}


def test_a_whole_sweep_of_a_peer_has_the_maps_and_seeds_of_raykds() -> None:
    content = setting.sweep(6, {"data": "d"}, {"model": "m"})
    sweep = replace(SETTING, sweep=content, students=8)
    file = raykd_sweep.sweep_file(sweep)["confirm"]
    named = [(tuple(s["map"]), seed) for s in file["strategies"] for seed in file["seeds"]]
    assert sweep.sweep_students == named and len(set(named)) == 24


def test_arms_that_did_not_run_give_ratios_without_a_value() -> None:
    found = ratios.ratios({"paper": ARMS["paper"], "raykd_cached_8": ARMS["raykd_cached_8"]})
    assert set(found) == set(ratios.WANTED) == set(report.RATIOS)
    assert [n for n, x in found.items() if x["value"] is not None] == ["paper"]


def test_quality_compares_the_seeds_ranges() -> None:
    found = ratios.quality(ARMS)
    assert found is not None and found["ranges_overlap"]
    assert found["raykd_cached_8"] == {"median": 79.0, "low": 78.0, "high": 79.5}
    far = {**ARMS, "practitioner": [result(20.0, score=90.0)] * 3}
    apart = ratios.quality(far)
    assert apart is not None and not apart["ranges_overlap"]


def test_utilisation_is_six_flop_a_parameter_and_token_over_the_machines_rate() -> None:
    found = ratios.utilisation(ARMS, tokens=10_000)
    assert found["limit"] == pytest.approx(6 * 1_000_000 * 10_000 / 6.0 / 100e9)


def test_memory_may_hold_the_models_their_optimisers_and_a_gibibyte() -> None:
    found = ratios.memory(ARMS, teacher_parameters=2**20, student_parameters=2**20)
    assert found["raykd_cached_8"] == {"peak": 900.0, "bound": 4 + 16 * 8 + 1024}


def results(**changes: Any) -> dict[str, Any]:
    curve = [
        {"x": x, "arm": arm, "step_ms": 100.0 / x, "cache_ms": 20.0, "peak_mb": 800.0}
        for x in (1, 2) for arm in ("raykd_live", "raykd_cached")
    ]  # fmt: skip
    return {
        "machine": {"cpu": "A processor", "cores": 2, "ram_gib": 24, "system": "Linux"},
        "versions": {"raykd": "0.1"},
        "setting": {"rows": 512, "tokens": 14_000, "steps": 32, "batch": 32, "threads": 2,
                    "repeats": 3},
        "ratios": ratios.ratios(ARMS),
        "quality": ratios.quality(ARMS),
        "utilisation": ratios.utilisation(ARMS, 28_000),
        "memory": ratios.memory(ARMS, 1, 1),
        "curves": {name: curve for name in report.CURVES},
        "store": {"10": {"help": [0.2, 0.3, 0.25], "plan": [1.0, 1.1, 1.2]}},
        "arms": ARMS,
        **changes,
    }  # fmt: skip


def test_the_table_shows_both_sides_of_every_ratio() -> None:
    text = report.table(results())
    assert "`paper`: a student's training" in text and "| paper 65 : 6.5 |" in text
    assert "| 2.92 |" in text and "0.923 (missed)" in text and "textbrewer 18 : 6.5" in text
    assert "| `limit` | the students alone" in text
    assert "| 10 | 0.25 (0.2 to 0.3) | 1.1 (1 to 1.2) |" in text


def test_a_quick_form_has_a_table_too() -> None:
    few = {n: ARMS[n] for n in ("matmul", "paper", "raykd_cached_8")}
    quick = results(
        arms=few, ratios=ratios.ratios(few), quality=None, utilisation={}, memory={}, curves={},
        store={},
    )  # fmt: skip
    assert report.table(quick).count("not run") == len(ratios.WANTED) - 1


def test_the_table_says_what_a_comparison_includes_where_it_was_run() -> None:
    assert "autocast gives them" not in report.table(results())
    arms = {**ARMS, **HALF}
    text = report.table(results(arms=arms, ratios=ratios.ratios(arms)))
    assert "autocast gives them" in text and "three whole sweeps (bf16)" in text
    assert set(arms) - {"matmul"} == {n for n in report.ARMS if f"| `{n}` |" in text}


def test_the_plot_is_the_same_for_the_same_results(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        report.plot(results(), tmp_path / name)
    first, second = ((tmp_path / n).read_bytes() for n in ("a.svg", "b.svg"))
    assert first == second and b"<svg" in first


def test_every_arm_of_the_table_has_its_file_and_every_file_its_arm() -> None:
    run_by_name = {a.name: a.file for a in run.LONG}
    assert set(run_by_name) - {"matmul"} == set(report.ARMS)
    files = {p.stem for p in (HERE / "arms").glob("*.py")} - {"__init__"}
    assert set(run_by_name.values()) == files
    assert {a.name for a in run.QUICK} >= {"paper", "practitioner", "limit", ratios.OURS}


def test_peers_run_without_raykd() -> None:
    peers = {HERE / "arms" / f"{a.file}.py" for a in run.LONG if a.peer} | {HERE / "frame.py"}
    for file in peers:
        imported = re.findall(r"^\s*(?:from|import) (\S+)", file.read_text(), re.M)
        ours = [m for m in imported if m.split(".")[0] in ("raykd", "benchmarks")]
        assert set(ours) <= {"benchmarks", "benchmarks.frame"}, file


def test_peers_are_pinned_to_the_same_torch_and_transformers() -> None:
    """Else a ratio would compare two versions of a library."""

    def pins(file: Path) -> dict[str, str]:
        return dict(line.split("==") for line in file.read_text().split())

    peers, own = pins(HERE / "peers-constraints.txt"), pins(HERE.parent / "constraints.txt")
    for name in ("torch", "transformers", "numpy", "safetensors", "tokenizers"):
        assert peers[name] == own[name]
    assert peers["textbrewer"] == "0.2.1"


def test_the_arms_loss_is_raykds() -> None:
    """Else the accuracies of two recipes would be compared."""
    import torch

    torch.manual_seed(0)
    student, teacher = torch.randn(2, 3, 5, 8)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]])
    places = mask.flatten().nonzero().squeeze(1)
    pair = valid(student, places), valid(teacher, places)
    wanted = hidden_loss("normalized_mse").function(*pair, tokens=int(mask.sum()), examples=3)
    torch.testing.assert_close(normalized_mse(student, teacher, mask), wanted)


def test_a_setting_is_the_same_after_a_file(tmp_path: Path) -> None:
    assert Setting.read(SETTING.write(tmp_path / "setting.json")) == SETTING


def test_rows_are_padded_to_the_longest_or_to_a_width(tmp_path: Path) -> None:
    import numpy as np

    rows = Rows(np.arange(1, 6), np.array([0, 2, 5]), np.array([1, 0]), pad=0)
    batch = rows.collate([rows[0], rows[1]])
    assert batch["input_ids"].tolist() == [[1, 2, 0], [3, 4, 5]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert batch["labels"].tolist() == [1, 0]
    assert rows.collate([rows[0]], width=4)["input_ids"].shape == (1, 4)


COMMITTED = HERE / "results.json"


def test_the_committed_table_is_of_the_committed_results() -> None:
    if not COMMITTED.exists():
        assert not COMMITTED.with_suffix(".md").exists()
        return
    found = json.loads(COMMITTED.read_text(encoding="utf-8"))
    assert COMMITTED.with_suffix(".md").read_text(encoding="utf-8") == report.table(found)
    assert found["form"] == "long" and all(len(r) >= 3 for r in found["arms"].values())
    assert found["ratios"] == ratios.ratios(found["arms"])


def test_the_plan_foresees_a_workers_memory_within_fifteen_percent() -> None:
    found = json.loads((HERE / "memory.json").read_text(encoding="utf-8"))
    assert (HERE / "memory.md").read_text(encoding="utf-8") == memory.table(found)
    assert [json.loads(json.dumps(vars(c))) for c in memory.SMOLLM2] == [
        r["case"] for r in found["smollm2"]
    ]
    ratios = [r["planned"] / r["measured"] for r in found["smollm2"]]
    assert 0.85 <= min(ratios) and max(ratios) <= 1.15
    stated = f"the plan says {min(ratios):.2f} to {max(ratios):.2f} of what is measured"
    page = (HERE.parent / "docs" / "performance.md").read_text(encoding="utf-8")
    assert stated in " ".join(page.split())
