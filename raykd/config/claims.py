"""The section `claims` of a sweep file: questions that its verdict answers beside H1 to H6."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, model_validator

from raykd.config.design import Confirm
from raykd.config.explore import CopiedInit, Explore, Init
from raykd.config.yaml_file import Compound, Halves, Model, Number, Plain, Word, by, by_word

FACTORS = ("init", "weight", "schedule")
"""What a claim may name besides strategies, each a factor of the verdict's cells."""

InitName = Annotated[
    Annotated[str, Plain] | Annotated[CopiedInit, Compound],
    by(CopiedInit),
]
Weight = Annotated[
    Annotated[float, Field(gt=0), Number] | Annotated[Literal["tuned"], Word], by_word
]


class Factors(Model):
    init: InitName | None = Field(
        None, examples=["copied"], description="one of `confirm.inits`; default: each of them"
    )
    weight: Weight | None = Field(
        None,
        examples=[0.3],
        description="one of `confirm.hidden_weights`, or `tuned`, the default",
    )
    schedule: str | None = Field(
        None, examples=["constant"],
        description="one of `confirm.schedules`; default: each of them",
    )  # fmt: skip


class ClaimArm(Factors):
    """An arm of a claim that compares inits, hidden weights or schedules."""

    strategy: str = Field(examples=["forward"], description="its name in the table")


ArmName = Annotated[Annotated[str, Plain] | Annotated[ClaimArm, Compound], by(ClaimArm)]


class _Claim(Factors):
    """What both forms of a claim have: arms that differ, and agree in which factors they name."""

    @property
    def named(self) -> tuple[str | ClaimArm, ...]:
        """The arms as they are stated."""
        raise NotImplementedError

    @property
    def arms(self) -> tuple[ClaimArm, ...]:
        """The arms, with the factors that the claim names for all of them."""
        arms = (a if isinstance(a, ClaimArm) else ClaimArm(strategy=a) for a in self.named)
        stated = {f: value for f in FACTORS if (value := getattr(self, f)) is not None}
        return tuple(arm.model_copy(update=stated) for arm in arms)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for factor in FACTORS:
            own = [getattr(a, factor, None) is not None for a in self.named]
            if any(own) and getattr(self, factor) is not None:
                raise ValueError(
                    f"an arm names its {factor}, and so does the claim; name it for the claim or "
                    "for each arm"
                )
            if any(own) and not all(own):
                raise ValueError(f"one arm names its {factor}, another does not; name it for each")
        if twice := next((arm for arm in self.arms if self.arms.count(arm) > 1), None):
            raise ValueError(f"{twice.strategy} is compared with itself; name another arm")
        return self


class BetterClaim(_Claim):
    """One arm scores higher than another, by more than `by`."""

    better: ArmName = Field(examples=["last"], description="the arm that is better")
    than: ArmName = Field(examples=["forward"], description="the arm that it is better than")
    by: float = Field(0.0, ge=0, description="the lead that is claimed, in metric units")

    @model_validator(mode="before")
    @classmethod
    def _of_one_form(cls, value: Any) -> Any:
        return _without(value, "within", "goes with `equivalent`; write `by` beside `better`")

    @property
    def named(self) -> tuple[str | ClaimArm, ...]:
        return self.better, self.than

    @property
    def bound(self) -> float:
        return self.by


class EquivalentClaim(_Claim):
    """Any two of several arms differ by less than `within`."""

    equivalent: tuple[ArmName, ...] = Field(
        examples=[["forward", "reverse"]], description="two arms or more"
    )
    within: float = Field(gt=0, examples=[2.0], description="in metric units")

    @model_validator(mode="before")
    @classmethod
    def _of_one_form(cls, value: Any) -> Any:
        return _without(value, "by", "goes with `better`; write `within` beside `equivalent`")

    @property
    def named(self) -> tuple[str | ClaimArm, ...]:
        return self.equivalent

    @property
    def bound(self) -> float:
        return self.within

    @model_validator(mode="after")
    def _several(self) -> Self:
        if len(self.equivalent) < 2:
            raise ValueError("a claim of equivalence has two arms or more; name another in it")
        return self


StatedClaim = BetterClaim | EquivalentClaim


def _form(value: Any) -> str:
    if isinstance(value, dict):
        return "<compound>" if "equivalent" in value else "<halves>"
    return "<compound>" if isinstance(value, EquivalentClaim) else "<halves>"


