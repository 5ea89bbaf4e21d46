"""The sections of the page from top to bottom, each with its words, figures and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from raykd.analysis.claims.results import of_all
from raykd.analysis.digits import Digits
from raykd.analysis.summary.headline import headline
from raykd.analysis.verdict.verdict import Cell
from raykd.report import figures, mechanism, provenance, search_figures, strategy_table
from raykd.report.curve_figures import curves
from raykd.report.equivalence_figure import equivalence
from raykd.report.map_figures import layer_maps
from raykd.report.page import Detail, Page, Section
from raykd.report.plotting import Mark, marks
from raykd.report.sentences import (
    SURE,
    advice,
    claim_findings,
    claim_table,
    claims,
    evidence,
    findings,
    over_cells_points,
    overview,
    sentence,
)
from raykd.report.tables import (
    average_table,
    curses,
    over_tasks,
    published_table,
    seed_table,
    share_table,
)

FEW = 3  # maximum number of settings whose findings are shown as sentences


def sections(page: Page) -> tuple[Section, ...]:
    """Return the sections that have content, in the order of the page. A pure function of the
    page."""
    styles = marks(s for cell in page.verdict.cells for s in (a.strategy for a in cell.arms))
    candidates = (
        _verdict(page),
        _claims(page),
        _hypotheses(page),
        strategy_table.section(page),
        _seeds(page, styles),
        _equivalence(page),
        mechanism.imitation(page.verdict),
        _published(page),
        _tasks(page),
        _variance(page),
        _curves(page, styles),
        _maps(page, styles),
        _search(page),
        page.angles,
        provenance.data(page),
        provenance.cost(page),
        provenance.missing(page),
        provenance.reproduce(page),
        provenance.files(page),
    )
    return tuple(s for s in candidates if s is not None)


def _verdict(page: Page) -> Section:
    """Return the first screen: the headline, the teacher and the students' share of its score, the
    differences to forward, and what to do now."""
    verdict = page.verdict
    from_sweep = page.origin.command if page.origin.command.startswith("raykd sweep") else ""
    return Section(
        "verdict",
        "Verdict",
        headline=headline(verdict),
        caveats=tuple(sentence(c.says) for c in verdict.caveats),
        shares=strategy_table.shares(verdict, FEW),
        advice=advice(verdict, from_sweep),
        drawings=tuple(equivalence(i, verdict.cells[i - 1], verdict) for i in _shown_first(page)),
    )


def _shown_first(page: Page) -> tuple[int, ...]:
    """Return the numbers of the settings on the first screen: all of few, else the first one whose
    H1 has the status of the headline."""
    compared = [i for i, c in enumerate(page.verdict.cells, 1) if c.to_forward]
    if len(compared) <= FEW:
        return tuple(compared)
    statuses = {i: page.verdict.cells[i - 1].hypothesis("H1").status for i in compared}
    worst = next(s for s in ("contradicted", "undecided", "supported") if s in statuses.values())
    return (next(i for i in compared if statuses[i] == worst),)


def _claims(page: Page) -> Section | None:
    if not (verdict := page.verdict).claims:
        return None
    return Section(
        "claims",
        "Claims",
        words=("Questions of this sweep's own, which its file states beside H1 to H6.",),
        findings=claim_findings(verdict),
        points=tuple(map(sentence, filter(None, [of_all(verdict.claims, verdict.at)]))),
        details=(Detail("Every comparison of the claims as a table", table=claim_table(verdict)),),
    )


def _hypotheses(page: Page) -> Section | None:
    verdict = page.verdict
    many = len(verdict.cells) > FEW
    points = (
        *(claims(verdict) if many else ()),
        *over_cells_points(verdict),
        *_each(page, lambda c: c.controls.says if c.controls else ""),
        *_each(page, lambda c: c.lost.says if c.lost else ""),
        *_each(page, lambda c: c.collapses.says if c.collapses else ""),
        # Not capitalised, since a note may begin with the name of a metric.
        *(sentence(note, capital=False) for note in verdict.notes),
    )
    if not verdict.hypotheses and not points:
        return None
    return Section(
        "hypotheses",
        "Hypotheses",
        words=(SURE,),
        findings=() if many else findings(verdict),
        points=points,
        tables=(overview(verdict),) if many else (),
        details=(
            *([Detail("Every hypothesis in words", findings=findings(verdict))] if many else []),
            Detail("The evidence as a table", table=evidence(verdict)),
        )
        if verdict.hypotheses
        else (),
    )


def _seeds(page: Page, styles: Mapping[str, Mark]) -> Section | None:
    verdict = page.verdict
    if not verdict.cells:
        return None
    level = 100 * (1 - verdict.at)
    numbers = range(1, len(verdict.cells) + 1)
    aside = [figures.controls(i, page, styles) for i in numbers]
    return Section(
        "seeds",
        "Every seed",
        words=(
            f"A dot is one trained student{_opens(page)}. The upright line is a strategy's mean "
            f"with its {level:g} percent interval over seeds; the shaded band is the margin, "
            f"{verdict.margin:.4g} on either side of forward's mean. Seeds move all strategies "
            "together, so these intervals are wider than those of the differences.",
        ),
        points=_each(page, lambda c: _gap(c, verdict.margin)),
        drawings=(*(figures.seeds(i, page, styles) for i in numbers), *filter(None, aside)),
        details=(Detail("Every score as a table", table=seed_table(page)),),
    )


def _opens(page: Page) -> str:
    runs = page.runs
    if runs.server:
        return "; a click opens its run in MLflow"
    return "; `raykd ui` shows its run by the id in the table below" if runs.ids else ""


def _equivalence(page: Page) -> Section | None:
    """Return the differences to forward in the settings that are not on the first screen."""
    first = _shown_first(page)
    others = [i for i, c in enumerate(page.verdict.cells, 1) if c.to_forward and i not in first]
    if not others:
        return None
    return Section(
        "equivalence",
        "Equivalent or different, other settings",
        drawings=tuple(equivalence(i, page.verdict.cells[i - 1], page.verdict) for i in others),
    )


def _published(page: Page) -> Section | None:
    if not page.verdict.published:
        return None
    inside = [b.inside for b in page.verdict.published if b.inside is not None]
    note = (
        f" {sum(inside)} of {len(inside)} lie inside the range of the seeds here." if inside else ""
    )
    return Section(
        "published",
        "Beside published scores",
        words=(
            "Published scores are single runs unless their table has seeds, of other rows, steps "
            f"and hardware.{note}",
        ),
        tables=(published_table(page.verdict),),
    )


def _each(page: Page, words_of: Callable[[Cell], str]) -> tuple[str, ...]:
    """Return a sentence for each setting that has one, with its name if there are several."""
    cells = page.verdict.cells
    by_setting = zip(figures.settings(page.verdict), map(words_of, cells), strict=True)
    return tuple(
        f"{name}: {sentence(says, capital=False)}" if len(cells) > 1 else sentence(says)
        for name, says in by_setting
        if says
    )


def _gap(cell: Cell, margin: float) -> str:
    gap = cell.gap
    if gap is None:
        return ""
    shown = Digits.of(margin, gap.effect, *gap.interval).plain
    return (
        f"the largest gap between any two of {gap.strategies} strategies is {shown(gap.effect)}, "
        f"{gap.best} over {gap.worst}; {100 * gap.level:g} percent interval "
        f"{shown(gap.interval[0])} to {shown(gap.interval[1])}, {gap.n} seeds"
    )


def _tasks(page: Page) -> Section | None:
    tables = [t for t in (average_table(page.verdict), over_tasks(page.verdict)) if t.rows]
    return Section("tasks", "Over all settings", tables=tuple(tables)) if tables else None


def _variance(page: Page) -> Section | None:
    sampled = _each(page, lambda c: c.sampled.says if c.sampled else "")
    table = share_table(page.verdict)
    if not table.rows and not sampled:
        return None
    return Section(
        "variance",
        "What the scores' variance comes from",
        points=sampled,
        tables=(table,) if table.rows else (),
    )


def _curves(page: Page, styles: Mapping[str, Mark]) -> Section | None:
    if all(len(c.scores) < 2 for c in page.courses):  # one evaluation is no curve
        return None
    score = f"select {page.verdict.metric}"
    controls = {a.strategy for cell in page.verdict.cells for a in cell.arms if a.control}
    return Section(
        "curves",
        "Learning curves",
        words=(
            "Scores on the select split during training, which chose each student's checkpoint: "
            "a line is a strategy's mean, its band reaches from the lowest to the highest seed.",
        ),
        drawings=curves(page.courses, styles, score, page.verdict.margin, controls),
    )


def _maps(page: Page, styles: Mapping[str, Mark]) -> Section | None:
    if not page.maps:
        return None
    drawn = {d.strategy: d for d in page.maps}
    all_styles = {**marks([*styles, *drawn]), **styles}
    return Section(
        "maps",
        "Layer maps",
        words=("Teacher blocks above, student blocks below; a line joins a student block to the "
               "teacher block that it imitates. Thin lines: only some seeds have it.",),
        drawings=(layer_maps(tuple(drawn.values()), page.teacher_blocks, all_styles),),
    )  # fmt: skip


def _search(page: Page) -> Section | None:
    if not page.tried:
        return None
    verdict, score = page.verdict, f"select {page.verdict.metric}"
    words = [
        "The search saw each map under one seed and on the select split. Its scores are selected: "
        "they show where to look, and test nothing.",
    ]
    if page.pruned:
        words.append(f"{page.pruned} further maps were stopped early; they are not drawn.")
    drawings = [search_figures.history(page.tried, score, verdict.larger_is_better)]
    landscape = next((c.landscape for c in verdict.cells if c.landscape), None)
    if landscape is not None:
        drawings.append(search_figures.landscape(landscape, page.teacher_blocks, score))
        drawings += search_figures.distances(landscape, score)
        drawings += [search_figures.importance(landscape)] if landscape.positions else []
        if landscape.noise is not None:
            words.append(
                f"Seed noise alone would make {100 * landscape.noise:.0f} percent of the variance "
                "of the scores that the search saw."
            )
    table = curses(verdict)
    return Section(
        "search",
        "The search for a better map",
        words=tuple(words),
        points=tuple(sentence(c.says, capital=False) for cell in verdict.cells for c in cell.curse),
        drawings=tuple(drawings),
        tables=(table,) if table.rows else (),
    )
