"""A mixed model over several tasks: the strategy is fixed, the task and the seed are random."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from raykd.analysis.scores.scores import FORWARD, Score


@dataclass(frozen=True)
class Effect:
    """Difference of a strategy to forward over all tasks; positive is better."""

    strategy: str
    effect: float
    se: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Mixed:
    """Mixed model over the tasks of one init, shape, metric and schedule. SDs are in the metric's
    units; `sd_seed` is 0 without seeds. Intervals have `tasks - 1` degrees of freedom."""

    init: str
    shape: str
    metric: str
    tasks: int
    n: int
    effects: tuple[Effect, ...]
    sd_task: float
    sd_task_strategy: float
    sd_seed: float
    sd_residual: float
    level: float
    schedule: str = ""


def over_tasks(scores: Sequence[Score], sign: int, alpha: float, seeded: bool) -> Mixed | None:
    """Fit score ~ strategy + (1 | task) + (1 | task:strategy) + (1 | task:seed) with statsmodels'
    MixedLM by REML. Without seeds the last two terms are part of the residual.

    scores: of one init, shape, metric and schedule, with forward among the strategies and at least
    two tasks.
    Returns None if the fit does not converge to finite standard errors.
    """
    import pandas as pd  # a second to import, and most verdicts are about one task
    from statsmodels.regression.mixed_linear_model import MixedLM
    from statsmodels.tools.sm_exceptions import ConvergenceWarning

    frame = pd.DataFrame(
        {"score": s.score * sign, "task": s.task, "strategy": s.strategy, "seed": s.seed}
        for s in scores
    )
    names = sorted(set(frame["strategy"]) - {FORWARD})
    frame["strategy"] = pd.Categorical(frame["strategy"], [FORWARD, *names])
    parts = {"task_strategy": "0 + C(strategy)", "seed": "0 + C(seed)"} if seeded else None
    with warnings.catch_warnings():
        # A variance estimated as zero lies on the boundary, which statsmodels warns about.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        model = MixedLM.from_formula(
            "score ~ strategy", frame, groups="task", re_formula="1", vc_formula=parts
        )
        fitted = model.fit(reml=True, method="powell")
    if not np.isfinite(np.asarray(fitted.bse_fe)).all():
        return None
    tasks = frame["task"].nunique()
    quantile = stats.t.ppf(1 - alpha, tasks - 1)
    estimates = zip(
        names, np.asarray(fitted.fe_params)[1:], np.asarray(fitted.bse_fe)[1:], strict=True
    )
    extra = dict(zip(model.exog_vc.names, fitted.vcomp, strict=True)) if seeded else {}
    return Mixed(
        init=scores[0].init,
        shape=scores[0].shape,
        metric=scores[0].metric,
        tasks=tasks,
        n=len(frame),
        effects=tuple(
            Effect(name, float(b), float(se), (float(b - quantile * se), float(b + quantile * se)))
            for name, b, se in estimates
        ),
        sd_task=float(np.sqrt(np.asarray(fitted.cov_re)[0, 0])),
        sd_task_strategy=float(np.sqrt(extra.get("task_strategy", 0.0))),
        sd_seed=float(np.sqrt(extra.get("seed", 0.0))),
        sd_residual=float(np.sqrt(fitted.scale)),
        level=1 - 2 * alpha,
        schedule=scores[0].schedule,
    )
