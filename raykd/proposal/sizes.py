"""Sizes of a proposed sweep: shares of rows, lengths, steps, seeds, and a margin that they show."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from raykd.analysis.stats.power import largest_sd
from raykd.config.sweep import SweepConfig
from raykd.config.training import Training
from raykd.planning.study import DEFAULT_EPOCHS

TEST_SHARE, MOST_TEST_SHARE, SELECT_SHARE = 0.2, 0.4, 0.1
TEST_ROWS, MOST_TEST_ROWS, MOST_SELECT_ROWS = 400, 4000, 1000
FEWEST_STEPS, MOST_STEPS = 100, 1000
CHEAP_STEPS, MANY_SEEDS, FEW_SEEDS = 300, 10, 5
STRATEGIES = ("none", "forward", "reverse", "all_to_one", "random")
COMPARISONS = 3
"""Strategies that are compared to forward: all others but none."""

# The SD of a paired difference was about 1.75 points on 1,217 test rows (docs/findings.md). One
# part comes from the training, the other from the test rows on which two students differ.
TRAINING_SD, DISAGREEMENT = 1.2, 0.2

MARGINS = (0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50)
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
    first sweep."""
    usual = math.ceil(DEFAULT_EPOCHS * math.ceil(train_rows / batch()))
    return min(max(usual, FEWEST_STEPS), MOST_STEPS)


def batch() -> int:
    return Training().batch


def seeds(steps: int) -> int:
    """More seeds where a training is short."""
    return MANY_SEEDS if steps <= CHEAP_STEPS else FEW_SEEDS


def expected_sd(test_rows: int) -> float:
    """Expected SD of a paired difference in points of accuracy, before any sweep."""
    return math.hypot(TRAINING_SD, 100 * math.sqrt(DISAGREEMENT / test_rows))


def margin(test_rows: int, seeds: int) -> float:
    """The smallest round margin within which these seeds and test rows can show that strategies
    are equal: power 0.8 at the expected noise, and at least two test rows."""
    alpha = float(SweepConfig.model_fields["alpha"].default)
    largest = largest_sd(seeds, 1.0, alpha, COMPARISONS)
    assert largest is not None
    needed = max(expected_sd(test_rows) / largest, 2 * 100 / test_rows)
    return next((m for m in MARGINS if m >= needed), MARGINS[-1])
