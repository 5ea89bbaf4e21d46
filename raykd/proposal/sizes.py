"""Sizes of a proposed sweep: shares of rows, lengths, steps, seeds, and a margin that they show."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from functools import cache

from raykd.analysis.stats.power import largest_sd
from raykd.config.sweep import SweepConfig
from raykd.config.training import Training
from raykd.planning.study import DEFAULT_EPOCHS

TEST_SHARE, MOST_TEST_SHARE, SELECT_SHARE = 0.2, 0.4, 0.1
TEST_ROWS, MOST_TEST_ROWS, MOST_SELECT_ROWS = 400, 4000, 1000
FEW_TRAIN_ROWS = 512
"""Below, an epoch of the teacher is a few steps, and the select rows that would end it are few."""
LEAST_STEPS, USUAL_STEPS, MOST_STEPS = 20, 100, 1000
USUAL_PASSES = 6.0
"""Times through few training rows, which would otherwise be repeated up to `USUAL_STEPS`."""
CHEAP_STEPS, MANY_SEEDS, FEW_SEEDS = 300, 10, 5
STRATEGIES = ("none", "forward", "reverse", "all_to_one", "random")
COMPARISONS = 3
"""Strategies that are compared to forward: all others but none."""

MARGINS = (0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50)
LARGEST_MARGIN = 10
"""Points. Within a larger margin a student that has learned and one that has not may be equivalent,
so it is not proposed only because few rows show no smaller one."""
LENGTHS = (128, 256, 512)
TOKENS_A_WORD = 1.3


def shares(rows: int, stated: Collection[str]) -> dict[str, float]:
    """Shares of the rows for the splits that the data does not state (`stated`: those it does).

    A small data set gives more than the usual fifth to test, since an accuracy on few rows shows
    little; of a large one, test and select need no more than some thousand rows.
    """
    wanted = {}
    if not {"select", "test"} <= {*stated}:
        wanted["select_share"] = min(SELECT_SHARE, MOST_SELECT_ROWS / rows)
    if not {"select", "test"} & {*stated}:  # without test rows, the select rows become the test
        enough = min(MOST_TEST_SHARE, max(TEST_SHARE, TEST_ROWS / rows))
        wanted["test_share"] = min(enough, MOST_TEST_ROWS / rows)
    return {key: float(f"{share:.2g}") for key, share in wanted.items()}


def max_length(texts: Sequence[str]) -> int | None:
    """Tokens that 95 % of the texts fit into, roughly; None if the default is enough."""
    lengths = sorted(len(text.split()) for text in texts)
    needed = TOKENS_A_WORD * lengths[int(0.95 * (len(lengths) - 1))] + 3
    fitting = next((length for length in LENGTHS if needed <= length), LENGTHS[-1])
    return None if fitting == LENGTHS[0] else fitting


def steps(train_rows: int) -> int:
    """Steps of the default number of epochs, but enough to learn something, and not too many for a
    first sweep: the trials of 200 rows then take minutes."""
    few_rows = min(USUAL_STEPS, _steps(USUAL_PASSES, train_rows))
    return min(max(_steps(DEFAULT_EPOCHS, train_rows), few_rows, LEAST_STEPS), MOST_STEPS)


def _steps(epochs: float, train_rows: int) -> int:
    return math.ceil(epochs * math.ceil(train_rows / batch()))


def teacher(train_rows: int) -> dict[str, float]:
    """Epochs and batch of the teacher, where the defaults do not suit few rows: small batches, so
    that it learns in few epochs, and a fixed number of them."""
    return {"epochs": 10, "batch": 8} if train_rows < FEW_TRAIN_ROWS else {}


def batch() -> int:
    return Training().batch


def seeds(steps: int) -> int:
    """More seeds where a training is short."""
    return MANY_SEEDS if steps <= CHEAP_STEPS else FEW_SEEDS


def largest_expected_sd(test_rows: int, right: float = 0.5) -> float:
    """Return the SD of a paired difference in points of accuracy if two students err independently.

    Two students that are each right on a share `right` of the rows then differ on 2 * right *
    (1 - right) of them, and each such row counts 1 / test_rows for one of them. At 0.5 this is the
    largest value. Students of one teacher mostly err on the same rows, which lowers the SD, and the
    luck of a whole training raises it. Measured with copied blocks and ten seeds: 1.6 and 2.0
    points on 1,217 rows after a full training, where this bound is 2.0 (docs/findings.md).
    """
    return 100 * math.sqrt(2 * right * (1 - right) / test_rows)


def finest(test_rows: int) -> float:
    """Return two test rows in points: the verdict calls a score coarse at less."""
    return 2 * 100 / test_rows


def shown(test_rows: int, seeds: int, right: float = 0.5) -> float:
    """Return the smallest margin within which these seeds show that equal strategies are equal,
    with joint power 0.8 at `largest_expected_sd`."""
    return max(largest_expected_sd(test_rows, right) / _largest_sd(seeds), finest(test_rows))


def margin(test_rows: int, seeds: int, right: float = 0.5) -> float:
    """Return the first round number from `shown`, and at most `LARGEST_MARGIN` unless two test rows
    are more."""
    needed = min(shown(test_rows, seeds, right), max(LARGEST_MARGIN, finest(test_rows)))
    return next((m for m in MARGINS if m >= needed), MARGINS[-1])


def rows_for(margin: float, seeds: int, right: float = 0.5) -> int:
    """Return the test rows at which these seeds show this margin: the inverse of `shown`."""
    largest = margin * _largest_sd(seeds)
    needed = max(2 * right * (1 - right) * (100 / largest) ** 2, 2 * 100 / margin)
    return math.ceil(needed)


@cache
def _largest_sd(seeds: int) -> float:
    """Return the largest SD that these seeds stand, in margins."""
    alpha = float(SweepConfig.model_fields["alpha"].default)
    largest = largest_sd(seeds, 1.0, alpha, COMPARISONS)
    assert largest is not None
    return largest
