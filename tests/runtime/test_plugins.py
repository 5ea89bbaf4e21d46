"""Plug-ins: what belongs to one, in whose ids its hash stands, how a mistake is answered."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from raykd.config.sweep import load
from raykd.config.trial import TrialSpec
from raykd.errors import UserError
from raykd.losses.hidden.registry import hidden_loss
from raykd.planning.resolve import resolve
from raykd.planning.trials import confirm_trials
from raykd.runtime.plugins import Plugin, plugin_hash, read_plugin

from ..support.plugins import forgotten, with_plugin  # noqa: F401  a fixture
from ..support.world import write_sweep

pytestmark = pytest.mark.usefixtures("forgotten")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAYKD_HOME", str(tmp_path / "home"))
    return tmp_path


def trials(folder: Path, **keys: object) -> tuple[TrialSpec, ...]:
    file = write_sweep(folder, **keys)
    return confirm_trials(resolve(load(file), folder / "home", str(file)))


def test_a_plugin_is_its_file_and_what_that_imports_of_its_folder(folder: Path) -> None:
    with_plugin(folder)
    (folder / "unrelated.py").write_text("1 / 0")
    plugin = read_plugin(folder / "halved.py")
    assert [path for path, _ in plugin.files] == ["factor.py", "halved.py"]
    assert len(plugin.hash) == 12
    changed = replace(plugin, files=(("factor.py", "HALF = 0.6"), plugin.files[1]))
    assert changed.hash != plugin.hash
    moved = Plugin("halved", (("factor.py", ""), ("halved.py", plugin.files[0][1])))
    assert moved.hash not in (plugin.hash, changed.hash)


def test_the_hash_stands_in_the_ids_of_trials_that_use_it_alone(folder: Path) -> None:
    confirm = {"strategies": ["forward", "tinybert"], "seeds": 1}
    plain = {t.strategy: t for t in trials(folder, confirm=confirm)}
    keys = with_plugin(folder)
    own = {t.strategy: t for t in trials(folder, confirm=confirm, **keys)}
    assert own["forward"].plugins == (plugin_hash(hidden_loss("half_power").function),)
    assert own["tinybert"] == plain["tinybert"] and own["tinybert"].id == plain["tinybert"].id
    assert TrialSpec.from_json(own["forward"].to_json()) == own["forward"]
    (folder / "factor.py").write_text("HALF = 0.25")
    again = {t.strategy: t for t in trials(folder, confirm=confirm, **keys)}
    assert again["forward"].id != own["forward"].id
    assert again["tinybert"].id == plain["tinybert"].id


def test_an_option_stands_in_the_id_where_it_is_not_the_default(folder: Path) -> None:
    confirm = {"strategies": ["forward"], "seeds": 1}
    keys = with_plugin(folder)
    (default,) = trials(folder, confirm=confirm, **keys)
    (stated,) = trials(folder, confirm=confirm, **with_plugin(folder, options={"exponent": 2}))
    (other,) = trials(folder, confirm=confirm, **with_plugin(folder, options={"exponent": 3}))
    assert default.id == stated.id != other.id
    assert other.loss.options == (("exponent", 3.0),)
    assert TrialSpec.from_json(other.to_json()) == other
    with pytest.raises(UserError, match=r"options\.power: half_power takes exponent"):
        trials(folder, confirm=confirm, **with_plugin(folder, options={"power": 3}))


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("absent.py", None, "no such Python file; write its path"),
        ("notes.txt", "", "no such Python file; write its path"),
        ("my-loss.py", "", "not the name of a module"),
        ("broken.py", "def", "SyntaxError"),
        ("raising.py", "raise KeyError('x')", "KeyError"),
        ("json.py", "", "a module 'json' exists already; rename the file"),
        ("twice.py",
         "from raykd.losses.hidden.registry import register_hidden_loss\n"
         "@register_hidden_loss()\ndef mse(s, t, n, e): ...",
         "hidden loss 'mse' is registered by raykd.losses.hidden.kinds.squared_error already"),
    ],
)  # fmt: skip
def test_a_mistake_is_a_line(folder: Path, name: str, text: str | None, line: str) -> None:
    if text is not None:
        (folder / name).write_text(text)
    file = write_sweep(folder, plugins=[name])
    with pytest.raises(UserError, match=f"plugins.0: {name}: ") as raised:
        load(file)
    assert line in str(raised.value) and len(str(raised.value).splitlines()) == 1


def test_an_option_that_is_not_stated_has_its_default(folder: Path) -> None:
    load(write_sweep(folder, **with_plugin(folder)))
    student, teacher = torch.full((2, 3), 3.0), torch.zeros(2, 3)
    loss = hidden_loss("half_power")
    for stated, value in ((None, 4.5), ((("exponent", 3.0),), 13.5)):
        assert float(loss.with_options(stated)(student, teacher, 2, 1)) == value


def test_a_module_that_is_imported_inside_a_function_is_found_there(folder: Path) -> None:
    text = (
        "from raykd.losses.hidden.registry import register_hidden_loss\n"
        "@register_hidden_loss()\ndef later(s, t, n, e):\n    import latent\n"
        "    return latent.SCALE * (s - t).abs().sum() / n\n"
    )
    (folder / "late.py").write_text(text)
    (folder / "latent.py").write_text("SCALE = 4.0")
    load(write_sweep(folder, plugins=["late.py"], losses={"kind": "later"}))
    assert float(hidden_loss("later").function(torch.ones(2, 3), torch.zeros(2, 3), 2, 1)) == 12


def test_plugins_share_a_module_only_if_it_is_one(folder: Path, tmp_path: Path) -> None:
    other = folder / "other"
    other.mkdir()
    for place, text in ((folder, "A = 1"), (other, "A = 2")):
        (place / "shared_helper.py").write_text(text)
        for name in ("one", "two", "three"):
            (place / f"plugin_{name}.py").write_text("import shared_helper")
    load(write_sweep(folder, plugins=["plugin_one.py", "plugin_two.py"]))
    with pytest.raises(UserError, match="a module 'shared_helper' exists already; rename the file"):
        load(write_sweep(folder, plugins=["other/plugin_three.py"]))


def run(code: str, path: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": f"{path}:{Path(__file__).parents[2]}"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=path
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_process_without_the_files_imports_their_text(folder: Path, tmp_path: Path) -> None:
    with_plugin(folder)
    plugin = read_plugin(folder / "halved.py")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = (
        "from raykd.runtime.plugins import Plugin, install_plugins, plugin_hash\n"
        "from raykd.losses.hidden.registry import hidden_loss\n"
        f"install_plugins([{plugin!r}]); install_plugins([{plugin!r}])\n"
        "print(plugin_hash(hidden_loss('half_power').function))"
    )
    assert run(code, elsewhere) == plugin.hash


def test_an_installed_package_registers_by_its_entry_point(folder: Path) -> None:
    site = folder / "site"
    info = site / "angular-1.0.dist-info"
    info.mkdir(parents=True)
    module = (
        "from raykd.losses.hidden.registry import register_hidden_loss\n"
        "@register_hidden_loss()\ndef angular(s, t, n, e):\n    return (s - t).abs().sum() / n\n"
    )
    (site / "angular.py").write_text(module)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: angular\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[raykd.plugins]\nangular = angular\n")
    (info / "RECORD").write_text("angular.py,,\nangular-1.0.dist-info/METADATA,,\n")
    file = write_sweep(folder, losses={"kind": "angular"})
    with pytest.raises(UserError, match='"angular" is not known'):
        load(file)
    code = (
        "from raykd.config.sweep import load\n"
        "from raykd.losses.hidden.registry import hidden_loss\n"
        "from raykd.runtime.plugins import plugin_hash\n"
        f"assert load({str(file)!r}).losses.kind == 'angular'\n"
        "print(plugin_hash(hidden_loss('angular').function))"
    )
    first = run(code, site)
    assert len(first) == 12
    (site / "angular.py").write_text(module.replace("abs", "square"))
    assert run(code, site) not in (first, "None")
