"""The answers to claims as values, and claims in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from raykd.analysis.claims.stated import NamedArm

Status = Literal["supported", "contradicted", "undecided"]


@dataclass(frozen=True)
class ClaimComparison:
    """Two arms of a claim in one setting, paired by seed; positive is better for `first`.
    `setting`: the task, init, shape, weight and schedule that the arms have in common. `interval`:
    at the claim's level, over the cases of missing runs that its answer is judged by. `missing`:
    seeds of which a run is missing."""

    first: str
    second: str
    setting: str
    effect: float
    interval: tuple[float, float] | None
    n: int
    missing: int


@dataclass(frozen=True)
class ClaimResult:
    """The answer to one claim of the sweep file, with the meaning of a hypothesis.

    `bound`: the one that is tested, at least two steps of the score for an equivalence.
    `comparison`: the one that decides the claim, or that prevents a decision; None if no two arms
    share a seed. `interval` is its interval at `level`, where the answer was reached: beyond the
    bound (within it) if the claim is supported, wholly on the other side if contradicted.

    `p_for`, `p_against`: p-values of the claim and of its opposite over all its comparisons;
    `p_for_holm`, `p_against_holm`: adjusted for the other claims. `together`: the status if all
    claims of the file are to hold alpha together. `late`: as in the stated claim.
    """

    id: str
    claim: str
    better: bool
    arms: tuple[NamedArm, ...]
    bound: float
    stated_bound: float
    status: Status
    together: Status
    comparison: ClaimComparison | None
    level: float
    p_for: float
    p_for_holm: float
    p_against: float
    p_against_holm: float
    more_seeds: int | None
    more_seeds_range: tuple[int, int | None] | None
    chance: float | None
    """Upper bound on the probability that the last look decides it, if a look remains."""
    missing: int
    withheld: bool
    late: int | None
    says: str
    comparisons: tuple[ClaimComparison, ...]


def in_words(arms: Sequence[NamedArm], bound: float, better: bool) -> str:
    """Return a claim as a clause: `last is better than forward by more than 1, copied`."""
    names, shared = arm_names(arms)
    where = f", {shared}" if shared else ""
    if better:
        by = f" by more than {bound:.4g}" if bound else ""
        return f"{names[0]} is better than {names[1]}{by}{where}"
    return f"{', '.join(names[:-1])} and {names[-1]} lie within {bound:.4g} of each other{where}"


def arm_names(arms: Sequence[NamedArm]) -> tuple[tuple[str, ...], str]:
    """Return a name for each arm, with the factors in which the arms differ, and the factors that
    they share."""
    by_arm = [
        (arm.init, _called("hidden weight", arm.weight), _called("schedule", arm.schedule))
        for arm in arms
    ]
    differ = [len(set(values)) > 1 for values in zip(*by_arm, strict=True)]
    names = []
    for arm, factors in zip(arms, by_arm, strict=True):
        own = [factor for factor, differs in zip(factors, differ, strict=True) if differs]
        names.append(f"{arm.strategy} ({', '.join(own)})" if own else arm.strategy)
    shared = [f for f, differs in zip(by_arm[0], differ, strict=True) if f and not differs]
    return tuple(names), ", ".join(shared)


def _called(factor: str, value: str) -> str:
    return f"{factor} {value}" if value else ""


def of_all(claims: Sequence[ClaimResult], alpha: float) -> str:
    """Return a sentence on the error rates of several claims, without a full stop; empty for one.

    Each claim is a question of its own, so its status has all of alpha (Rubin 2021). Holm's
    procedure over the claims says what holds at alpha for all of them together.
    """
    if len(claims) < 2:
        return ""
    kept = [
        f"{', '.join(ids)} {status}"
        for status in ("supported", "contradicted")
        if (ids := [c.id for c in claims if c.together == status])
    ]
    return (
        f"Each of {len(claims)} claims errs with probability {alpha:.2g} at most. If all are to "
        f"err together with no more (Holm), these stay decided: {'; '.join(kept) or 'none'}"
    )
