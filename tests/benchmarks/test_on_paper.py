"""What the paper's grid would take: the arithmetic of benchmarks/on_paper.py, on one file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import on_paper, paper_table, paper_time, paper_work
from benchmarks.paper_time import CASES, KINDS, Kind, Sweep, shared_out, slower

HERE = Path(__file__).parents[2] / "benchmarks"
L4 = KINDS[0]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("paper")


@pytest.fixture(scope="module")
def sweep(home: Path) -> Sweep:
    return Sweep("sst2", home, L4, CASES["likely"])


def test_trials_and_steps_are_the_files(sweep: Sweep) -> None:
    # Six strategies, five of them at three weights, two inits, ten seeds; a twentieth held out.
    assert len(sweep.plan(1).confirm) == (5 * 3 + 1) * 2 * 10
    assert sweep.study.prepared.counts["train"] == 67_349 - 3_367
    assert sweep.study.steps == 20 * 2_000


def test_operations_are_two_a_parameter_and_token_and_pass(sweep: Sweep) -> None:
    """Of the blocks: an embedding is looked up, and attention over 14 tokens is next to nothing."""
    own, tokens = sweep.parts, 32 * 14
    block = 12 * 768**2
    assert own.teach.flop == pytest.approx(2 * 12 * block * tokens, rel=0.05)
    assert own.step.flop == pytest.approx(6 * 3 * block * tokens, rel=0.05)
    assert own.tune.flop == pytest.approx(4 * own.step.flop, rel=0.05)
    assert own.answer.flop == pytest.approx(2 * 3 * block * 128 * 14, rel=0.05)


def test_a_step_is_bound_by_its_slower_side(sweep: Sweep) -> None:
    work = sweep.parts.step
    assert sweep.took(work) == sweep.launching(work) > sweep.computing(work)
    weak = replace(sweep, kind=Kind("weak", L4.memory, 1e12, L4.price))
    assert weak.took(work) == weak.computing(work) > weak.launching(work)


@pytest.mark.parametrize("gpus", [1, 5, 20, 320])
def test_gpu_hours_hold_every_students_steps(sweep: Sweep, gpus: int) -> None:
    """Whatever is shared, a student is trained alone; all else comes on top."""
    alone = len(sweep.plan(gpus).confirm) * sweep.study.steps * sweep.took(sweep.parts.step)
    found = sweep.at(gpus)
    assert found.hours * 3600 > alone
    assert found.seconds > alone / gpus
    assert found.jobs <= max(gpus, found.cohorts)


def test_more_gpus_end_sooner_and_share_fewer_passes(sweep: Sweep) -> None:
    few, many = sweep.at(20), sweep.at(320)
    assert many.seconds < few.seconds
    assert many.cohorts > few.cohorts and many.hours > few.hours


def test_gpus_are_shared_out_within_their_number(home: Path, sweep: Sweep) -> None:
    other = Sweep("qnli", home, L4, CASES["likely"])
    ends = []
    for gpus in (2, 4, 8, 16):
        given = shared_out([sweep, other], gpus)
        assert sum(t.gpus for t in given.values()) <= gpus
        ends.append(max(s.teacher + given[s.name].seconds for s in (sweep, other)))
    assert ends == sorted(ends, reverse=True)


def test_losses_cost_more_the_rarer_checkpoints_are() -> None:
    assert slower(1e-9, 600, 0) == pytest.approx(1, abs=1e-6)
    assert slower(1e-9, 600, 60) == pytest.approx(1, abs=1e-6)
    # Half a checkpoint's work and a start anew for each loss, where losses are rare.
    assert slower(1e-6, 600, 60) == pytest.approx(1 + 1e-6 * (300 + 60), rel=1e-6)
    assert slower(1e-4, 6000, 60) > slower(1e-4, 600, 60) > slower(1e-5, 600, 60)


def test_a_part_breaks_where_its_limit_is(sweep: Sweep) -> None:
    part = on_paper.Load("memory", "GB", base=4, each=0.5, limit=16, evidence="")
    assert part.breaks_at == 24
    assert replace(part, base=20).breaks_at == 0
    assert replace(part, each=0).breaks_at == float("inf")


def test_the_whole_page_of_one_file(home: Path) -> None:
    found = json.loads(json.dumps(on_paper.results(home, ("sst2",))))
    for cases in found["gpus"].values():
        low, likely, high = (cases[c] for c in CASES)
        assert low["money"] < likely["money"] < high["money"]
        assert low["hours"] < likely["hours"] < high["hours"]
        assert likely["money"] == pytest.approx(sum(likely["parts"].values()))
    assert found["trials"] == 320
    assert "| `sst2` |" in paper_table.table(found)


def test_the_committed_page_is_of_the_committed_results() -> None:
    found = json.loads((HERE / "on_paper.json").read_text(encoding="utf-8"))
    assert (HERE / "on_paper.md").read_text(encoding="utf-8") == paper_table.table(found)
    assert set(found["files"]) == set(paper_work.FILES)
    assert found["assumed"]["seeds"] == paper_work.SEEDS == 10
    assert found["assumed"]["boot"] == paper_time.BOOT


def test_the_guide_tells_the_committed_figures() -> None:
    found = json.loads((HERE / "on_paper.json").read_text(encoding="utf-8"))
    guide = (HERE.parent / "docs" / "cluster.md").read_text(encoding="utf-8")
    for what, form in (("hours", ",.0f"), ("gpu_hours", ",.0f"), ("money", ",.0f")):
        cells = [paper_table.spread(found["gpus"][n], what, form) for n in ("64", "1000")]
        assert f"| {' | '.join(cells)} |" in guide
    parts = {x["part"]: x for x in found["loads"]}
    memory = parts["the head's memory"]
    assert f"{memory['each']:.2f} GB" in guide and f"{int(memory['breaks_at'])} jobs" in guide
