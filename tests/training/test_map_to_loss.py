"""A map is followed from a sweep file to its loss under a tracer: the files that handle it are few,
and README names them in reading order.

A file handles the map if one of its functions is given or returns it, or calls such a function, in
any of its forms: the entry of the sweep file, the layer map, its pairs of activations, the module
of the hidden loss and the function that compares a pair. So do the files that define these forms.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import raykd
from raykd.config import design, sweep
from raykd.config.cohort import Cohort
from raykd.config.trial import TrialSpec
from raykd.losses.hidden.inputs import HiddenInputs
from raykd.losses.hidden.registry import hidden_loss
from raykd.losses.hidden_module import HiddenLossModule
from raykd.maps.activations import Activation
from raykd.maps.layer_map import LayerMap
from raykd.maps.published import own_loss
from raykd.planning.resolve import resolve
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.sweep.fine_tune import fine_tune
from raykd.training import distill
from raykd.training.imitation.gradients import GradientProbe

from ..support.loop import train
from ..support.world import write_sweep

ROOT = Path(raykd.__file__).parent
README = ROOT.parent / "README.md"
FORMS = (design.Strategy, LayerMap, HiddenInputs, HiddenLossModule)

READING_ORDER = [
    "config/design.py",
    "planning/trials.py",
    "maps/strategies.py",
    "maps/layer_map.py",
    "maps/activations.py",
    "config/trial.py",
    "training/learner.py",
    "losses/hidden_module.py",
    "losses/hidden/registry.py",
    "losses/hidden/kinds/squared_error.py",
]
OF_SCHEDULES = ["planning/schedules.py", "losses/hidden/schedule.py"]
OF_PUBLISHED_METHODS = ["maps/published.py", "losses/hidden/inputs.py"]


class MapTracer:
    """The files of raykd whose functions handle the map or one of `functions`."""

    def __init__(self, *functions: Callable[..., Any]) -> None:
        self.files: set[str] = set()
        self.functions = functions

    def holds_map(self, value: Any) -> bool:
        if isinstance(value, FORMS):
            return True
        if isinstance(value, partial):
            return value.func in self.functions
        if type(value) in (list, tuple, set, frozenset):
            members = list(value)
            pair = len(members) == 2 and all(isinstance(m, Activation) for m in members)
            return pair and type(value) is tuple or any(map(self.holds_map, members))
        if type(value) is dict:
            return any(map(self.holds_map, value.items()))
        return False

    def __call__(self, frame: FrameType, event: str, value: Any) -> Any:
        file = frame.f_code.co_filename
        if not file.startswith(str(ROOT)):
            return None
        frame.f_trace_lines = False
        called = any(frame.f_code is f.__code__ for f in self.functions)
        given = event == "call" and (called or any(map(self.holds_map, frame.f_locals.values())))
        if given or (event == "return" and self.holds_map(value)):
            self.add(file)
            if frame.f_back is not None:
                self.add(frame.f_back.f_code.co_filename)
        return self

    def add(self, file: str) -> None:
        if file.startswith(str(ROOT)):
            self.files.add(Path(file).relative_to(ROOT).as_posix())


@contextmanager
def traced(tracer: MapTracer) -> Iterator[None]:
    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        yield
    finally:
        sys.settrace(before)


def followed(folder: Path, strategy: str, kl: float = 1.0, **losses: Any) -> set[str]:
    """The files that handle the map of a strategy, from its sweep file to the end of a training."""
    file = write_sweep(
        folder,
        training={"steps": 2, "batch": 8},
        losses={"kl": kl, **losses},
        # A copied init is a layer map too, of which teacher block becomes which student block.
        confirm={"strategies": [strategy], "seeds": [0], "inits": ["random"]},
    )
    loss = hidden_loss(own_loss(strategy) or "normalized_mse")
    tracer = MapTracer(loss.function)
    with traced(tracer):
        study = resolve(sweep.load(file), folder / "home", file.name)
        trials = confirm_trials(study)
    sources = training_inputs(study, fine_tune(study).folder)
    # What students imitate is measured beside the training, not on the way to its loss.
    with pytest.MonkeyPatch.context() as patch, traced(tracer):
        patch.setattr(distill, "measured_steps", lambda *_: frozenset())
        patch.setattr(GradientProbe, "__call__", lambda *_: None)
        train(Cohort(trials), sources)
    for form in (design.Strategy, LayerMap, Activation, TrialSpec, HiddenLossModule):
        tracer.add(inspect.getfile(form))
    return tracer.files


@pytest.mark.parametrize("kl", [0.0, 1.0])
def test_ten_files_lead_from_a_map_in_a_sweep_file_to_its_loss(tmp_path: Path, kl: float) -> None:
    assert followed(tmp_path, "forward", kl) == set(READING_ORDER)


@pytest.mark.parametrize(
    ("strategy", "loss_files"),
    [
        ("pkd_skip", {"losses/hidden/kinds/pkd.py"}),
        ("rail_kd", {"losses/hidden/kinds/rail_kd.py"}),
        ("minilm_v2", {"losses/hidden/kinds/minilm.py", "losses/hidden/attention.py"}),
    ],
)
def test_a_published_method_adds_its_map_and_its_inputs(
    tmp_path: Path, strategy: str, loss_files: set[str]
) -> None:
    added = followed(tmp_path, strategy) - set(READING_ORDER)
    assert added == {*OF_PUBLISHED_METHODS, *loss_files}


@pytest.mark.parametrize("blocks", ["all", "progressive"])
def test_a_schedule_adds_who_states_it_and_who_switches_pairs(tmp_path: Path, blocks: str) -> None:
    schedule = [{"until": 0.5, "blocks": blocks}, {"until": 1, "hidden": 0}]
    added = followed(tmp_path, "forward", schedule=schedule) - set(READING_ORDER)
    assert added == set(OF_SCHEDULES[: 1 + (blocks == "progressive")])


def test_readme_names_them_in_this_order() -> None:
    text = README.read_text(encoding="utf-8")
    section = text[text.index("Ten files handle a layer map") :]
    listed = re.findall(r"^\d+\. `([\w/]+\.py)`", section, re.MULTILINE)
    assert listed == READING_ORDER and len(listed) <= 10
    assert all(f"`{file}`" in section for file in [*OF_PUBLISHED_METHODS, *OF_SCHEDULES])


def test_an_eleventh_file_is_seen(tmp_path: Path) -> None:
    """The tracer sees whoever handles the map: here a module of raykd that does not exist."""
    stray = ROOT / "planning" / "stray.py"
    scope: dict[str, Any] = {}
    exec(compile("def stray(layer_map): return 1", str(stray), "exec"), scope)
    tracer = MapTracer()
    with traced(tracer):
        scope["stray"](LayerMap((1, 2)))
    assert "planning/stray.py" in tracer.files
