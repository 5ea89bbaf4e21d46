"""Print the secondary endpoints of a verdict."""

from __future__ import annotations

from collections.abc import Sequence

from raykd.analysis.digits import Digits, estimate
from raykd.analysis.scores.scores import FORWARD
from raykd.analysis.verdict.context import Endpoint
from raykd.analysis.verdict.endpoints import TITLES
from raykd.analysis.verdict.verdict import levels
from raykd.cli.terminal.console import say
from raykd.cli.terminal.tables import name, print_table, result


def endpoints(cell_endpoints: Sequence[Endpoint]) -> None:
    """Print a table for each endpoint of a cell: differences to forward. The means of all arms are
    in JSON and the report."""
    compared = [e for e in cell_endpoints if e.to_forward]
    if not compared:
        return
    say(
        "  secondary endpoints, difference to forward (positive is better); they decide no "
        "hypothesis"
    )
    for endpoint in compared:
        _endpoint(endpoint)


def _endpoint(endpoint: Endpoint) -> None:
    scale = endpoint.scale
    forward = next(m.mean for m in endpoint.means if m.strategy == FORWARD)
    margin = "no margin stated" if endpoint.margin is None else f"margin {endpoint.margin:.4g}"
    facts = [
        f"forward {Digits.of(scale, forward).plain(forward)}",
        margin,
        *levels(endpoint.to_forward),
    ]
    rows = [
        [d.strategy, estimate(scale, d.effect, d.interval), d.finding or ""]
        for d in endpoint.to_forward
    ]
    columns = [name("strategy"), result("difference"), result("finding", left=True)]
    print_table(columns, rows, f"{TITLES[endpoint.name]} ({', '.join(facts)})", indent=2)
