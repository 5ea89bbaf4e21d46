"""The figures as values: what is drawn where, without a browser."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from scipy import stats

from raykd.analysis.digits import Digits
from raykd.analysis.summary.headline import headline
from raykd.analysis.verdict.judge import judge
from raykd.analysis.verdict.verdict import Arm, Comparison
from raykd.maps.depth import Depth
from raykd.maps.layer_map import LayerMap
from raykd.report import figures, search_figures
from raykd.report.curve_figures import Course, curves, mean_course
from raykd.report.equivalence_figure import equivalence
from raykd.report.figures import half_width, spread, stacked
from raykd.report.map_figures import Drawn, layer_maps
from raykd.report.plotting import COLOURS, marks
from raykd.report.sections import sections
from raykd.report.sentences import sentence
from raykd.report.tables import costs
from raykd.tracking.ledger import Record

from .pages import GAINS, TEACHER, scores, table_page, tried, verdict

# Told apart


def test_every_strategy_has_a_look_of_its_own() -> None:
    looks = marks(f"s{i}" for i in range(56))
    assert len({(m.colour, m.sign) for m in looks.values()}) == 56
    first = [marks(GAINS)[name] for name in GAINS]
    assert len({m.colour for m in first}) == len({m.sign for m in first}) == len(COLOURS)


def test_equal_scores_do_not_hide_each_other() -> None:
    assert stacked([1.0, 1.0, 2.0, 1.0], 0.0) == (0, 1, 0, 2)
    assert stacked([1.0, 1.05, 1.2], 0.1) == (0, 1, 0)
    assert stacked([1.0] * 5, 0.0) == (0, 1, 2, 3, 3)


# Seeds and equivalence


def shapes(figure: object) -> list[tuple[float, float]]:
    return [(s.x0, s.x1) for s in figure.layout.shapes]  # type: ignore[attr-defined]


def test_the_margin_is_drawn_around_forward() -> None:
    found = verdict()
    cell = found.cells[0]
    forward = next(a for a in cell.arms if a.strategy == "forward").mean
    drawn = figures.seeds(1, table_page(), marks(GAINS))
    assert (forward - 1, forward + 1) in shapes(drawn.figure)
    assert (-1, 1) in shapes(equivalence(1, cell, found).figure)


def test_a_means_interval_is_the_t_interval() -> None:
    values = (79.0, 80.0, 81.5, 80.5)
    arm = Arm("forward", False, (), (0, 1, 2, 3), values, 80.25, 1.0408329997330663)
    low, high = stats.t.interval(0.95, 3, loc=80.25, scale=stats.sem(values))
    assert half_width(arm, 0.05) == pytest.approx((high - low) / 2)
    assert half_width(replace(arm, scores=(79.0,), seeds=(0,), sd=None), 0.05) == 0


def test_every_comparison_is_drawn_in_its_finding() -> None:
    found = verdict()
    for number, cell in enumerate(found.cells, 1):
        figure = equivalence(number, cell, found).figure
        names = list(figure.layout.yaxis.ticktext)
        drawn = {
            (names[y], trace.name, x)
            for trace in figure.data
            for x, y in zip(trace.x, trace.y, strict=True)
            if y is not None
        }
        assert drawn == {(c.strategy, c.finding, c.effect) for c in cell.to_forward}


def test_open_and_missing_intervals() -> None:
    base = Comparison("reverse", "forward", "undecided", 0.5, None, None, 0.9, 2, (0,), (0.5,))
    assert figures.bounds(base) == ()
    assert figures.bounds(replace(base, interval=(-math.inf, 1.0))) == ()
    assert spread(None) == "-" and spread((-math.inf, 1.0)) == "up to +1.00"
    assert spread((0.5, math.inf)) == "+0.50 or more"
    assert spread((-math.inf, math.inf)) == "unbounded"
    assert spread((0.0, 0.0)) == "+0.00 to +0.00"
    assert spread((-0.0013, 0.0)) == "-0.0013 to +0.0000"
    assert spread((-0.0013, 0.0), Digits()) == "+0.00 to +0.00"


# Curves, maps, search, cost


def test_a_mean_curve_has_the_steps_that_every_seed_has() -> None:
    courses = [
        Course("random", "forward", 0, ((10, 70.0), (20, 80.0), (30, 90.0))),
        Course("random", "forward", 1, ((10, 72.0), (20, 84.0))),
    ]
    assert mean_course(courses) == ((10, 71.0), (20, 82.0))
    (drawn,) = curves(courses, marks(["forward"]), "select accuracy", 1.0)
    assert "forward 82.00" in drawn.alt
    singles = [t for t in drawn.figure.data if t.meta == "single"]
    assert [list(zip(t.x, t.y, strict=True)) for t in singles] == [[*c.scores] for c in courses]
    assert drawn.singles and not any(t.visible for t in singles)
    (band,) = [t for t in drawn.figure.data if t.meta == "band"]
    assert [*zip(band.x, band.y, strict=True)] == [(10, 70), (20, 80), (20, 84), (10, 72)]
    (alone,) = curves(courses[:1], marks(["forward"]), "select accuracy", 1.0)
    assert not [t for t in alone.figure.data if t.meta == "band"]


def test_a_line_for_every_pair_of_every_map() -> None:
    drawn = (
        Drawn("none", (LayerMap((None, None)),)),
        Drawn("mixed", (LayerMap((1, 4), embedding=0), LayerMap((1, 3), embedding=0))),
        Drawn("ranges", (LayerMap((1, None), upto=(2, None)),)),
    )
    figure = layer_maps(drawn, Depth(4), marks(["none", "mixed", "ranges"])).figure
    lines = {t.hovertext for t in figure.data if t.mode == "lines"}
    assert lines == {
        "student block 0 imitates teacher block 0, 2 of 2 maps",
        "student block 1 imitates teacher block 1, 2 of 2 maps",
        "student block 2 imitates teacher block 4, 1 of 2 maps",
        "student block 2 imitates teacher block 3, 1 of 2 maps",
        "student block 1 imitates teacher block 1, 1 of 1 maps",
        "student block 1 imitates teacher block 2, 1 of 1 maps",
    }


def test_the_search_ends_at_its_best_map() -> None:
    best_so_far = search_figures.history(tried(), "select accuracy").figure.data[1]
    assert best_so_far.y[-1] == max(t.score for t in tried())
    lowest = search_figures.history(tried(), "select loss", larger_is_better=False).figure.data[1]
    assert lowest.y[-1] == min(t.score for t in tried())


def test_the_landscape_is_the_verdicts() -> None:
    found = verdict().cells[0].landscape
    assert found is not None
    grid = search_figures.landscape(found, Depth(TEACHER), "select accuracy").figure.data[0]
    place = next(p for p in found.places if (p.student, p.teacher) == (2, 3))
    assert grid.z[1][list(grid.x).index("3")] == place.mean
    bars = search_figures.importance(found).figure.data[0]
    assert list(bars.x) == [100 * p.share for p in found.positions]
    assert max(zip(bars.x, bars.y, strict=True))[1] == "student block 2"


def record(phase: str, device: str | None, seconds: float, status: str = "finished") -> Record:
    numbers = {"seconds": seconds, "teacher_seconds": 10.0, "examples_per_second": 100.0}
    return Record("t", "r", status, phase, "forward", "[1]", "random", 0, "f", "c", None,  # type: ignore[arg-type]
                  numbers, {}, 0.0, 1.0, device)  # fmt: skip


def test_cost_by_hand() -> None:
    records = [
        record("confirm", "cuda:0", 1790),
        record("confirm", "cuda:1", 3590),
        record("confirm", "cuda:0", 9999, "failed"),
        record("explore", "cpu", 350),
    ]
    confirm, explore = costs(records, workers=2)
    assert (confirm.phase, confirm.device, confirm.trials) == ("confirm", "cuda", 2)
    assert confirm.seconds == 2700 and confirm.hours == pytest.approx(2 * 5400 / 3600)
    assert (explore.device, explore.hours) == ("cpu", pytest.approx(0.2))


# Words


def test_the_headline_follows_the_first_hypothesis() -> None:
    assert headline(verdict()).startswith("The choice of layers matters here in 2 of 2 settings")
    equal = replace(scores(), items=tuple(
        replace(s, score=s.score - GAINS[s.strategy]) for s in scores(12).items
        if s.strategy != "none"
    ))  # fmt: skip
    assert "does not matter here in 2 of 2 settings" in headline(judge(equal, 1.0))
    assert "within 1 point of accuracy" in headline(judge(equal, 1.0))
    two = replace(scores(), items=tuple(s for s in scores(noise=3.0).items if s.seed < 2))
    assert headline(judge(two, 1.0)).startswith("Not decided")
    loss = replace(scores(), metric="loss", larger_is_better=False)
    assert "0.1 loss" in headline(judge(loss, 0.1))
    assert headline(judge(replace(scores(), items=()), 1.0)).startswith("No verdict")


def test_sentences() -> None:
    assert sentence("all do") == "All do." and sentence("Done?") == "Done?"


def test_many_settings_are_told_in_a_table_first() -> None:
    items = scores().items
    tasks = tuple(replace(s, task=f"{s.task} {i}") for i in range(2) for s in items)
    many = replace(table_page(), verdict=judge(replace(scores(), items=tasks), 1.0))
    first, claims, second = sections(many)[:3]
    assert [f.status for f in claims.findings] == [c.status for c in many.verdict.claims]
    assert [d.id for d in first.drawings] == ["equivalence-1"]
    assert not second.findings and len(second.tables[0].rows) == 4
    assert len(second.details[0].findings) == 16
    others = next(s for s in sections(many) if s.id == "equivalence")
    assert [d.id for d in others.drawings] == [f"equivalence-{i}" for i in (2, 3, 4)]
    assert "over all settings" in {s.title.lower() for s in sections(many)}
