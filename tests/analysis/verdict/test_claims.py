"""Claims of a sweep file: the answers of the hypotheses where they ask the same, direct definitions
where they do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from raykd.analysis.claims.results import ClaimResult, of_all
from raykd.analysis.claims.stated import NamedArm, StatedClaim, of_text
from raykd.analysis.scores.scores import Problem, Scores
from raykd.analysis.stats.sequential import Look
from raykd.analysis.summary.headline import headline
from raykd.analysis.verdict.caveats import caveats
from raykd.analysis.verdict.judge import judge
from raykd.analysis.verdict.verdict import Hypothesis

from ..made import scores, together

MARGIN = 1.0


def drawn(
    seed: int, means: Mapping[str, float], seeds: int = 8, sd: float = 0.4, luck: float = 1.0
) -> dict[str, Sequence[float]]:
    rng = np.random.default_rng(seed)
    shared = rng.normal(75, luck, seeds)
    return {name: list(shared + m + rng.normal(0, sd, seeds)) for name, m in means.items()}


def claiming(of: Scores, *claims: str) -> Scores:
    return replace(of, claims=of_text("claims", f"[{', '.join(claims)}]"))


def answers(of: Scores, *claims: str, alpha: float = 0.05, look: Look | None = None,
            margin: float = MARGIN) -> tuple[ClaimResult, ...]:  # fmt: skip
    return judge(claiming(of, *claims), margin, alpha, look).claims


# The same question as a hypothesis


def without(of: Scores, arm: str, *seeds: int, kind: Any = "failed") -> Scores:
    """The scores without the runs of an arm under some seeds, as the loader reports them."""
    kept = tuple(s for s in of.items if s.strategy != arm or s.seed not in seeds)
    lost = Problem(kind, "lost", "reviews", "copied", "3", arm, seeds=seeds)
    return replace(of, items=kept, problems=(lost,))


SCENES = {
    "plain": lambda of: of,
    "a run is missing": lambda of: without(of, "reverse", 3),
    "runs of both are missing": lambda of: replace(
        without(without(of, "reverse", 3), "forward", 5),
        problems=(*without(of, "reverse", 3).problems, *without(of, "forward", 5).problems),
    ),
    "one run is left": lambda of: without(of, "reverse", *range(1, 8)),
    "a loss": lambda of: replace(of, larger_is_better=False),
    "coarse": lambda of: replace(
        of, resolution=0.5, items=tuple(replace(s, score=round(2 * s.score) / 2) for s in of.items)
    ),
    "coarser than the margin": lambda of: replace(
        of, resolution=1.0, items=tuple(replace(s, score=float(round(s.score))) for s in of.items)
    ),
    "the majority class": lambda of: replace(
        of, majority=75.0, items=tuple(replace(s, score=75.0) for s in of.items)
    ),
    "an extension": lambda of: replace(of, stages=((0, 1, 2, 3), (4, 5, 6, 7)), extend=True),
    "before an extension": lambda of: replace(of, stages=(tuple(range(8)),), extend=True),
    "a second judgement": lambda of: replace(of, stages=((0, 1, 2, 3), (4, 5, 6, 7))),
    "no seeds": lambda of: replace(
        of, seeded=False, items=tuple(s for s in of.items if s.seed == 0)
    ),
}  # fmt: skip
LOOKS = {"no looks": None, "first look": Look.of(1, (8, 12), 0.05),
         "last look": Look.of(2, (4, 8), 0.05)}  # fmt: skip
APART = {"an extension", "before an extension"}  # a file has either looks or an extension


def evidence(h: Hypothesis | ClaimResult) -> tuple[Any, ...]:
    return h.status, h.more_seeds, h.more_seeds_range, h.missing, h.withheld


def numbers(h: Hypothesis | ClaimResult) -> Any:
    """Effect, interval and chance, with NaN for none."""
    found = h if isinstance(h, Hypothesis) else h.comparison
    assert found is not None
    values = [found.effect, *(found.interval or (None, None)), h.chance]
    return pytest.approx([np.nan if v is None else v for v in values], nan_ok=True)


def agree(one: Hypothesis | ClaimResult, other: Hypothesis | ClaimResult) -> bool:
    return evidence(one) == evidence(other) and numbers(one) == numbers(other).expected


@pytest.mark.parametrize(
    ("scene", "look"), [(s, w) for s in SCENES for w in LOOKS if w == "no looks" or s not in APART]
)
@pytest.mark.parametrize("off", [-2.0, -1.0, 0.0, 0.6, 1.0, 2.0])
def test_a_claim_that_a_hypothesis_makes_too_has_its_answer(
    off: float, scene: str, look: str
) -> None:
    of = SCENES[scene](
        scores(drawn(int(10 * off) + 50, {"none": -3, "forward": 0, "reverse": off}))
    )
    equal, gain = "{equivalent: [reverse, forward], within: 1}", "{better: reverse, than: none}"
    verdict = judge(claiming(of, equal), MARGIN, 0.05, LOOKS[look])
    assert agree(verdict.claims[0], verdict.cells[0].hypothesis("H1"))
    alone = replace(of, items=tuple(s for s in of.items if s.strategy != "forward"),
                    problems=tuple(p for p in of.problems if p.strategy != "forward"))  # fmt: skip
    verdict = judge(claiming(alone, gain), MARGIN, 0.05, LOOKS[look])
    claim = replace(verdict.claims[0], chance=None)  # H2 does not affect stopping
    assert agree(claim, verdict.cells[0].hypothesis("H2"))


@pytest.mark.parametrize("off", [-1.0, 0.0, 0.6, 1.0, 1.7, 3.0])
@pytest.mark.parametrize("look", LOOKS)
def test_a_lead_beyond_the_margin_is_what_h5_denies(off: float, look: str) -> None:
    of = scores(drawn(int(10 * off) + 50, {"none": -3, "forward": 0, "reverse": off}))
    beaten = "{better: reverse, than: forward, by: 1}"
    verdict = judge(claiming(of, beaten), MARGIN, 0.05, LOOKS[look])
    opposite: dict[str, Any] = {"supported": "contradicted", "contradicted": "supported"}
    h5 = verdict.cells[0].hypothesis("H5")
    h5 = replace(h5, status=opposite.get(h5.status, "undecided"))
    assert agree(verdict.claims[0], h5)


def test_claims_change_nothing_else() -> None:
    of = scores(drawn(0, {"none": -3, "forward": 0, "reverse": 1.5, "last": 0.1}))
    claims = "{better: reverse, than: forward}", "{equivalent: [last, none], within: 9}"
    plain, with_claims = judge(of, MARGIN), judge(claiming(of, *claims), MARGIN)
    assert len(with_claims.claims) == 2 and replace(with_claims, claims=()) == plain
    assert headline(with_claims) == headline(plain)


# Direct definitions


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("by", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_better_is_a_one_sided_paired_t_test_against_the_lead(
    seed: int, by: float, alpha: float
) -> None:
    arms = drawn(seed, {"forward": 0, "last": 0.9}, seeds=5)
    (claim,) = answers(scores(arms), f"{{better: last, than: forward, by: {by}}}", alpha=alpha)
    d = np.array(arms["last"]) - np.array(arms["forward"])
    p_for = stats.ttest_1samp(d, by, alternative="greater").pvalue
    p_against = stats.ttest_1samp(d, by, alternative="less").pvalue
    assert (claim.p_for, claim.p_against) == (pytest.approx(p_for), pytest.approx(p_against))
    expected = ("supported" if p_for <= alpha else "contradicted" if p_against <= alpha
                else "undecided")  # fmt: skip
    assert claim.status == expected and claim.comparison is not None
    low, high = stats.ttest_1samp(d, 0).confidence_interval(1 - 2 * alpha)
    assert claim.comparison.interval == pytest.approx((low, high))
    assert (low > by, high < by) == (expected == "supported", expected == "contradicted")


@pytest.mark.parametrize("seed", range(4))
def test_equivalence_is_tost_of_every_two_arms(seed: int) -> None:
    means = {"forward": 0, "reverse": 0.3, "last": -0.4}
    arms = drawn(seed, means, sd=0.5)
    (claim,) = answers(scores(arms), "{equivalent: [forward, reverse, last], within: 1.2}")
    p = []
    for a, b in (("forward", "reverse"), ("forward", "last"), ("reverse", "last")):
        d = np.array(arms[a]) - np.array(arms[b])
        p.append(max(stats.ttest_1samp(d, -1.2, alternative="greater").pvalue,
                     stats.ttest_1samp(d, 1.2, alternative="less").pvalue))  # fmt: skip
    assert claim.p_for == pytest.approx(max(p)) and len(claim.comparisons) == 3
    assert (claim.status == "supported") == (max(p) <= 0.05)


@pytest.mark.parametrize("far", [0.0, 0.8, 3.0])
def test_the_order_of_equivalent_arms_does_not_matter(far: float) -> None:
    of = scores(drawn(1, {"forward": 0, "reverse": 0.1, "last": far}))
    found = [
        answers(of, f"{{equivalent: [{', '.join(order)}], within: 1}}")[0]
        for order in permutations(["forward", "reverse", "last"])
    ]
    assert len({(c.status, c.more_seeds, len(c.comparisons)) for c in found}) == 1
    sizes = [abs(c.comparison.effect) for c in found if c.comparison]
    assert sizes == pytest.approx([sizes[0]] * 6)


def two(first: Mapping[str, float], second: Mapping[str, float], **more: Any) -> Scores:
    return together(
        scores(drawn(2, first, **more), init="lower"),
        scores(drawn(3, second, **more), init="upper"),
    )


LEAD = "{better: last, than: forward}"


def test_a_claim_holds_in_every_setting_or_in_the_one_it_names() -> None:
    up, level, down = ({"forward": 0.0, "last": m} for m in (2.0, 0.02, -2.0))
    cases = {"supported": (up, up), "undecided": (up, level), "contradicted": (up, down)}
    for status, settings in cases.items():
        of = two(*settings)
        (everywhere,) = answers(of, LEAD)
        assert everywhere.status == status, everywhere.says
        assert [c.setting for c in everywhere.comparisons] == ["lower", "upper"]
        first, second = answers(of, "{better: last, than: forward, init: lower}",
                                "{better: last, than: forward, init: upper}")  # fmt: skip
        assert (first.status, second.status) == ("supported", status)
        assert everywhere.p_for == pytest.approx(max(first.p_for, second.p_for))
        least = min(2 * min(first.p_against, second.p_against), 1)
        assert everywhere.p_against == pytest.approx(least)
        assert first.claim == "last is better than forward, lower"


@pytest.mark.parametrize("lost", [(), ((0, 2),), ((0, 2), (1, 5)), ((0, 2), (1, 2))])
@pytest.mark.parametrize("off", [-1.0, 0.0, 1.0, 2.0])
def test_inits_are_compared_as_two_arms_of_one_cell_would_be(
    lost: Sequence[tuple[int, int]], off: float
) -> None:
    """Two cells of one arm each, whose runs span the same scores."""
    arms = drawn(4, {"a": off, "b": 0.0})
    both = [*arms["a"], *arms["b"]]
    ends = {"low": [min(both)] * 8, "high": [max(both)] * 8}
    cells = []
    for init, arm in (("lower", "a"), ("upper", "b")):
        items = scores({"none": arms[arm], **ends}, init=init)
        cells.append(items)
    joined, single = together(*cells), scores({**arms, **ends})
    for which, seed in lost:
        init, arm = (("lower", "a"), ("upper", "b"))[which]
        joined = replace(
            joined, problems=(*joined.problems, Problem("failed", "x", "reviews", init, "3", "none",
                                                        seeds=(seed,))),
            items=tuple(s for s in joined.items
                        if (s.init, s.strategy, s.seed) != (init, "none", seed)),
        )  # fmt: skip
        single = replace(
            single, problems=(*single.problems, Problem("failed", "x", "reviews", "copied", "3",
                                                        arm, seeds=(seed,))),
            items=tuple(s for s in single.items if (s.strategy, s.seed) != (arm, seed)),
        )  # fmt: skip
    across = "{strategy: none, init: lower}", "{strategy: none, init: upper}"
    for named, plain in (
        (f"{{better: {across[0]}, than: {across[1]}}}", "{better: a, than: b}"),
        (f"{{equivalent: [{', '.join(across)}], within: 1}}", "{equivalent: [a, b], within: 1}"),
    ):
        (one,), (other,) = answers(joined, named), answers(single, plain)
        assert agree(one, other)
        assert one.p_for == pytest.approx(other.p_for)
        assert one.comparison is not None
        assert (one.comparison.first, one.comparison.setting) == ("none (lower)", "")


def test_an_arm_without_a_score_leaves_a_claim_open_unless_another_pair_refutes_it() -> None:
    of = scores(drawn(0, {"forward": 0, "reverse": 0.1, "last": 3}))
    (open_,) = answers(of, "{equivalent: [forward, reverse, gone], within: 1}")
    assert open_.status == "undecided" and open_.p_for == 1
    assert "no paired score of gone" in open_.says and open_.more_seeds is None
    (refuted,) = answers(of, "{equivalent: [forward, last, gone], within: 1}")
    assert refuted.status == "contradicted"
    (nothing,) = answers(of, "{better: gone, than: lost}")
    assert nothing.comparison is None and "no paired score of gone, lost" in nothing.says


def test_claims_about_no_scores_at_all_are_open() -> None:
    for claim in answers(Scores((), "accuracy"), LEAD, "{equivalent: [none, forward], within: 1}"):
        assert (claim.status, claim.comparison, claim.comparisons) == ("undecided", None, ())


def test_a_setting_of_which_no_run_is_finished_leaves_a_claim_open() -> None:
    of = scores(drawn(0, {"forward": 0, "last": 3}), init="lower")
    assert answers(of, LEAD)[0].status == "supported"
    gone = tuple(Problem("missing", "x", "reviews", "upper", "3", arm, seeds=(0, 1))
                 for arm in ("forward", "last"))  # fmt: skip
    (claim,) = answers(replace(of, problems=gone), LEAD)
    assert claim.status == "undecided" and "last (upper)" in claim.says


def test_the_claims_of_tuned_weights_are_about_the_tuned_cell_unless_they_name_one() -> None:
    weights = {"tuned": 3.0, "0.3": -3.0}
    of = together(*(
        replace(s, items=tuple(replace(i, weight=w) for i in s.items))
        for w, m in weights.items() for s in [scores(drawn(0, {"forward": 0, "last": m}))]
    ))  # fmt: skip
    free, tuned, low = answers(of, LEAD, "{better: last, than: forward, weight: tuned}",
                               "{better: last, than: forward, weight: 0.3}")  # fmt: skip
    assert [c.status for c in (free, tuned, low)] == ["supported", "supported", "contradicted"]
    assert len(free.comparisons) == 1 and low.claim.endswith("hidden weight 0.3")


def test_a_claim_holds_under_every_schedule_or_the_one_it_names_and_compares_two() -> None:
    """A schedule without hidden loss has no tuned weight, and counts all the same."""
    cells = {("tuned", "constant"): 2.0, ("0.3", "constant"): -3.0, ("", "stops"): -2.0}
    of = together(*(
        replace(s, items=tuple(replace(i, weight=w, schedule=name) for i in s.items))
        for (w, name), m in cells.items() for s in [scores(drawn(0, {"forward": 0, "last": m}))]
    ))  # fmt: skip
    free, constant, both = answers(
        of, LEAD, "{better: last, than: forward, schedule: constant}",
        "{better: {strategy: last, schedule: constant}, than: {strategy: last, schedule: stops}}",
    )  # fmt: skip
    assert [c.status for c in (free, constant)] == ["contradicted", "supported"]
    assert len(free.comparisons) == 2 and len(constant.comparisons) == 1
    assert constant.claim == "last is better than forward, schedule constant"
    assert both.claim == "last (schedule constant) is better than last (schedule stops)"


# Several claims


@pytest.mark.parametrize("seed", range(5))
def test_claims_are_corrected_for_each_other_by_holm_beside_their_own_status(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = ["a", "b", "c", "d"]
    of = scores(drawn(seed, {"forward": 0, **{n: rng.normal(0.2, 0.4) for n in names}}, seeds=5))
    found = answers(of, *(f"{{better: {n}, than: forward}}" for n in names))
    for kind, status in (("for", "supported"), ("against", "contradicted")):
        p = [getattr(c, f"p_{kind}") for c in found]
        adjusted = multipletests(p, 0.05, "holm")[1]
        assert [getattr(c, f"p_{kind}_holm") for c in found] == pytest.approx(adjusted)
        assert [c.together == status for c in found] == list(adjusted <= 0.05)
        assert [c.status == status for c in found] == [x <= 0.05 for x in p]
    says = of_all(found, 0.05)
    for c in found:
        assert (c.id in says.split("stay decided:")[1]) == (c.together != "undecided")
    assert [c.id for c in found] == ["C1", "C2", "C3", "C4"] and of_all(found[:1], 0.05) == ""


# Interim analyses


def test_a_sweep_goes_on_while_a_claim_is_open_and_could_be_decided() -> None:
    arms = drawn(5, {"none": -3, "forward": 0, "reverse": 0.0, "last": 0.25}, seeds=4, sd=0.12)
    of, look = scores(arms), Look.of(1, (4, 10), 0.05)
    plain = judge(of, 3.0, 0.05, look).look
    assert plain is not None and plain.stop == "H1 and H5 are decided"
    undecided = judge(claiming(of, LEAD), 3.0, 0.05, look)
    assert undecided.claims[0].status == "undecided" and undecided.claims[0].chance is not None
    assert undecided.look is not None and undecided.look.stop is None
    decided = judge(claiming(of, "{better: last, than: none}"), 3.0, 0.05, look)
    assert decided.claims[0].status == "supported" and decided.look is not None
    assert decided.look.stop == "H1, H5 and the claims are decided"


@pytest.mark.parametrize("off", [-0.5, 0.1, 0.6, 1.2])
def test_the_chance_of_a_lead_is_that_of_the_mirrored_question(off: float) -> None:
    """A lead of more than 1 is the opposite of a lead of the other arm above -1, which H5 asks
    where the arms change places and the scores are turned."""
    arms = drawn(6, {"forward": 0, "last": off}, seeds=4)
    look = Look.of(1, (4, 10), 0.05)
    (claim,) = answers(scores(arms), "{better: last, than: forward, by: 1}", look=look)
    moved = {"forward": np.array(arms["forward"]) + 2, "last": np.array(arms["last"])}
    turned = {"forward": moved["last"].tolist(), "last": moved["forward"].tolist()}
    h5 = judge(scores(turned), 1.0, 0.05, look).cells[0].hypothesis("H5")
    # last - forward > 1 exactly if forward + 2 - last < 1
    assert claim.status == h5.status
    assert claim.chance == (None if h5.chance is None else pytest.approx(h5.chance))


# Caveats


def test_a_late_claim_and_a_coarse_one_are_caveats() -> None:
    arms = (NamedArm("last"), NamedArm("forward"))
    late = StatedClaim(arms, 0.0, better=True, late=12)
    now = StatedClaim(arms, 1.5, better=False, late=None)
    of = scores(drawn(0, {"forward": 0, "last": 0.2}), resolution=1.0)
    of = replace(of, claims=(replace(late, late=0), late, now))
    verdict = judge(of, 2.0)
    said = [(c.kind, c.says) for c in caveats(verdict, of)]
    assert [kind for kind, _ in said] == ["claim", "claim", "coarse"]
    assert said[0][1].startswith("C2 (last is better than forward) was not stated before the sweep")
    assert "12 of the confirmed students" in said[0][1] and "with the verdict" in said[1][1]
    assert verdict.claims[2].bound == 2 and verdict.claims[2].stated_bound == 1.5
    assert "within 2, two steps of the score, in place of 1.5" in said[2][1]
    assert "within 1.5 of each other" in verdict.claims[2].claim
