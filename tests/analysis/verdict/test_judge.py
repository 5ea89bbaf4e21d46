"""The verdict of whole cells: planted truths, what is missing, status and interval in accord."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raykd.analysis.scores.scores import Explored, Problem, Score, Scores
from raykd.analysis.stats.search.winners_curse import Curse
from raykd.analysis.verdict.caveats import caveats
from raykd.analysis.verdict.judge import judge
from raykd.analysis.verdict.verdict import Cell

from ..made import scores, together

RNG = np.random.default_rng(3)
LUCK = RNG.normal(0, 1.5, 10)


def arm(mean: float, n: int = 10, sd: float = 0.2) -> list[float]:
    return list(mean + LUCK[:n] + RNG.normal(0, sd, n))


def cell(found: Scores, margin: float = 1.0) -> Cell:
    (only,) = judge(found, margin).cells
    return only


def statuses(found: Cell) -> dict[str, str]:
    return {h.id: h.status for h in found.hypotheses}


def test_a_choice_that_does_not_matter() -> None:
    found = cell(
        scores({"none": arm(70), "forward": arm(80), "reverse": arm(80.1), "random": arm(79.9)})
    )
    assert statuses(found) == dict.fromkeys(("H1", "H2", "H3", "H5"), "supported")
    h1 = found.hypothesis("H1")
    assert h1.n == 10 and h1.more_seeds is None and h1.interval is not None
    assert -1 < h1.interval[0] < h1.interval[1] < 1
    assert {c.finding for c in found.to_forward} == {"equivalent"}
    assert {c.finding for c in found.to_none} == {"better"}
    assert found.gap is not None and found.gap.interval[1] < 1


def test_a_planted_difference() -> None:
    found = cell(
        scores({"none": arm(77), "forward": arm(80), "reverse": arm(76), "best_1": arm(83)})
    )
    assert statuses(found) == dict.fromkeys(("H1", "H2", "H3", "H5"), "contradicted")
    assert {c.strategy: c.finding for c in found.to_forward} == dict.fromkeys(
        ("reverse", "best_1"), "different"
    )
    h1, h5 = found.hypothesis("H1"), found.hypothesis("H5")
    assert h1.strategy in ("reverse", "best_1") and h5.strategy == "best_1"
    assert h5.interval is not None and h5.interval[0] > 1
    assert found.gap is not None and (found.gap.best, found.gap.worst) == ("best_1", "reverse")
    assert found.shares is not None and found.shares.sources[0].share > 0.5


def test_arms_that_are_the_same_trainings_are_equivalent() -> None:
    """One map under two names, as forward and last are for a student of one block."""
    same = arm(80, 3)
    both = scores({"none": arm(70, 3), "forward": same, "last": same})
    named = replace(both, items=tuple(replace(s, map="[6]") for s in both.items))
    h1 = cell(named).hypothesis("H1")
    assert (h1.status, h1.interval) == ("supported", (0, 0))


@pytest.mark.parametrize("difference", [0.0, 0.5])
def test_equal_differences_are_no_evidence_where_the_step_is_unknown(difference: float) -> None:
    """Two arms at the majority class have equal scores under every seed (statistics 9)."""
    forward = [80.0, 80.0, 80.0]
    other = [s + difference for s in forward]
    found = cell(scores({"none": arm(70, 3), "forward": forward, "reverse": other}))
    h1 = found.hypothesis("H1")
    assert h1.status == "undecided" and "shows no variance" in h1.says


def test_arms_at_the_majority_class_are_no_evidence() -> None:
    """However many seeds agree; above it, equal scores count as one step apart."""
    same = [80.0] * 10
    found = scores({"none": arm(70), "forward": same, "reverse": same}, resolution=1.0)
    assert cell(found, 2.0).hypothesis("H1").status == "supported"
    h1 = cell(replace(found, majority=80.0), 2.0).hypothesis("H1")
    assert h1.status == "undecided" and "both are at the majority class" in h1.says
    few = scores({"forward": same[:2], "reverse": same[:2]}, resolution=1.0)
    assert cell(few, 2.0).hypothesis("H1").status == "undecided"


@pytest.mark.parametrize(("stated", "judged"), [(1.0, 4.0), (4.0, 4.0), (5.0, 5.0)])
def test_a_margin_is_at_least_two_steps_of_the_score(stated: float, judged: float) -> None:
    """Of 50 test rows a step is 2 points (statistics 9). The caveat names both margins."""
    found = scores({"none": arm(70), "forward": arm(80), "reverse": arm(80)}, resolution=2.0)
    verdict = judge(found, stated)
    assert (verdict.stated_margin, verdict.margin) == (stated, judged)
    assert verdict.cells[0].hypothesis("H1").margin == judged
    said = [c.says for c in caveats(verdict, found)]
    assert len(said) == (stated < judged)
    assert all("the margin is 4 in place of 1" in says for says in said)


def test_two_seeds_end_undecided_with_a_number_of_seeds() -> None:
    found = cell(scores({"none": [70.0, 71.0], "forward": [80.0, 81.0], "reverse": [80.4, 80.8]}))
    h1 = found.hypothesis("H1")
    assert h1.status == "undecided" and h1.n == 2
    assert h1.more_seeds is not None and 1 <= h1.more_seeds < 20
    assert f"about {h1.more_seeds} more seed" in h1.says


def test_an_effect_at_the_margin_has_no_number_of_seeds() -> None:
    x = [80.0, 81.0, 79.5, 80.5]
    off = [v + 1.0 + e for v, e in zip(x, (0.25, -0.25, 0.5, -0.5), strict=True)]
    h1 = cell(scores({"forward": x, "reverse": off})).hypothesis("H1")
    assert h1.effect == 1.0 and (h1.status, h1.more_seeds) == ("undecided", None)
    assert "even 10,000 seeds" in h1.says


def test_one_seed_is_named_and_nothing_is_judged() -> None:
    found = cell(scores({"none": [70.0], "forward": [80.0], "reverse": [75.0]}))
    assert set(statuses(found).values()) == {"undecided"}
    assert found.hypothesis("H1").effect == -5 and found.hypothesis("H1").interval is None
    assert {p.kind for p in found.problems} == {"few_seeds"}
    assert found.gap is None and found.ratio is None and found.shares is None


def test_unpaired_seeds_are_named_and_left_out() -> None:
    whole = scores({"none": arm(70), "forward": arm(80), "reverse": arm(80)})
    part = replace(
        whole, items=tuple(s for s in whole.items if (s.strategy, s.seed) != ("reverse", 4))
    )
    found = cell(part)
    assert found.to_forward[0].n == 9 and 4 not in found.to_forward[0].seeds
    (problem,) = found.problems
    assert problem.kind == "unpaired" and problem.says.endswith("seeds 4")


def test_an_arm_that_failed_keeps_all_from_being_said_of_all() -> None:
    good = scores({"none": arm(70), "forward": arm(80), "reverse": arm(80)})
    lost = Problem("failed", "random failed under seeds 0, 1", "reviews", "copied", "3", "random")
    found = cell(replace(good, problems=(lost,)))
    assert statuses(found) == dict.fromkeys(("H1", "H2", "H3", "H5"), "undecided")
    assert "no paired score of random" in found.hypothesis("H1").says
    assert lost in found.problems
    for harmless in (replace(lost, control=True), replace(lost, strategy="none")):
        arms = {"forward": arm(80), "reverse": arm(80)}
        assert cell(replace(scores(arms), problems=(harmless,))).hypothesis("H1").status == (
            "supported"
        )


def test_an_arm_that_shares_no_seed_keeps_all_from_being_said_of_all() -> None:
    whole = scores({"none": arm(70), "forward": arm(80), "reverse": arm(80), "random": arm(80)})
    moved = tuple(
        replace(s, seed=s.seed + 100) if s.strategy == "random" else s for s in whole.items
    )
    found = cell(replace(whole, items=moved))
    assert statuses(found) == dict.fromkeys(("H1", "H2", "H3", "H5"), "undecided")
    assert "no paired score of random" in found.hypothesis("H1").says


def test_without_none_or_forward_what_cannot_be_judged_is_named() -> None:
    found = cell(scores({"forward": arm(80), "reverse": arm(80)}))
    assert statuses(found) == {
        "H1": "supported", "H2": "undecided", "H3": "undecided", "H5": "supported",
    }  # fmt: skip
    (problem,) = found.problems
    assert problem.kind == "no_reference" and "H2 and H3" in problem.says
    other = cell(scores({"none": arm(70), "random": arm(80), "reverse": arm(80)}))
    assert statuses(other) == {
        "H1": "undecided", "H2": "supported", "H3": "supported", "H5": "undecided",
    }  # fmt: skip


def test_controls_stand_apart_and_matching_has_to_beat_them() -> None:
    arms = {"none": arm(70), "forward": arm(80), "reverse": arm(80), "shuffled": arm(74)}
    found = cell(scores(arms, controls=["shuffled"]))
    assert [c.strategy for c in found.to_forward] == ["reverse"]
    assert found.hypothesis("H1").status == "supported"
    assert found.controls is not None and found.controls.status == "supported"
    assert found.controls.comparisons[0].effect == pytest.approx(6, abs=0.3)
    alike = [x + e for x, e in zip(arms["forward"], [0.4, -0.4] * 5, strict=True)]
    as_good = cell(scores({**arms, "shuffled": alike}, controls=["shuffled"]))
    assert as_good.controls is not None and as_good.controls.status == "undecided"


def test_of_a_loss_less_is_better() -> None:
    """Turning every score round and saying so changes nothing but the arms' own means."""
    found = scores({"none": arm(70), "forward": arm(80), "reverse": arm(77), "random": arm(80)})
    turned = replace(
        found,
        items=tuple(replace(s, score=-s.score) for s in found.items),
        larger_is_better=False,
    )
    up, down = cell(found), cell(turned)
    assert up.hypotheses == down.hypotheses
    assert (up.to_forward, up.gap, up.ratio) == (down.to_forward, down.gap, down.ratio)


