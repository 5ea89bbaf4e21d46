"""Claims as they were stated: in a sweep file, in the column `claims` of a table, or by
`--claim`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from raykd.config.claims import Claim, EquivalentClaim
from raykd.config.explore import CopiedInit
from raykd.config.yaml_file import Model, explain
from raykd.errors import UserError

EXAMPLE = "{better: last, than: forward, by: 0}"


@dataclass(frozen=True)
class NamedArm:
    """An arm of a claim. `init`, `weight`, `schedule`: as the verdict's cells name them; empty if
    the claim is about each of them."""

    strategy: str
    init: str = ""
    weight: str = ""
    schedule: str = ""


@dataclass(frozen=True)
class StatedClaim:
    """`better`: the first arm scores higher than the second by more than `bound`; otherwise any two
    of the arms differ by less than `bound`. Either all arms name an init, or none does; the same
    holds for the weight and the schedule.

    `late`: the number of confirm trials that had ended when the claim was first stated; None if all
    had, as for a claim that was stated at the verdict."""

    arms: tuple[NamedArm, ...]
    bound: float
    better: bool
    late: int | None = 0

    def same(self, other: StatedClaim) -> bool:
        """Whether both say the same; equivalent arms have no order."""
        arms = [c.arms if c.better else frozenset(c.arms) for c in (self, other)]
        return arms[0] == arms[1] and (self.bound, self.better) == (other.bound, other.better)

    def to_json(self) -> dict[str, Any]:
        """Return the claim as a table has it, which `of_text` reads."""
        arms = [{k: v for k, v in vars(arm).items() if v} for arm in self.arms]
        late = {"late": self.late} if self.late else {}
        if self.better:
            return {"better": arms[0], "than": arms[1], "by": self.bound, **late}
        return {"equivalent": arms, "within": self.bound, **late}


def of_config(
    claim: Claim, init_label: Callable[[str | CopiedInit], str], late: int | None = 0
) -> StatedClaim:
    """Return a claim of the config. `init_label` gives the name of an init in the verdict."""
    arms = tuple(
        NamedArm(
            arm.strategy,
            "" if arm.init is None else init_label(arm.init),
            f"{arm.weight:g}" if isinstance(arm.weight, float) else arm.weight or "",
            arm.schedule or "",
        )
        for arm in claim.arms
    )
    return StatedClaim(arms, claim.bound, not isinstance(claim, EquivalentClaim), late)


def of_launch(
    stated: Iterable[Mapping[str, Any]], init_label: Callable[[str | CopiedInit], str]
) -> tuple[StatedClaim, ...]:
    """Return the claims that a launch stored, but for those that only another raykd can read."""
    claims = []
    for content in stated:
        with suppress(ValidationError):
            claim = TypeAdapter[Any](Claim).validate_python(content)
            claims.append(of_config(claim, init_label))
    return tuple(claims)


def dated(
    claims: Sequence[StatedClaim], launches: Sequence[tuple[float, Sequence[StatedClaim]]],
    ends: Sequence[float],
) -> tuple[StatedClaim, ...]:  # fmt: skip
    """Return the claims with the number of trials that had ended before the first launch that
    stated them. `launches`: their starts and claims, the oldest first. Without any, nothing is
    known and nothing is counted."""
    if not launches:
        return tuple(claims)
    result = []
    for claim in claims:
        first = next((t for t, own in launches if any(claim.same(c) for c in own)), math.inf)
        result.append(replace(claim, late=sum(end <= first for end in ends)))
    return tuple(result)


class _Listed(Model):
    claims: tuple[Claim, ...]


def of_text(where: str, text: str, late: int | None = 0) -> tuple[StatedClaim, ...]:
    """Return the claims of a text: one as in a sweep file, or a list of them. Raises UserError."""
    try:
        stated = yaml.safe_load(text)
    except yaml.YAMLError:
        stated = None
    listed = stated if isinstance(stated, list) else [stated]
    if not all(isinstance(claim, dict) for claim in listed):
        raise UserError(f"{where}: {text!r} is no claim; write one such as {EXAMPLE}")
    lates = [claim.pop("late", late) for claim in listed]
    try:
        claims = _Listed.model_validate({"claims": listed}).claims
    except ValidationError as error:
        lines = (f"{where}: {'.'.join(at[2:])}: {says}" for at, says in explain(error, _Listed))
        raise UserError(*(line.replace(": : ", ": ") for line in lines)) from None

    def label(init: str | CopiedInit) -> str:
        if isinstance(init, str):
            return init
        raise UserError(f"{where}: init: write it as the table's column `init` has it")

    return tuple(of_config(claim, label, count) for claim, count in zip(claims, lates, strict=True))


def renamed(claims: Iterable[StatedClaim], name: Callable[[str], str]) -> tuple[StatedClaim, ...]:
    """Return the claims with other names of strategies."""
    return tuple(
        replace(c, arms=tuple(replace(a, strategy=name(a.strategy)) for a in c.arms))
        for c in claims
    )


def as_text(claims: Sequence[StatedClaim]) -> str:
    """Return claims as `of_text` reads them; empty without any."""
    return json.dumps([claim.to_json() for claim in claims]) if claims else ""
