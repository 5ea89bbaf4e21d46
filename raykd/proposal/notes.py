"""What a proposal cannot mend: rows that are left out, and splits with too few rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from raykd.data.data_report import lines
from raykd.proposal.propose import Proposal

FEW_SELECT_ROWS = 20


def notes(proposal: Proposal) -> tuple[str, ...]:
    """Return sentences on the data that a user should read before a sweep."""
    report = proposal.prepared.report
    return (*_few(proposal), *lines(replace(report, classes={}, hashed=())))


def _few(proposal: Proposal) -> Iterator[str]:
    prepared = proposal.prepared
    for split, rows in prepared.report.classes.items():
        lacking = [str(name) for name in prepared.labels if not rows.get(name)]
        if lacking:
            yield f"{split} has no row of {', '.join(lacking)}: give more rows"
    select = prepared.counts["select"]
    if select < FEW_SELECT_ROWS:
        subject = "1 row chooses" if select == 1 else f"{select} rows choose"
        yield f"{subject} the checkpoints, hardly better than chance: give more rows"