def searched(trained: int | None, explored: int | None) -> Curse:
    """The winner's curse of best_1 after so many steps of each."""
    items = scores({"none": arm(70), "forward": arm(80), "best_1": arm(80.5)}).items
    maps = {"forward": "[2, 4, 6]", "best_1": "[5, 3, 6]", "none": "[null, null, null]"}
    items = tuple(replace(s, map=maps[s.strategy], steps=trained) for s in items)
    tried = {"[5, 3, 6]": 84.0, "[2, 4, 6]": 80.5, "[1, 1, 1]": 79.0}
    maps_tried = tuple(
        Explored("reviews", "copied", "3", m, s, steps=explored) for m, s in tried.items()
    )
    (curse,) = cell(Scores(items, "accuracy", explored=maps_tried)).curse
    return curse


def test_the_winners_curse_is_a_number() -> None:
    curse = searched(100, 100)
    assert curse.kept is not None
    assert (curse.explored, curse.against, curse.promised) == (84.0, "forward", 3.5)
    assert curse.kept == pytest.approx(0.5, abs=0.3) and curse.n == 10
    assert curse.lost == pytest.approx(3.5 - curse.kept)
    assert curse.still_ahead == (curse.interval is not None and curse.interval[0] > 0)
    assert "after 100 steps as there" in curse.says


