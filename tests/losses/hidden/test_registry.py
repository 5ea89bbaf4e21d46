"""The registry of hidden losses: complete, documented, cheap to import, free of contradictions."""

from __future__ import annotations

import json
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from raykd.cluster.launch.retry import Part, after
from raykd.config.cohort import Cohort
from raykd.config.sweep import SweepConfig, load
from raykd.config.trial import TrialSpec
from raykd.losses.hidden import kinds, registry
from raykd.losses.hidden.registry import hidden_loss, hidden_losses, register_hidden_loss
from raykd.maps.layer_map import LayerMap
from raykd.planning.resolve import resolve
from raykd.planning.trials import confirm_trials
from raykd.training.angle_probe import _kind

from ...cluster.launch.test_retry import MEMORY, RETRIES, SHARE
from ...config.test_mistakes import complaints
from ...support.smallest import SMALLEST
from ...support.specs import spec
from ...support.world import write_sweep

ROOT = Path(__file__).parents[3]
each_kind = pytest.mark.parametrize("name", sorted(hidden_losses()))


@pytest.fixture(autouse=True)
def _unchanged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kinds that a test registers are gone after it."""
    monkeypatch.setattr(registry, "_REGISTERED", dict(hidden_losses()))
    yield


def warm(student_ND: Tensor, teacher_ND: Tensor, tokens: int, examples: int, warmth: float) -> Any:
    """A loss with an option."""
    return warmth * (student_ND - teacher_ND).square().sum() / tokens


# What is registered


def test_every_module_of_kinds_registers_a_loss() -> None:
    modules = {m.name for m in pkgutil.iter_modules(kinds.__path__, f"{kinds.__name__}.")}
    assert {loss.function.__module__ for loss in hidden_losses().values()} == modules


@each_kind
def test_an_entry_is_complete(name: str) -> None:
    loss = hidden_loss(name)
    assert loss.name == name == loss.function.__name__
    assert loss.function.__doc__ and loss.reads
    if loss.stand_in is not None:
        assert hidden_loss(loss.stand_in).stand_in is None
    assert loss.by_token <= loss.divisible <= loss.additive


@each_kind
def test_the_page_of_strategies_names_every_kind(name: str) -> None:
    """As a kind of its own, or as the strategy whose loss it is."""
    page = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")
    assert re.search(rf"`(losses\.kind: )?{name}`", page)
    cited = set(
        re.findall(r"arxiv (\d{4}\.\d{5})", (hidden_loss(name).function.__doc__ or "").lower())
    )
    assert all(number in page for number in cited)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"form": "blocks"}, "`terms` are those of form `blocks`"),
        ({"terms": ("states",)}, "`terms` are those of form `blocks`"),
        ({"reads": ("query",)}, "compares states alone"),
        ({"form": "padded_pair", "reads": ("state", "key")}, "compares states alone"),
        ({"weights": lambda *of: {}}, "trained weights"),
        ({"map_of_epoch": lambda *of: of[0]}, "maps of an epoch"),
        ({"form": "padded_pair", "additive": False}, "computed by one worker"),
        ({"form": "padded_pair", "standardized": True}, "`standardized` is for form `pair`"),
        ({"least_examples": 2}, "an additive loss needs one example"),
    ],
)
def test_an_entry_that_contradicts_itself_is_refused(entry: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        register_hidden_loss(**entry)(warm)
    assert "warm" not in hidden_losses()


def test_a_name_that_is_taken_is_refused() -> None:
    def mse() -> None: ...

    with pytest.raises(ValueError, match="'mse' is registered by raykd.losses.hidden.kinds"):
        register_hidden_loss()(mse)
    assert hidden_loss("mse").function is not mse


def test_neither_the_registry_nor_a_sweep_file_needs_torch() -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from raykd.losses.hidden.registry import hidden_losses\n"
        "assert len(hidden_losses()) > 9\n"
        "from raykd.config.sweep import load\n"
        "load(Path('sweeps/quickstart.yaml'))\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# What a sweep file states


def test_options_are_refused_or_known_by_name(tmp_path: Path) -> None:
    told = complaints(tmp_path, {**SMALLEST, "losses": {"options": {"warmth": 2}}})
    assert (
        len(told) == 1 and "options.warmth: normalized_mse has no options; leave it out" in told[0]
    )
    register_hidden_loss(options={"warmth": 1.0})(warm)
    told = complaints(tmp_path, {**SMALLEST, "losses": {"kind": "warm", "options": {"heat": 2}}})
    assert len(told) == 1 and "options.heat: warm takes warmth" in told[0]


def test_options_are_part_of_a_trials_id_only_where_they_differ_from_the_default(
    tmp_path: Path,
) -> None:
    register_hidden_loss(options={"warmth": 1.0})(warm)

    def trial(**losses: Any) -> TrialSpec:
        sweep = write_sweep(tmp_path, losses={"kind": "warm", **losses})
        study = resolve(load(sweep), tmp_path / "home", str(sweep))
        return next(t for t in confirm_trials(study) if t.layer_map.pairs())

    plain, default, other = (
        trial(**of) for of in ({}, {"options": {"warmth": 1}}, {"options": {"warmth": 2}})
    )
    assert plain == default and plain.id == default.id != other.id
    assert "options" not in plain.to_json()["loss"]
    assert other.loss.options == (("warmth", 2.0),)
    assert TrialSpec.from_json(json.loads(json.dumps(other.to_json()))) == other


WHOLE = sorted(name for name, loss in hidden_losses().items() if not loss.divisible)


@pytest.mark.parametrize("name", WHOLE)
def test_a_loss_of_the_whole_batch_is_not_computed_in_parts(tmp_path: Path, name: str) -> None:
    file = {**SMALLEST, "losses": {"kind": name}, "cluster": {"micro_batch": 4}}
    (told,) = complaints(tmp_path, file)
    assert re.fullmatch(
        rf"cluster.micro_batch: 4, and {name} is of a whole (padded )?batch; leave it out", told
    )
    # Short memory takes the cohort apart and leaves the batch whole.
    own = tuple(spec(kind=name, layer_map=LayerMap((1, 2, i + 1))) for i in range(2))
    (again,) = after(Part((Cohort(own),)), MEMORY, RETRIES, SHARE)[:1]
    assert again.micro_batch is None


SETS = sorted(name for name, loss in hidden_losses().items() if loss.least_examples > 1)


@pytest.mark.parametrize("name", SETS)
def test_a_loss_of_the_gathered_batch_needs_no_single_worker(name: str) -> None:
    assert name in WHOLE
    file = {**SMALLEST, "losses": {"kind": name}, "cluster": {"workers": 2}}
    assert SweepConfig.model_validate(file).losses.kind == name


@pytest.mark.parametrize("name", SETS)
def test_a_batch_with_too_few_examples_to_compare_is_refused(tmp_path: Path, name: str) -> None:
    least = hidden_loss(name).least_examples
    file = {**SMALLEST, "losses": {"kind": name}}
    (told,) = complaints(tmp_path, {**file, "training": {"batch": least - 1}})
    assert told == (
        f"training.batch: {least - 1}, and {name} compares the examples of a batch with each "
        f"other; write {least} or more"
    )
    task = {**SMALLEST["task"], "max_length": 64}
    tokens = {**file, "task": task, "training": {"batch_tokens": 64 * least - 1}}
    (told,) = complaints(tmp_path, tokens)
    assert re.fullmatch(
        rf"training.batch_tokens: {64 * least - 1}, .*; write {64 * least} or more, which holds "
        rf"{least} texts of 64 tokens \(task.max_length\)",
        told,
    )
    for fitting in ({"batch": least}, {"batch_tokens": 64 * least}):
        SweepConfig.model_validate({**file, "task": task, "training": fitting})


@each_kind
def test_angles_are_those_of_a_loss_with_a_gradient_for_each_token(name: str) -> None:
    trial = spec(kind=name)
    measured = hidden_loss(name).by_token and not hidden_loss(name).standardized
    assert _kind(trial) == (name if measured else "mse")
    assert _kind(replace(trial, loss=replace(trial.loss, kind="linear_cka"))) == "mse"
