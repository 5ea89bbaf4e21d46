"""The registry of tasks: the class of each kind.

What is known of a kind without its class is in `raykd.tasks.kinds.task_kind`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from raykd.tasks.kinds.task_kind import TaskKind, add_kind, task_kind, task_kinds
from raykd.tasks.task import Task

Class = TypeVar("Class", bound=type[Task])


def register_task(name: str, **entry: Any) -> Callable[[Class], Class]:
    """Decorator that registers a subclass of `Task` under `task.kind`; `entry` are fields of
    `TaskKind`.

    Raises ValueError if the name is taken, and TypeError if a method is missing.
    """

    def register(implementation: Class) -> Class:
        kind = TaskKind(name, implementation, **entry)
        implementation()  # abstract methods that are not implemented
        add_kind(kind)
        implementation.kind = kind
        return implementation

    return register


def task(kind: str) -> Task:
    """The task of this kind. Raises KeyError."""
    implementation = task_kind(kind).implementation
    if isinstance(implementation, str):
        implementation = pkgutil.resolve_name(implementation)
    found: Task = implementation()
    return found


def tasks() -> Mapping[str, Task]:
    """All registered tasks by kind."""
    return {kind: task(kind) for kind in task_kinds()}
