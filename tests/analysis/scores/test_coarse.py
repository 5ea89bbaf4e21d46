"""Scores of few test examples: their step is known although nobody stated it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from raykd.analysis.scores.coarse import examples
from raykd.analysis.scores.from_table import from_table

from ..tables import judged, table

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("rows", [50, 150, 872, 1217])
@pytest.mark.parametrize(("scale", "decimals"), [(1.0, 15), (1.0, 5), (100.0, 4), (100.0, 12)])
def test_the_number_of_examples_is_seen_in_the_scores(
    rows: int, scale: float, decimals: int
) -> None:
    right = RNG.integers(rows // 2, rows, 40)
    found = [round(scale * int(k) / rows, decimals) for k in right]
    assert examples(found, 10.0**-decimals, scale) == rows
    single = [scale * float(np.float32(k / rows)) for k in right]
    assert examples(single, 1e-15, scale) == rows


@pytest.mark.parametrize("decimals", [2, 3, 4, 8, 15])
@pytest.mark.parametrize("scores", [2, 4, 12, 60])
def test_arbitrary_numbers_are_no_shares_of_few_examples(decimals: int, scores: int) -> None:
    for _ in range(50):
        found = [round(float(x), decimals) for x in RNG.uniform(0.6, 0.9, scores)]
        known = examples(found, 10.0**-decimals, 1.0)
        # At most what the decimals say already.
        assert known is None or known >= 10**decimals / 2 or len(set(found)) == 1


def test_a_loss_has_no_examples_and_constant_scores_none_either() -> None:
    assert examples([2.5, 2.75], 0.01, None) is None
    assert examples([0.0, 0.0, 1.0], 1e-15, 1.0) is None


@pytest.mark.parametrize("stated", [{}, {"examples": 150}])
def test_two_seeds_that_differ_by_the_same_example_prove_nothing(
    stated: dict[str, int], tmp_path: Path
) -> None:
    """Four decimals of 150 test rows: an SD of 0 for a difference that is one row by chance."""
    right = {"none": (110, 112), "forward": (122, 124), "reverse": (123, 125), "last": (121, 123)}
    found = {name: [100 * k / 150 for k in counts] for name, counts in right.items()}
    file = table(tmp_path, found, write=lambda s: f"{s:.4f}", **stated)
    assert from_table(file).step("a") == pytest.approx(100 / 150)
    verdict = judged(file, "--margin", 1)
    status = {h["id"]: h["status"] for h in verdict["hypotheses"]}
    assert status == {
        "H1": "undecided", "H2": "supported", "H3": "undecided", "H5": "undecided",
    }  # fmt: skip
    assert [c["kind"] for c in verdict["caveats"]] == ["coarse"]
    ratio = verdict["cells"][0]["ratio"]
    assert ratio["interval"][1] > 0.5


def test_the_caveat_is_of_the_task_that_is_coarse(tmp_path: Path) -> None:
    """Also where another task of the table is not."""
    rng = np.random.default_rng(5)
    found = {name: [*rng.normal(80, 0.2, 6)] for name in ("forward", "reverse")}
    fine = table(tmp_path, found, examples=10_000)
    coarse = table(tmp_path, found, task="small", name="small.csv", examples=50)
    fine.write_text(fine.read_text() + "\n".join(coarse.read_text().splitlines()[1:]))
    (caveat,) = judged(fine, "--margin", 1)["caveats"]
    assert caveat["kind"] == "coarse" and "of small (2)" in caveat["says"]
