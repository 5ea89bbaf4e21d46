"""The registry of metrics: what each scores and how. Plain Python, no numpy.

The functions of the built-in metrics are in `raykd.tasks.metrics`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

Score = Callable[["np.ndarray", "np.ndarray"], float]
"""(answers, labels) -> the score of all rows together, in percent unless the metric has a unit of
its own."""


@dataclass(frozen=True)
class Metric:
    """A metric of the answers of some kinds of tasks. `function` and `each` take answers as
    `Task.evaluate` returns them, and labels; a text is where to import them from."""

    name: str
    tasks: tuple[str, ...]
    function: str | Callable[..., Any]
    larger_is_better: bool = True
    """Otherwise students are selected, and maps searched, by the smallest score."""
    each: str | Callable[..., Any] | None = None
    """(answers, labels) -> a score of every row, from 0 to 1, or in the metric's own unit; default:
    `function` of single rows."""
    reported_with: tuple[str, ...] = ()
    """Metrics with which it is reported for a finished trial."""
    choices: bool = False
    """Whether it scores choices; otherwise texts, where the answers of a task can be either."""
    classes: int | None = None
    """The number of classes that it is defined for, if it is not defined for any number."""
    percent: bool = True
    """Whether scores are in percent, 100 at best. Otherwise they are unbounded, in a unit of their
    own."""
    constant: str = "majority class"
    """The best constant answer in messages, whose score stands beside that of a teacher."""

    @property
    def sign(self) -> int:
        """The factor that makes a larger score better."""
        return 1 if self.larger_is_better else -1

    @property
    def decimals(self) -> int:
        """Decimals of a score in messages."""
        return 1 if self.percent else 3

    def score(self, answers: np.ndarray, labels: np.ndarray) -> float:
        return float(_resolved(self.function)(answers, labels))

    def scores(self, answers: np.ndarray, labels: np.ndarray) -> list[float]:
        """The score of each row, from 0 to 1, or in the metric's own unit."""
        if self.each is not None:
            return [float(x) for x in _resolved(self.each)(answers, labels)]
        single = (slice(i, i + 1) for i in range(len(labels)))
        whole = 100 if self.percent else 1
        return [self.score(answers[row], labels[row]) / whole for row in single]


def _resolved(function: str | Callable[..., Any]) -> Callable[..., Any]:
    return pkgutil.resolve_name(function) if isinstance(function, str) else function


def _built_in(task: str, prefix: str, names: Iterable[str], **entry: Any) -> Iterable[Metric]:
    for name in names:
        function = f"raykd.tasks.metrics:{prefix}_{name}"
        yield Metric(name, (task,), function, each=f"{function}.each", **entry)


_REGISTERED: dict[tuple[str, str], Metric] = {}
"""By task and name, in the order in which tasks list them; the first is a task's default."""


def register_metric(
    name: str, function: Callable[..., Any], larger_is_better: bool = True,
    tasks: tuple[str, ...] = ("classification",), **entry: Any,
) -> None:  # fmt: skip
    """Registers a metric of these kinds of tasks; `entry` are further fields of `Metric`. A module
    may register its own metric again.

    Raises ValueError if the name is taken.
    """
    _add(Metric(name, tasks, function, larger_is_better, **entry))


def _add(metric: Metric) -> None:
    for task in metric.tasks:
        known = _REGISTERED.get((task, metric.name))
        if known is not None and _module(known) != _module(metric):
            raise ValueError(
                f"metric {metric.name!r} of {task} is registered by {_module(known)} already"
            )
        _REGISTERED[task, metric.name] = metric


def _module(metric: Metric) -> str:
    where = metric.function
    return where.split(":")[0] if isinstance(where, str) else where.__module__


def metrics(task: str) -> Mapping[str, Metric]:
    """The metrics of a kind of task by name. Read at the time of use: a plug-in may add some."""
    return {name: metric for (kind, name), metric in _REGISTERED.items() if kind == task}


def metric_of(task: str, name: str) -> Metric:
    """A metric of a kind of task. Raises KeyError."""
    return _REGISTERED[task, name]


def metric_named(name: str) -> Metric:
    """The first metric of this name, of any kind of task; for an unknown name, one in percent."""
    named = (metric for (_, known), metric in _REGISTERED.items() if known == name)
    return next(named, Metric(name, (), ""))


def default_metric(task: str, choices: bool) -> str | None:
    """The first metric of a kind of task; None if it has none. `choices`: whether the sweep file
    states choices."""
    named = metrics(task).values()
    return next(
        (m.name for m in named if m.choices == choices), next((m.name for m in named), None)
    )


for _metric in (
    *_built_in("classification", "class", ("accuracy",)),
    *_built_in("classification", "class", ("f1",), classes=2),
    *_built_in("classification", "class", ("macro_f1", "matthews")),
    *_built_in("seq2seq", "text", ("chrf", "bleu", "rouge1", "rouge2", "rougeL")),
    *_built_in("causal_lm", "choice", ("acc", "acc_norm"), choices=True),
    *_built_in("causal_lm", "answer", ("exact_match", "f1")),
    *_built_in(
        "language_modeling",
        "text",
        ("nats",),
        larger_is_better=False,
        percent=False,
        constant="unigram model",
    ),
):
    _add(_metric)
