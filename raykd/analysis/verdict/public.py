"""The verdict and its power for a caller's own scores."""

from __future__ import annotations

import math
from dataclasses import replace

from raykd.analysis.scores import units
from raykd.analysis.scores.scores import Scores
from raykd.analysis.stats.power import Needed, needed
from raykd.analysis.verdict import judge as verdicts
from raykd.analysis.verdict.caveats import caveats
from raykd.analysis.verdict.endpoints import add_endpoints
from raykd.analysis.verdict.verdict import Verdict

ALPHA, COMPARISONS = 0.05, 4


def judge(scores: Scores, margin: float | None = None, alpha: float = ALPHA) -> Verdict:
    """The verdict over scores of `read_scores`, with its caveats.

    `margin` is the smallest difference that matters, in the units of the scores, stated before
    they were seen; by default that of the table's column `margin`. `alpha` is the error rate of
    each hypothesis.

    Raises UserError if no margin is stated or it is larger than any difference can be, and
    ValueError for a margin or alpha that is no such number.
    """
    if margin is not None and not 0 < margin < math.inf:
        raise ValueError(f"margin: {margin}; write a number above 0, in the units of the scores")
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha: {alpha}; write a number above 0 and below 0.5")
    return judge_table(scores, margin, alpha, "margin=")


def judge_table(scores: Scores, margin: float | None, alpha: float, key: str) -> Verdict:
    """The same for a valid margin, which the user writes after `key`."""
    verdict = verdicts.judge(scores, units.stated(scores, margin, key), alpha)
    verdict = add_endpoints(verdict, scores)
    notes = units.notes(scores, verdict.stated_margin, chosen=margin is not None)
    verdict = replace(verdict, notes=(*verdict.notes, *notes))
    return replace(verdict, caveats=caveats(verdict, scores))


def power(sd: float, margin: float, alpha: float = ALPHA, comparisons: int = COMPARISONS) -> Needed:
    """The seeds that a margin takes, for power 0.8, and the power by number of seeds.

    `sd` is the standard deviation of a paired difference, two strategies under one seed, in the
    units of the margin; `comparisons` is the number of strategies that are compared to forward.
    Raises ValueError for values out of range.
    """
    for name, value, limit in (("sd", sd, math.inf), ("margin", margin, math.inf),
                               ("alpha", alpha, 0.5)):  # fmt: skip
        if not 0 < value < limit:
            below = "" if limit == math.inf else f" and below {limit:g}"
            raise ValueError(f"{name}: {value}; write a number above 0{below}")
    if type(comparisons) is not int or comparisons < 1:
        raise ValueError(f"comparisons: {comparisons}; write a whole number from 1 on")
    return needed(sd, margin, alpha, comparisons)
