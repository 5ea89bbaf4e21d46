"""The parts that a page is made of, as plain values for the template."""

from __future__ import annotations

from dataclasses import dataclass

from raykd.report.plotting import Drawing


@dataclass(frozen=True)
class Table:
    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Finding:
    """One hypothesis: what it claims, how it stands, and what that rests on."""

    status: str
    claim: str
    words: str


@dataclass(frozen=True)
class Detail:
    """What is folded away: findings, a table or a text."""

    title: str
    findings: tuple[Finding, ...] = ()
    table: Table | None = None
    text: str = ""


@dataclass(frozen=True)
class Section:
    id: str
    title: str
    headline: str = ""
    caveats: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    points: tuple[str, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    tables: tuple[Table, ...] = ()
    details: tuple[Detail, ...] = ()
