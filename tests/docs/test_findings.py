"""The study of docs/findings.md: its table is judged as its verdict and its page say."""

from __future__ import annotations

import csv
import html
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from raykd.analysis.stats.search.map_ranking import map_variance
from raykd.cli.app import app
from studies import curves, imitation, map_numbers, rejudge

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "studies"


def verdict(table: Path) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["verdict", "--from", str(table), "--margin", "2", "--json"])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


SWEEPS = {
    "study_minilm": "", "study_minilm_random": ", random weights", "study_mpnet_12_to_9": ", MPNet",
}  # fmt: skip
"""A table by its name; how the page marks its arms."""


@pytest.fixture(scope="module", params=SWEEPS)
def study(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return request.param, verdict(STUDIES / request.param / "scores.csv")


def test_a_table_is_judged_as_its_sweep_was(study: tuple[str, dict[str, Any]]) -> None:
    name, judged = study
    kept = json.loads((STUDIES / name / "verdict.json").read_text(encoding="utf-8"))
    # A table has no gradients, which H6 is judged by.
    wanted = [h for h in kept["hypotheses"] if h["id"] != "H6"]
    assert [h["says"] for h in judged["hypotheses"]] == [h["says"] for h in wanted]
    assert [h["status"] for h in judged["hypotheses"]] == [h["status"] for h in wanted]


def close(a: Any, b: Any) -> bool:
    """Whether two plain values are the same but for rounding."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(close(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(close, a, b))
    return bool(a == pytest.approx(b)) if isinstance(a, float) else bool(a == b)


def test_from_copied_blocks_every_strategy_is_equivalent() -> None:
    found = verdict(STUDIES / "study_minilm" / "scores.csv")
    h1 = next(h for h in found["hypotheses"] if h["id"] == "H1")
    assert (h1["status"], h1["level"], h1["withheld"]) == ("supported", pytest.approx(0.9), False)
    pairs = found["cells"][0]["to_forward"]
    assert {c["finding"] for c in pairs} == {"equivalent"} and len(pairs) == 6
    p = sorted(round(c["p_tost"], 4) for c in pairs)
    assert p == [0.0017, 0.0032, 0.0109, 0.0193, 0.0321, 0.0435]


@pytest.mark.parametrize("strategy", ["reverse", "forward", "all_to_first"])
def test_without_four_seeds_of_an_arm_it_is_not_supported(strategy: str, tmp_path: Path) -> None:
    with (STUDIES / "study_minilm" / "scores.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    kept = [r for r in rows if r["strategy"] != strategy or r["seed"] not in ("0", "1", "2", "3")]
    assert len(rows) - len(kept) == 4
    table = tmp_path / "less.csv"
    with table.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(kept)
    h1 = next(h for h in verdict(table)["hypotheses"] if h["id"] == "H1")
    assert h1["status"] == "undecided" and h1["missing"] >= 4 and "worst" in h1["says"]


@pytest.mark.parametrize("name", rejudge.names())
def test_what_is_committed_is_what_the_rules_of_today_say(name: str) -> None:
    kept = json.loads((STUDIES / name / "verdict.json").read_text(encoding="utf-8"))
    found, data = rejudge.anew(name)
    if rejudge.from_store(kept):  # its scores have no H6, and nothing of what was imitated
        status = {h["id"]: h["status"] for h in kept["hypotheses"] if h["id"] != "H6"}
        assert status == {h.id: h.status for h in found.hypotheses}
        return
    assert close(json.loads(json.dumps(data)), kept)
    page = STUDIES / name / "report.html"
    if page.exists():
        text = page.read_text(encoding="utf-8")
        assert all(h.says in html.unescape(text) for h in found.hypotheses)


def told() -> dict[str, str]:
    """The lines of the page's tables by their first cell."""
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    return {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("| ")}


def test_the_page_tells_what_was_judged(study: tuple[str, dict[str, Any]]) -> None:
    mark, cell = SWEEPS[study[0]], study[1]["cells"][0]
    for arm in cell["arms"]:
        name = f"{arm['strategy']}, control" if arm["control"] else arm["strategy"]
        assert f"| {arm['mean']:.2f} |" in told()[name + mark]
    for kind in ("to_forward", "to_none"):
        for pair in cell[kind]:
            low, high = pair["interval"]
            shown = f"{pair['effect']:+.2f} ({low:+.2f} to {high:+.2f})"
            assert shown in told()[pair["strategy"] + mark]
            if kind == "to_forward":
                assert f"| {pair['finding']} |" in told()[pair["strategy"] + mark]


def test_it_tells_what_was_judged_of_blocks_copied_in_reversed_order() -> None:
    found = verdict(STUDIES / "study_minilm_init" / "scores.csv")
    cell = found["cells"][0]
    for arm in cell["arms"]:
        assert f"| {arm['mean']:.2f} |" in told()[f"{arm['strategy']}, blocks reversed"]
    (pair,) = cell["to_forward"]
    low, high = pair["interval"]
    shown = f"{pair['effect']:+.2f} ({low:+.2f} to {high:+.2f})"
    assert shown in told()["reverse, blocks reversed"]
    assert {h["id"]: h["status"] for h in found["hypotheses"]}["H1"] == "supported"


CLAIMS = [
    ("lower_or_upper_copied", "copied [1, 2, 3]", None, "1, 2, 3, throughout"),
    ("lower_or_upper_copied", "copied [4, 5, 6]", None, "4, 5, 6, throughout"),
    ("lower_or_upper_copied", "copied [2, 4, 6]", None, "2, 4, 6, throughout"),
    ("hint_then_outputs", "copied [2, 4, 6]", "constant", "2, 4, 6, throughout"),
    ("hint_then_outputs", "copied [2, 4, 6]", "hint", "2, 4, 6, as a hint"),
    ("hint_then_outputs", "copied [2, 4, 6]", "stops", "2, 4, 6, in the first half"),
]


@pytest.mark.parametrize(("name", "init", "schedule", "row"), CLAIMS)
def test_a_row_of_the_claims_tells_its_cell(
    name: str, init: str, schedule: str | None, row: str
) -> None:
    found = verdict(STUDIES / name / "scores.csv")
    cell = next(c for c in found["cells"] if (c["init"], c["schedule"] or None) == (init, schedule))
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    scores, imitated = (line for line in page.splitlines() if line.startswith(f"| {row}"))
    assert all(f" {arm['mean']:.2f} |" in scores for arm in cell["arms"])
    for pair in (*cell["to_forward"], *cell["to_none"]):
        if pair["strategy"] == "reverse" and pair in cell["to_none"]:
            continue  # the row has no room for it
        low, high = pair["interval"]
        shown = f"{pair['effect']:+.2f} ({low:+.2f} to {high:+.2f}), {pair['finding']} |"
        assert shown in scores
    kept = json.loads((STUDIES / name / "verdict.json").read_text(encoding="utf-8"))
    (pairs,) = (
        c["imitation"]["pairs"]
        for c in kept["cells"] if (c["init"], c["schedule"] or None) == (init, schedule)
    )  # fmt: skip
    for strategy in dict.fromkeys(p["strategy"] for p in pairs):
        r2 = [f"{p['r2']:.2f}" for p in pairs if p["strategy"] == strategy]
        assert f"| {', '.join(r2)} |" in imitated
    unmatched = [f"{p['unmatched']:.2f}" for p in pairs if p["strategy"] == "forward"]
    assert imitated.endswith(f"| {', '.join(unmatched)} |")


@pytest.mark.parametrize("name", ["lower_or_upper_copied", "hint_then_outputs"])
def test_the_page_has_the_answer_to_each_claim(name: str) -> None:
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    kept = json.loads((STUDIES / name / "verdict.json").read_text(encoding="utf-8"))["claims"]
    judged = verdict(STUDIES / name / "scores.csv")["claims"]
    for claim in judged:
        pair = claim["comparison"]
        low, high = pair["interval"]
        shown = f"{pair['effect']:+.2f} ({low:+.2f} to {high:+.2f}) |"
        assert any(f"| {claim['status']} |" in x and shown in x for x in page.splitlines())
    assert [(c["claim"], c["status"], c["says"]) for c in judged] == [
        (c["claim"], c["status"], c["says"]) for c in kept
    ]


def test_random_weights_were_at_chance() -> None:
    cell = verdict(STUDIES / "study_minilm_random_100_steps" / "scores.csv")["cells"][0]
    means = [arm["mean"] for arm in cell["arms"] if not arm["control"]]
    assert (f"{min(means):.1f}", f"{max(means):.1f}") == ("50.3", "51.9")


@pytest.mark.parametrize(
    ("name", "start"),
    [("study_minilm", "copied blocks 2, 4, 6"), ("study_minilm_init", "blocks copied as 6, 4, 2"),
     ("study_minilm_random", "random weights")],
)  # fmt: skip
def test_the_first_screen_has_the_answer_of_every_study(name: str, start: str) -> None:
    """Question, answer, evidence and limits stand on one screen, before the details."""
    text = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    screen = text.partition("\n## ")[0].splitlines()
    assert len(screen) <= 45
    heads = [line.split("**")[1] for line in screen if line.startswith("**")]
    assert heads[:4] == ["Question.", "Answer.", "Evidence.", "Limits."]
    found = verdict(STUDIES / name / "scores.csv")
    status = {h["id"]: h["status"] for h in found["hypotheses"]}
    cells = told()[start].split("|")
    assert cells[2].strip().startswith(status["H1"]) and cells[4].strip() == status["H2"]
    bound = math.ceil(100 * found["cells"][0]["largest"]["bound"]) / 100  # it is rounded up
    assert f"{bound:.2f}" == cells[3].strip().partition(",")[0]


@pytest.mark.parametrize(
    ("name", "start"), [("study_minilm", "copied"), ("study_minilm_random", "random")]
)
def test_the_page_tells_what_was_imitated(name: str, start: str) -> None:
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    rows = imitation.show(name).splitlines()
    assert len(rows) == 3 and all(f"| {start}, {row}" in page for row in rows)


def test_the_page_tells_how_numbers_rank_the_maps() -> None:
    page = " ".join((ROOT / "docs" / "findings.md").read_text(encoding="utf-8").split())
    assert " ".join(map_numbers.show("study_minilm").split()) in page
    kept = json.loads((STUDIES / "study_minilm" / "maps.json").read_text(encoding="utf-8"))
    variance = kept["variance"]
    assert f"would repeat is estimated as {variance['reliability']:.2f}" in page
    assert f"by ranks, p {kept['friedman_p']:.3f})" in page
    assert f"a rank correlation at {kept['ceiling']:.2f}" in page
    with (STUDIES / "study_minilm" / "maps.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    scores: dict[str, list[float]] = {}
    for row in rows:
        if int(row["seed"]) in kept["seeds"]:
            scores.setdefault(row["map"], []).append(float(row["select"]))
    table = np.array(list(scores.values()))
    assert table.shape == (216, len(kept["seeds"]))
    assert map_variance(table).reliability == pytest.approx(variance["reliability"])
    assert stats.friedmanchisquare(*table).pvalue == pytest.approx(kept["friedman_p"])
    assert f"Spearman {stats.spearmanr(table[:, :2]).statistic:.2f} between them" in page
    search = STUDIES / "study_minilm" / "scores.csv"
    with search.open(encoding="utf-8", newline="") as stream:
        explored = {
            r["map"]: float(r["score"]) for r in csv.DictReader(stream) if r["phase"] == "explore"
        }
    before = stats.spearmanr(table.mean(axis=1), [explored[m] for m in scores]).statistic
    assert f"(Spearman {before:.2f} with these means)" in page


def test_the_page_tells_how_imitation_grows() -> None:
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    steps = [500, 1000, 2000, 3000, 4000, 5000, 6000]
    assert curves.show("pilot_minilm_random_long", steps) in page


def test_its_words_on_imitation_are_those_of_the_tables() -> None:
    """Copied students lie above the lookup, those from random weights at the last block alone."""
    above = {}
    for name in ("study_minilm", "study_minilm_random"):
        found = imitation.imitation(name)
        pairs = [p for p in found.pairs if p.strategy == "forward"]
        assert all(p.r2 > max(0.1, p.unmatched or 0) for p in pairs)
        above[name] = [p.r2 > (p.lookup or 0) for p in pairs]
    assert above == {"study_minilm": [True] * 3, "study_minilm_random": [False, False, True]}
