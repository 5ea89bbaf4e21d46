"""Counts of the rows of a data set that were read, dropped, folded and cut, by reason.

Readers, splits and tokenisation each fill in their part; `lines` formats the report as sentences.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

CAVEAT_SHARE = 0.1
"""Share of tokens, or of rows, above which cut or dropped data is a caveat of the verdict."""
SHOWN = 8  # most classes or labels that one line lists


@dataclass(frozen=True)
class Cut:
    """Tokens that a length limit removes from one split."""

    split: str
    what: str
    """texts, sources, prompts, completions, choices or targets."""
    limit: int
    """Tokens."""
    key: str
    """Key of the sweep file that sets the limit, or `the model's positions`."""
    rows: int
    cut: int
    """Rows that are longer than the limit."""
    tokens: int
    """Tokens of all rows before the cut."""
    lost: int
    """Tokens that are cut off."""


@dataclass(frozen=True)
class DataReport:
    """Counts of rows, from the file to the tokens. `together` adds reports up."""

    read: int = 0
    """Rows of the source, before anything is dropped."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Rows left out, by reason; without duplicates."""
    unused: int = 0
    """Training rows beyond `task.rows`."""
    duplicates: int = 0
    """Rows dropped because another row has the same text."""
    relabelled: int = 0
    """Duplicates whose label differs from that of the row that is kept."""
    across: int = 0
    """Duplicates in another split than the row that is kept."""
    references: int = 0
    """Targets in addition to the first one of each source."""
    unread: tuple[str, ...] = ()
    """Splits of the data set that are not read: unlabelled, or not used by the task."""
    unsplit: int = 0
    """Rows with an empty cell in the split column, which count as train."""
    test_from_select: bool = False
    """Whether the select rows of the data are the test rows, since it has no test rows."""
    hashed: tuple[str, ...] = ()
    """Splits that the data lacks and that are cut from train by hash."""
    folded: Mapping[str, int] = field(default_factory=dict)
    """Rows by label whose number was written as a float (`1.0` is read as `1`)."""
    trimmed: Mapping[str, int] = field(default_factory=dict)
    """Rows with white space around their label, by labels that other rows have without it."""
    lookalikes: tuple[tuple[str, ...], ...] = ()
    """Labels that are equal as numbers and kept apart because they are texts: `7` and `007`."""
    classes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Rows of each class, or of each choice that the sweep file names, by split; empty if there are
    none."""
    noisy_labels: int = 0
    """Training rows whose label was replaced at random (`labels.noise`); `classes` counts the
    labels that are trained on."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Weight of each class in the cross entropy; empty if they are equal, and until a study reads
    them."""
    cuts: tuple[Cut, ...] = ()
    """Empty until the rows are tokenised."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> DataReport:
        """Inverse of `to_json`, also after a round trip through JSON text."""
        names = {f.name for f in fields(cls)}
        values = {k: v for k, v in stored.items() if k in names}
        return cls(
            **{
                **values,
                "unread": tuple(values.get("unread", ())),
                "hashed": tuple(values.get("hashed", ())),
                "lookalikes": tuple(map(tuple, values.get("lookalikes", ()))),
                "cuts": tuple(Cut(**cut) for cut in values.get("cuts", ())),
            }
        )

    def cut_share(self, what: str | None = None, split: str | None = None) -> float:
        """Share of tokens that are cut off, from 0 to 1; of one kind of text and one split if
        stated."""
        cuts = self._cuts(what, split)
        return sum(c.lost for c in cuts) / max(1, sum(c.tokens for c in cuts))

    def cut_rows(self, what: str | None = None, split: str | None = None) -> tuple[int, int]:
        """Number of rows that are cut, and number of rows."""
        cuts = self._cuts(what, split)
        return sum(c.cut for c in cuts), sum(c.rows for c in cuts)

    def _cuts(self, what: str | None, split: str | None) -> list[Cut]:
        return [c for c in self.cuts if what in (None, c.what) and split in (None, c.split)]


def together(reports: Iterable[DataReport]) -> DataReport:
    """The report of several tables that are read as one: the sum of their counts."""
    parts = list(reports)
    dropped, folded, trimmed = Counter[str](), Counter[str](), Counter[str]()
    for report in parts:
        dropped.update(report.dropped)
        folded.update(report.folded)
        trimmed.update(report.trimmed)
    return DataReport(
        read=sum(r.read for r in parts),
        unread=tuple(dict.fromkeys(name for r in parts for name in r.unread)),
        dropped=dict(dropped),
        unsplit=sum(r.unsplit for r in parts),
        folded=dict(folded),
        trimmed=dict(trimmed),
        lookalikes=tuple(dict.fromkeys(group for r in parts for group in r.lookalikes)),
    )