@pytest.mark.parametrize(("trained", "explored"), [(100, 20), (None, 20), (100, None), (None,) * 2])
def test_what_other_numbers_of_steps_leave_of_a_lead_is_withheld(
    trained: int | None, explored: int | None
) -> None:
    """Case 8: 20 steps on select are not held against 100 on test."""
    curse = searched(trained, explored)
    assert (curse.explored, curse.promised, curse.n) == (84.0, 3.5, 10)
    assert (curse.kept, curse.lost, curse.interval, curse.still_ahead) == (None,) * 4
    assert "not available" in curse.says
    assert (curse.trained_steps, curse.searched_steps) == (trained, explored)
    if trained and explored:
        assert "20 steps there and has 100 here" in curse.says


def test_predictions_bring_mcnemar_and_the_test_examples_uncertainty() -> None:
    ids = np.array([f"{i:03}" for i in range(300)])
    hard = RNG.random(300)

    def predicted(strategy: str, seed: int, skill: float) -> Score:
        right = hard + RNG.normal(0, 0.1, 300) < skill
        return Score("reviews", "copied", "3", strategy, seed, "accuracy",
                     100 * float(right.mean()), ids=ids, correct=right)  # fmt: skip

    items = tuple(predicted(a, s, k) for a, k in (("forward", 0.8), ("reverse", 0.75))
                  for s in range(4))  # fmt: skip
    (pair,) = cell(Scores(items, "accuracy", resolution=100 / 300)).to_forward
    assert len(pair.mcnemar) == 4 and {m.seed for m in pair.mcnemar} == {0, 1, 2, 3}
    assert pair.population is not None and pair.interval is not None
    low, high = pair.population
    assert low < pair.effect < high
    json.dumps(judge(Scores(items, "accuracy")).to_json(), allow_nan=False)


