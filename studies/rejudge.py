"""Judge the committed studies anew, by the rules as they are now.

    python studies/rejudge.py    # writes verdict.json of each study, and the verdict in its page

The store that the sweeps wrote is not committed. Scores come from the tables. What a table does not
hold is kept from the committed verdict, if there is one: the angles,
McNemar's tests, and the intervals over test examples, whose parts follow from the old ones
(examples.py). A page keeps its curves, maps, search, angles and cost.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from raykd.analysis.scores.from_table import from_table
from raykd.analysis.stats.examples import McNemar
from raykd.analysis.summary.mechanism import UNMEASURED
from raykd.analysis.verdict.context import TeacherScore
from raykd.analysis.verdict.judge import judge
from raykd.analysis.verdict.verdict import Cell, Comparison, Verdict
from raykd.report.page import Origin, Page
from raykd.report.render import html

HERE = Path(__file__).parent
ALPHA = 0.05
EXAMPLES = 1217  # test rows of the studies whose intervals over examples are kept
OF_THE_VERDICT = ("verdict", "hypotheses", "strategies", "seeds", "equivalence", "files")
KEPT = ("variance", "curves", "maps", "search", "angles", "cost", "missing", "reproduce")
ORDER = (*OF_THE_VERDICT[:-1], *KEPT, "files")
Json = dict[str, Any]


def names() -> list[str]:
    """The studies: folders with a table of scores."""
    return sorted(table.parent.name for table in HERE.glob("*/scores.csv"))


def from_store(old: Json) -> bool:
    """Whether a verdict has more from its store than is kept here: what was imitated, and H6."""
    measured = any(cell["imitation"] is not None for cell in old.get("cells", ()))
    return measured or any(h["id"] == "H6" for h in old.get("hypotheses", ()))


def anew(name: str) -> tuple[Verdict, Json]:
    """The verdict, and its JSON with the angles that were measured."""
    study, old = read(name, "study.json"), read(name, "verdict.json")
    found = judge(from_table(HERE / name / "scores.csv"), study["margin"], ALPHA)
    old_cells = old.get("cells", [None] * len(found.cells))
    cells = tuple(_cell(c, o) if o else c for c, o in zip(found.cells, old_cells, strict=True))
    found = replace(
        found,
        source=Path(study["sweep"]).stem.replace("_", "-"),
        cells=cells,
        notes=(*found.notes, *study["notes"], UNMEASURED),
    )
    return found, {**found.to_json(), "angles": old.get("angles")}


def read(name: str, file: str) -> Json:
    path = HERE / name / file
    found: Json = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def _cell(cell: Cell, old: Json) -> Cell:
    controls = cell.controls and replace(
        cell.controls, comparisons=_pairs(cell.controls.comparisons, old["controls"]["comparisons"])
    )
    return replace(
        cell,
        to_forward=_pairs(cell.to_forward, old["to_forward"]),
        to_none=_pairs(cell.to_none, old["to_none"]),
        controls=controls,
    )


def _pairs(pairs: tuple[Comparison, ...], old: list[Json]) -> tuple[Comparison, ...]:
    known = {(o["strategy"], o["reference"]): o for o in old}
    return tuple(_pair(c, known[c.strategy, c.reference]) for c in pairs)


def _pair(c: Comparison, old: Json) -> Comparison:
    tests = tuple(McNemar(**m) for m in old["mcnemar"])
    if old["population"] is None:
        return replace(c, mcnemar=tests)
    low, high = old["population"]
    of_seeds = np.std(c.differences, ddof=1) ** 2 / c.n
    few, many = stats.t.ppf((1 + old["level"]) / 2, [c.n - 1, EXAMPLES - 1])
    of_examples = (((high - low) / 2) ** 2 - few**2 * of_seeds) / many**2
    few, many = stats.t.ppf((1 + c.level) / 2, [c.n - 1, EXAMPLES - 1])
    half = float(np.sqrt(few**2 * of_seeds + many**2 * max(0.0, of_examples)))
    return replace(c, mcnemar=tests, population=(c.effect - half, c.effect + half))


def page(old: str, found: Verdict, data: Json) -> str:
    """The page of this verdict, with the sections and figures that the committed page alone has."""
    teacher = re.search(r"test accuracy ([\d.]+) \(majority class: ([\d.]+)\)", old)
    assert teacher is not None, "the header states the teacher's score"
    test, majority = map(float, teacher.groups())
    # The teacher's score on select is not on the page, and nothing shows it here.
    judged = replace(found, teacher=TeacherScore("", found.metric, test, test, majority))
    new = html(Page(found.source, "", judged, Origin("", "", {}, None, "", "")))
    section = r'<section id="(\w+)".*?</section>'
    ours = {m[1]: m[0] for m in re.finditer(section, new, re.DOTALL) if m[1] in OF_THE_VERDICT}
    kept = {m[1]: m[0] for m in re.finditer(section, old, re.DOTALL) if m[1] in KEPT}
    parts = [text for name in ORDER if (text := {**kept, **ours}.get(name))]
    titles = [
        (_one(t, r'(?<=<section id=")\w+'), _one(t, r'(?<=-title">)[^<\n]+(?=</h2>)'))
        for t in parts
    ]
    links = "".join(f'<li><a href="#{name}">{title}</a></li>\n' for name, title in titles)
    for pattern, text in (
        (r"<header>.*?</header>", _one(old, r"<header>.*?</header>")),
        (r'(?<=<nav aria-label="Sections"><ul>\n).*?(?=</ul></nav>)', links),
        (r"(?<=<main>\n).*?(?=</main>)", "\n".join(parts) + "\n"),
    ):
        new = new.replace(_one(new, pattern), text)
    drawn = r'(?<=<script type="application/json" id="drawings">).*?(?=</script>)'
    drawings = {d["id"]: d for text in (old, new) for d in json.loads(_one(text, drawn))}
    verdict = r'(?<=<script type="application/json" id="verdict-json">).*?(?=</script>)'
    for pattern, value in ((drawn, [*drawings.values()]), (verdict, data)):
        new = new.replace(_one(new, pattern), json.dumps(value).replace("<", "\\u003c"))
    encoded = base64.b64encode(json.dumps(data, indent=1).encode()).decode()
    return new.replace(
        _one(new, r'(?<=href="data:application/json;charset=utf-8;base64,)[^"]*'), encoded
    )


def _one(text: str, pattern: str) -> str:
    (found,) = re.findall(pattern, text, re.DOTALL)
    return str(found)


def main() -> None:
    for name in names():
        if from_store(read(name, "verdict.json")):
            print(name, "is judged with its store alone: raykd verdict --json")
            continue
        found, data = anew(name)
        file = HERE / name / "report.html"
        if file.exists():
            text = page(file.read_text(encoding="utf-8"), found, data)
            file.write_text(text, encoding="utf-8")
        out = json.dumps(data, indent=2, allow_nan=False) + "\n"
        (HERE / name / "verdict.json").write_text(out, encoding="utf-8")
        print(name, {h.id: h.status for h in found.hypotheses})


if __name__ == "__main__":
    main()