def lines(report: DataReport) -> tuple[str, ...]:
    """The report as sentences, one for each count that is not zero."""
    sentences = [
        f"rows of {split}: {_by_class(counts)}" for split, counts in report.classes.items()
    ]
    if report.noisy_labels:
        rows = _rows(sum(report.classes.get("train", {}).values()))
        sentences.append(
            f"labels of {report.noisy_labels:,} of {rows} of train replaced at random, by "
            "`labels.noise`; select and test keep theirs"
        )
    if report.weights:
        weights = sorted(report.weights.items(), key=lambda pair: -pair[1])
        sentences.append(
            "weights of the classes in the cross entropy: "
            + _listed(f"{label} {weight:.3g}" for label, weight in weights)
        )
    sentences += [f"{_rows(count)} left out: {reason}" for reason, count in report.dropped.items()]
    if report.unused:
        sentences.append(f"{_rows(report.unused)} of train not used, by `task.rows`")
    if report.duplicates:
        sentences.append(_duplicates(report))
    if report.references:
        sentences.append(
            f"{report.references:,} targets stand beside another one of the same source: scores "
            "count them as references, and training learns the first alone"
        )
    if report.unread:
        sentences.append(f"splits of the data set that are not read: {_listed(report.unread)}")
    if report.unsplit:
        sentences.append(
            f"{_rows(report.unsplit)} with an empty cell in the split column, read as train"
        )
    if report.test_from_select:
        sentences.append("the data has no test rows: its select rows are the test")
    if report.hashed:
        sentences.append(f"{' and '.join(report.hashed)} cut from train by hash: the data has none")
    if report.folded:
        count, labels = (
            sum(report.folded.values()),
            _listed(f"{label}.0 as {label}" for label in report.folded),
        )
        sentences.append(
            f"labels of a float column are read as whole numbers: {labels} ({_rows(count)})"
        )
    if report.trimmed:
        count, labels = sum(report.trimmed.values()), _listed(map(repr, report.trimmed))
        sentences.append(
            f"labels are read without the white space around them: {labels} ({_rows(count)})"
        )
    sentences += [
        f"labels that are equal as numbers are different texts, and different classes: "
        f"{_listed(map(repr, group))}"
        for group in report.lookalikes
    ]
    sentences += [_cut(report, what) for what in dict.fromkeys(c.what for c in report.cuts)]
    return tuple(line for line in sentences if line)


def caveats(report: DataReport) -> tuple[str, ...]:
    """Sentences that the verdict must state: more than `CAVEAT_SHARE` of the tokens are cut, or
    more than that share of the rows is dropped."""
    kinds = dict.fromkeys(c.what for c in report.cuts)
    sentences = [_cut(report, what) for what in kinds if report.cut_share(what) > CAVEAT_SHARE]
    dropped = report.duplicates + sum(report.dropped.values())
    if dropped > CAVEAT_SHARE * report.read:
        reasons = [f"{n:,} {reason}" for reason, n in report.dropped.items()]
        reasons += [f"{report.duplicates:,} duplicates"] if report.duplicates else []
        sentences.append(f"{dropped:,} of {_rows(report.read)} are dropped: {', '.join(reasons)}")
    return tuple(sentences)


def _by_class(counts: Mapping[str, int]) -> str:
    """Counts of rows by class, the largest classes first."""
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    if len(ordered) <= SHOWN:
        return ", ".join(f"{name} {count:,}" for name, count in ordered)
    first, last = ordered[: SHOWN - 1], ordered[-1]
    largest = ", ".join(f"{name} {count:,}" for name, count in first)
    return f"{largest}, ..., {last[0]} {last[1]:,} ({len(ordered)} classes)"


def _duplicates(report: DataReport) -> str:
    details = []
    if report.relabelled:
        details.append(f"{report.relabelled:,} with another label than the row that is kept")
    if report.across:
        details.append(
            f"{report.across:,} in two splits (test keeps its row, then select; train gives way)"
        )
    suffix = f"; of them {', '.join(details)}" if details else ""
    noun = "duplicate row" if report.duplicates == 1 else "duplicate rows"
    return f"{report.duplicates:,} {noun} dropped{suffix}"


def _cut(report: DataReport, what: str) -> str:
    cut, rows = report.cut_rows(what)
    if not cut:
        return ""
    cuts = [c for c in report.cuts if c.what == what]
    by_split = ", ".join(
        f"{c.split} {c.cut:,} of {c.rows:,}, {_percent(c.lost, c.tokens)}" for c in cuts
    )
    share = _percent(sum(c.lost for c in cuts), sum(c.tokens for c in cuts))
    # Completions are kept first and reduce the room for the prompt, so prompts do not fit.
    verb = "do not fit" if what == "prompts" else "are longer than"
    return (
        f"{cut:,} of {rows:,} {what} {verb} {cuts[0].limit} tokens ({cuts[0].key}) and "
        f"are cut: {share} of tokens" + (f" ({by_split})" if len(cuts) > 1 else "")
    )


def _percent(part: int, whole: int) -> str:
    share = 100 * part / max(1, whole)
    return f"{share:.0f} %" if share >= 1 or not part else "under 1 %"


def _rows(count: int) -> str:
    return f"{count:,} {'row' if count == 1 else 'rows'}"


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:SHOWN]) + (", ..." if len(listed) > SHOWN else "")
