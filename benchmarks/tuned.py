"""Error rates of the tuned cell (raykd/analysis/scores/loss_weights.py) where no weight gains
anything, by the seeds that choose a strategy's weight. Part of benchmarks/simulate.py.

Scores of a student on select and on test share its training's luck, but for `own` of the variance,
which is that of the rows. Nothing is gained at any weight, and the weights of a strategy are
independent, which favours the best of them most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.coverage import slack
from benchmarks.noise import ALPHA, MARGIN, OTHERS
from raykd.analysis.stats import paired
from raykd.analysis.stats.paired import claim

RULES = ("same seeds", "other seeds", "other half", "earlier seeds")
"""Which seeds choose the weight of a seed: all; all but itself; the half that it is not in; those
before it. The last is the verdict's."""
WEIGHTS, SEEDS, OWN, SDS = (2, 3, 5), (3, 5, 7, 10), (0.0, 0.5), (0.5, 1.5)


@dataclass(frozen=True)
class Tuned:
    """Shares of sweeps. `favoured`: one strategy is wrongly better than no matching; `disfavoured`:
    worse. `h2_supported` and so on: of four strategies and forward. `differs`: some strategy is
    wrongly shown to differ from forward (H1 contradicted)."""

    rule: str
    weights: int
    seeds: int
    own: float
    sd: float
    sweeps: int
    favoured: float
    disfavoured: float
    h2_supported: float
    h2_contradicted: float
    h1_contradicted: float


def choices(select: np.ndarray, rule: str) -> np.ndarray:
    """The weight of each seed: [..., seeds, weights] to [..., seeds], or one seed less where the
    first one chooses only."""
    n = select.shape[-2]
    if rule == "same seeds":
        return np.repeat(select.mean(-2, keepdims=True).argmax(-1), n, axis=-1)
    if rule == "other seeds":
        chosen: np.ndarray = (select.sum(-2, keepdims=True) - select).argmax(-1)
        return chosen
    if rule == "other half":
        halves = select[..., n // 2 :, :], select[..., : n // 2, :]
        best = [half.mean(-2, keepdims=True).argmax(-1) for half in halves]
        return np.concatenate(
            [np.repeat(b, k, axis=-1) for b, k in zip(best, (n // 2, n - n // 2), strict=True)], -1
        )
    earlier: np.ndarray = select.cumsum(-2)[..., :-1, :].argmax(-1)
    return earlier


def rates(rule: str, weights: int, seeds: int, own: float, sd: float, sweeps: int) -> Tuned:
    rng = np.random.default_rng([weights, seeds, int(10 * own), int(10 * sd)])
    shape, scale = (sweeps, 1 + OTHERS, seeds, weights), sd / np.sqrt(2)
    luck = np.sqrt(1 - own) * rng.standard_normal(shape)
    test, select = (scale * (luck + np.sqrt(own) * rng.standard_normal(shape)) for _ in range(2))
    none = scale * rng.standard_normal((sweeps, seeds))
    chosen = choices(select, rule)
    judged = chosen.shape[-1]
    scores = np.take_along_axis(test[:, :, -judged:], chosen[..., None], axis=-1)[..., 0]
    gain, gain_sd = paired.summary(scores - none[:, None, -judged:])
    gains = paired.p_above(gain, gain_sd, judged, 0), paired.p_below(gain, gain_sd, judged, 0)
    h2 = claim(*gains, ALPHA)
    off, off_sd = paired.summary(scores[:, 1:] - scores[:, :1])
    h1 = claim(paired.p_tost(off, off_sd, judged, MARGIN),
               paired.p_beyond(off, off_sd, judged, MARGIN), ALPHA)  # fmt: skip
    return Tuned(
        rule, weights, seeds, own, sd, sweeps,
        favoured=float((gains[0][:, 0] <= ALPHA).mean()),
        disfavoured=float((gains[1][:, 0] <= ALPHA).mean()),
        h2_supported=float(h2[0].mean()),
        h2_contradicted=float(h2[1].mean()),
        h1_contradicted=float(h1[1].mean()),
    )  # fmt: skip


def all_rates(sweeps: int) -> Iterator[Tuned]:
    for rule in RULES:
        for weights in WEIGHTS:
            for seeds in SEEDS:
                for own in OWN:
                    for sd in SDS[:1] if rule != RULES[-1] else SDS:
                        yield rates(rule, weights, seeds, own, sd, sweeps)


WRONG = ("favoured", "disfavoured", "h2_supported", "h2_contradicted", "h1_contradicted")


def faults(results: Sequence[Tuned]) -> list[str]:
    """Wrong answers of the verdict's rule that are more frequent than alpha."""
    return [
        f"{r}: {name}" for r in results for name in WRONG
        if r.rule == RULES[-1] and getattr(r, name) > ALPHA + slack(ALPHA, r.sweeps)
    ]  # fmt: skip


def table(results: Sequence[Tuned]) -> str:
    """The worst of each rate over the shares of the rows' own noise and the SDs."""
    lines = ["| weight chosen by | weights | seeds | favoured | disfavoured | H2 supported | "
             "H2 contradicted | H1 contradicted |", "|" + "---|" * 8]  # fmt: skip
    for rule in RULES:
        for weights in WEIGHTS:
            for seeds in SEEDS:
                group = [r for r in results if (r.rule, r.weights, r.seeds)
                         == (rule, weights, seeds)]  # fmt: skip
                worst = " | ".join(f"{max(getattr(r, w) for r in group):.3f}" for w in WRONG)
                lines.append(f"| {rule} | {weights} | {seeds} | {worst} |")
    return "\n".join(lines)