def test_the_json_has_the_hypotheses_of_every_cell_at_its_top() -> None:
    both = together(
        scores({"none": arm(70), "forward": arm(80), "reverse": arm(80)}, init="copied"),
        scores({"none": arm(60), "forward": arm(70), "reverse": arm(65)}, init="random"),
    )
    found = judge(both)
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    wanted = {"id", "task", "init", "shape", "status", "effect", "interval", "n", "margin",
              "more_seeds"}  # fmt: skip
    assert all(wanted <= set(h) for h in data["hypotheses"])
    assert [(h["id"], h["init"]) for h in data["hypotheses"]] == [
        (h, init) for init in ("copied", "random") for h in ("H1", "H2", "H3", "H5")
    ]
    ((task, shape, shares, _),) = found.shares
    assert (task, shape, shares.inits) == ("reviews", "3", 2)
    assert max(shares.sources, key=lambda s: s.share).source == "init"


def test_without_seeds_the_numbers_are_shown_and_nothing_is_judged() -> None:
    found = judge(scores({"none": [70.0], "forward": [80.0], "reverse": [76.0]}, seeded=False), 1.0)
    assert {h.status for h in found.hypotheses} == {"undecided"}
    assert "without seeds" in found.hypotheses[0].says and "2.04" in found.hypotheses[0].says
    assert any("No seeds are stated" in note for note in found.notes)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 10_000), st.integers(2, 6), st.floats(0.05, 3), st.floats(-3, 3), st.floats(0, 3)
)
def test_status_and_interval_never_contradict_each_other(
    seed: int, n: int, sd: float, effect: float, gain: float
) -> None:
    """Supported: the interval is on the claim's side of its bound. Contradicted: wholly on the
    other. Undecided: neither, and a number of seeds or none."""
    rng = np.random.default_rng(seed)
    means = {"none": -gain, "forward": 0.0, "reverse": effect, "random": 0.2, "best_1": 0.1}
    found = cell(scores({a: list(m + rng.normal(0, sd, n)) for a, m in means.items()}))
    for h in found.hypotheses:
        if h.interval is None:
            continue
        low, high = h.interval
        inside = {"H1": -1 < low and high < 1, "H2": low > 0, "H3": high < 0.5, "H5": high < 1}
        beyond = {"H1": low > 1 or high < -1, "H2": high < 0, "H3": low > 0.5, "H5": low > 1}
        if h.status == "supported":
            assert inside[h.id] and h.more_seeds is None
        elif h.status == "contradicted":
            assert beyond[h.id] and h.more_seeds is None
        else:
            assert not inside[h.id] and not (beyond[h.id] and h.id != "H3")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**20), st.sampled_from([0.0, 0.5, 3.0]), st.sampled_from([None, 69.5, 79.9]))
def test_scores_of_which_smaller_are_better_are_judged_as_their_negatives(
    seed: int, gap: float, majority: float | None
) -> None:
    rng = np.random.default_rng(seed)
    means = {"none": 70.0, "forward": 80.0, "reverse": 80.0 - gap}
    arms = {name: list(mean + rng.normal(0, 0.3, 6)) for name, mean in means.items()}
    turned = {name: [-value for value in values] for name, values in arms.items()}
    larger = judge(scores(arms, majority=majority), 1.0)
    constant = None if majority is None else -majority
    smaller = judge(scores(turned, majority=constant, larger_is_better=False), 1.0)
    for a, b in zip(larger.cells, smaller.cells, strict=True):
        assert [(h.id, h.status) for h in a.hypotheses] == [(h.id, h.status) for h in b.hypotheses]
        assert [c.finding for c in a.to_forward] == [c.finding for c in b.to_forward]
        assert [arm.collapsed for arm in a.arms] == [arm.collapsed for arm in b.arms]
        for one, other in zip(a.to_forward, b.to_forward, strict=True):
            assert other.effect == pytest.approx(one.effect)
