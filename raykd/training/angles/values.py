"""Measured angles between teacher blocks, as seen from a student: values and JSON.

All counts are of valid tokens. The tokens of one example depend on each other, so intervals are
clustered by example.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from scipy import special  # `stats` itself takes half a second to import

BINS = 64  # of the cosine, from -1 to 1
LEVEL = 0.95
RATIOS = (1.5, 2.0, 3.0)
VIEWS = ("raw", "centred", "gradient", "shuffled", "untrained")
NULLS = ("shuffled", "untrained")


@dataclass(frozen=True)
class View:
    """The cosine of one pair's angle over `tokens` tokens: how often it is above 0, and its mean.

    `effective`: the effective sample size of the share, in independent tokens. Without tokens the
    share is 0.5, the cosine 0 and the interval [0, 1].
    """

    tokens: int
    share_acute: float
    interval: tuple[float, float]
    effective: float
    cosine: float


@dataclass(frozen=True)
class Thales:
    """The student's distance from the ball with diameter T_i T_j, on whose surface the angle is
    right (Thales): ||S - (T_i + T_j) / 2|| / (||T_i - T_j|| / 2). Above 1 the angle is acute, by
    identity; far above 1 it is acute for any student. `above`: the shares of tokens above each of
    RATIOS."""

    median: float
    above: tuple[float, float, float]


@dataclass(frozen=True)
class Pair:
    """Teacher blocks `first` < `second`. `gradient`: the cosine between the gradients of the two
    targets, at the student's state, of the hidden loss in use; above 0 they agree. `shuffled` and
    `untrained` are nulls (docs/angles.md). Histograms count cosines in BINS even bins."""

    first: int
    second: int
    raw: View
    centred: View
    gradient: View
    shuffled: View
    untrained: View
    thales: Thales
    histogram: tuple[int, ...]
    centred_histogram: tuple[int, ...]


@dataclass(frozen=True)
class Block:
    """The angles seen from one student block (1-based). `histograms`: per view, over all pairs."""

    student: int
    pairs: tuple[Pair, ...]
    histograms: dict[str, tuple[int, ...]]

    def share_acute(self, view: str = "raw") -> float:
        """Return the mean share over the pairs."""
        return float(np.mean([getattr(p, view).share_acute for p in self.pairs]))

    def cosine(self, view: str = "raw") -> float:
        """Return the mean cosine over the pairs."""
        return float(np.mean([getattr(p, view).cosine for p in self.pairs]))


@dataclass(frozen=True)
class Measured:
    """One student at one optimisation step, over `rows` rows of the select split.

    `when`: `training` at an evaluation, `stored` for a stored student, whose weights are those of
    its best evaluation. `width` is the teacher's; `loss` is the hidden loss of `gradient`.
    """

    step: int
    when: Literal["training", "stored"]
    rows: int
    teacher_blocks: int
    width: int
    loss: str
    blocks: tuple[Block, ...]

    def metrics(self) -> dict[str, float]:
        """Return the metrics that the trial's run records, by student block."""
        return {
            **{f"angle_share_acute_{b.student}": b.share_acute() for b in self.blocks},
            **{f"angle_cosine_{b.student}": b.cosine() for b in self.blocks},
        }

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = _adapter().dump_python(self, mode="json")
        return data

    @classmethod
    def from_json(cls, data: Any) -> Measured:
        """Read a measurement from JSON data. Raises pydantic's ValidationError if it is invalid."""
        measured: Measured = _adapter().validate_python(data)
        return measured


@cache
def _adapter() -> Any:
    from pydantic import TypeAdapter  # needed to read or write, not to train

    return TypeAdapter(Measured)


def pairs(blocks: int) -> tuple[tuple[int, int], ...]:
    """Return every pair of teacher blocks (1-based), in the order of `torch.triu_indices`."""
    return tuple((i, j) for i in range(1, blocks + 1) for j in range(i + 1, blocks + 1))


def effective_size(
    count: float, acute: float, acute_squared: float, products: float, squared: float, examples: int
) -> float:
    """Return the effective sample size of a share over clusters (Korn and Graubard 1998): p(1 - p)
    over the ratio estimator's linearised variance, at most `count`.

    With a_e acute tokens out of n_e in example e: `acute_squared` = sum a_e^2, `products` =
    sum a_e n_e, `squared` = sum n_e^2. If all tokens agree, their dependence is unknown, and each
    example counts as one.
    """
    if examples < 2 or not count:
        return float(examples)
    p = acute / count
    spread = acute_squared - 2 * p * products + p * p * squared
    variance = examples / (examples - 1) * spread / count**2
    if not 0 < p < 1 or variance <= 0:
        return float(examples)
    return float(min(count, p * (1 - p) / variance))


def wilson(share: float, effective: float, quantile: float) -> tuple[float, float]:
    """Return Wilson's interval of a share with an effective sample size of `effective`."""
    if effective <= 0:
        return 0.0, 1.0
    q = quantile**2 / effective
    centre = share + q / 2
    half = np.sqrt(q * (share * (1 - share) + q / 4))
    return float(max(0.0, (centre - half) / (1 + q))), float(min(1.0, (centre + half) / (1 + q)))


def clustered(share: float, effective: float, examples: int) -> tuple[float, float]:
    """Return Wilson's interval at LEVEL, with a t quantile at the clusters' degrees of freedom."""
    if examples < 2:
        return 0.0, 1.0
    return wilson(share, effective, float(special.stdtrit(examples - 1, (1 + LEVEL) / 2)))


def random_histogram(width: int, count: float) -> np.ndarray:
    """Return the expected bin counts of `count` cosines between random directions in `width`
    dimensions: the null of random difference vectors of any length. (cos + 1) / 2 is Beta
    distributed with both parameters (width - 1) / 2; the acute share is 0.5, the mean 0."""
    a = (width - 1) / 2
    edges = np.linspace(0, 1, BINS + 1)
    shares: np.ndarray = np.diff(special.betainc(a, a, edges))
    return count * shares