Claim = Annotated[
    Annotated[BetterClaim, Halves] | Annotated[EquivalentClaim, Compound], Discriminator(_form)
]


def _without(value: Any, name: str, says: str) -> Any:
    """Return the value of a claim. Raises ValueError if it has a key of the other form."""
    if isinstance(value, dict) and name in value:
        raise ValueError(f"`{name}` {says}")
    return value


def key(claim: StatedClaim) -> str:
    return "better" if isinstance(claim, BetterClaim) else "equivalent"


def claim_conflicts(
    claims: Sequence[StatedClaim], confirm: Confirm | None, explore: Explore | None
) -> Iterator[str]:
    """Yield a line for each claim that does not go with the rest of the file."""
    if not claims:
        return
    if confirm is None:
        yield "claims: they are judged from `confirm`, which is left out; leave them out too"
        return
    best = [f"best_{rank}" for rank in range(1, confirm.best + 1)] if explore else []
    strategies = [*(s.label for s in confirm.strategies), *best]
    seen: dict[object, int] = {}
    for index, claim in enumerate(claims):
        where = f"claims.{index}"
        yield from (f"{where}.{p}" for p in _of_names(claim, strategies))
        for factor in FACTORS:
            yield from (f"{where}.{p}" for p in _of_factor(factor, claim, confirm))
        arms = [repr(_in_full(arm, confirm)) for arm in claim.arms]
        if len(set(arms)) < len(arms):
            yield f"{where}: it compares an arm with itself, by two names of an init; name another"
        content = (key(claim), claim.bound, *(arms if key(claim) == "better" else sorted(arms)))
        first = seen.setdefault(content, index)
        if first != index:
            yield f"{where}: says the same as claims.{first}; leave one out"


def _in_full(arm: ClaimArm, confirm: Confirm) -> tuple[object, ...]:
    """Return an arm with its init as the file states it, which a claim may write in two ways."""
    init = None if arm.init is None else init_names(confirm).get(arm.init, arm.init)
    return arm.strategy, init, arm.weight, arm.schedule


def _of_names(claim: StatedClaim, strategies: Sequence[str]) -> Iterator[str]:
    for name in dict.fromkeys(arm.strategy for arm in claim.arms):
        if name not in strategies:
            yield (
                f"{key(claim)}: {name!r} names no arm of `confirm`; write one of "
                f"{', '.join(strategies)}"
            )


def _of_factor(factor: str, claim: StatedClaim, confirm: Confirm) -> Iterator[str]:
    known = _known(factor, confirm)
    for value in dict.fromkeys(getattr(arm, factor) for arm in claim.arms):
        if value is None or value in known:
            continue
        if not known:
            key_of_file = {"weight": "hidden_weights", "schedule": "schedules"}[factor]
            yield f"{factor}: {value}, and `confirm.{key_of_file}` has no two; leave it out"
        else:
            yield f"{factor}: {_shown(value)} is not in `confirm`; write one of {_listed(known)}"


def _known(factor: str, confirm: Confirm) -> Sequence[object]:
    """Return what a claim may name of a factor; nothing if the file does not vary it."""
    if factor == "init":
        return list(init_names(confirm))
    return weight_names(confirm) if factor == "weight" else schedule_names(confirm)


def _listed(names: Sequence[object]) -> str:
    return ", ".join(_shown(name) for name in names)


def _shown(name: object) -> str:
    if isinstance(name, CopiedInit):
        return str(name.model_dump(exclude_defaults=True)).replace("'", "")
    return f"{name:g}" if isinstance(name, float) else str(name)


def init_names(confirm: Confirm) -> dict[str | CopiedInit, Init]:
    """Return the inits of the file by the names that a claim may use: as the file states them, and
    the rule of `{copied: reverse}` if no other init has that name."""
    names: dict[str | CopiedInit, Init] = {init: init for init in confirm.inits}
    for init in confirm.inits:
        if isinstance(init, CopiedInit) and isinstance(init.copied, str):
            names.setdefault(init.copied, init)
    return names


def schedule_names(confirm: Confirm) -> list[str]:
    """Return the schedules that a claim may name; none if the schedule is no factor."""
    return list(confirm.schedules) if confirm.schedules and len(confirm.schedules) > 1 else []


def weight_names(confirm: Confirm) -> tuple[float | str, ...]:
    """Return the hidden weights that a claim may name; none if the weight is no factor."""
    weights = dict.fromkeys(confirm.hidden_weights or ())
    return (*weights, "tuned") if len(weights) > 1 else ()
