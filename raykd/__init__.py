"""Does it matter which teacher layers a distilled student imitates? Test it, and find out.

The names below are the public interface. Each is imported when it is first used, so that
`import raykd` takes no time; docs/library.md shows them at work.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from raykd.version import __version__

if TYPE_CHECKING:
    from raykd.analysis.scores.public import read_scores
    from raykd.analysis.verdict.public import judge, power
    from raykd.analysis.verdict.verdict import Verdict
    from raykd.cluster.launch.public import Sweep
    from raykd.config.sweep import SweepConfig
    from raykd.config.sweep import load as load_sweep
    from raykd.errors import UserError
    from raykd.losses.hidden.registry import hidden_losses, register_hidden_loss
    from raykd.maps.layer_map import LayerMap
    from raykd.maps.published import RULES as STRATEGIES
    from raykd.maps.registry import register_strategy, strategy
    from raykd.models.public import build_student
    from raykd.tasks.kinds.metric import register_metric
    from raykd.tasks.registry import register_task
    from raykd.training.public import distill

__all__ = [
    "STRATEGIES",
    "LayerMap",
    "Sweep",
    "SweepConfig",
    "UserError",
    "Verdict",
    "__version__",
    "build_student",
    "distill",
    "hidden_losses",
    "judge",
    "load_sweep",
    "power",
    "read_scores",
    "register_hidden_loss",
    "register_metric",
    "register_strategy",
    "register_task",
    "strategy",
]

# Where each name is defined: module, and the name there if it differs.
_DEFINED = {
    "STRATEGIES": ("raykd.maps.published", "RULES"),
    "LayerMap": ("raykd.maps.layer_map", "LayerMap"),
    "Sweep": ("raykd.cluster.launch.public", "Sweep"),
    "SweepConfig": ("raykd.config.sweep", "SweepConfig"),
    "UserError": ("raykd.errors", "UserError"),
    "Verdict": ("raykd.analysis.verdict.verdict", "Verdict"),
    "build_student": ("raykd.models.public", "build_student"),
    "distill": ("raykd.training.public", "distill"),
    "hidden_losses": ("raykd.losses.hidden.registry", "hidden_losses"),
    "judge": ("raykd.analysis.verdict.public", "judge"),
    "load_sweep": ("raykd.config.sweep", "load"),
    "power": ("raykd.analysis.verdict.public", "power"),
    "read_scores": ("raykd.analysis.scores.public", "read_scores"),
    "register_hidden_loss": ("raykd.losses.hidden.registry", "register_hidden_loss"),
    "register_metric": ("raykd.tasks.kinds.metric", "register_metric"),
    "register_strategy": ("raykd.maps.registry", "register_strategy"),
    "register_task": ("raykd.tasks.registry", "register_task"),
    "strategy": ("raykd.maps.registry", "strategy"),
}


def __getattr__(name: str) -> Any:
    if name not in _DEFINED:
        raise AttributeError(f"module 'raykd' has no attribute {name!r}")
    module, attribute = _DEFINED[name]
    value = globals()[name] = getattr(import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
