"""Plug-ins: Python files, or installed packages, that register strategies, hidden losses, tasks and
metrics. Plain Python, no torch.

A sweep file names its files under `plugins`. They are imported before the file is validated, and by
every process that trains: a plug-in carries the text of its files, so that a node of a cluster does
not need them. An installed package registers by the entry-point group `raykd.plugins`.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from importlib.util import find_spec
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

from raykd.errors import UserError, first_line

GROUP = "raykd.plugins"
DIGITS = 12  # of a hash


@dataclass(frozen=True)
class Plugin:
    """A module and the modules of its folder that it imports, with their text."""

    module: str
    files: tuple[tuple[str, str], ...]
    """(path from the folder, text), sorted by path."""

    @property
    def hash(self) -> str:
        """12 hexadecimal digits of the SHA-256 of all files."""
        return _hash((path.encode(), text.encode()) for path, text in self.files)


_INSTALLED: dict[str, tuple[Plugin, Path]] = {}
"""Imported plug-ins by module name, with the folder that they were imported from."""


def read_plugin(file: Path) -> Plugin:
    """Return a plug-in file with the modules of its folder that it imports. Raises OSError or
    SyntaxError."""
    folder = file.parent.resolve()
    finder = ModuleFinder(path=[str(folder)])
    finder.run_script(str(file))
    imported = (getattr(m, "__file__", None) for m in finder.modules.values())
    paths = sorted({file.resolve(), *(Path(f).resolve() for f in imported if f)})
    files = ((p.relative_to(folder).as_posix(), p.read_text("utf-8")) for p in paths)
    return Plugin(file.stem, tuple(files))


def import_plugins(files: Iterable[str], sweep_file: Path) -> tuple[Plugin, ...]:
    """Import the plug-ins that a sweep file names, by paths from its folder. Raises UserError for
    the first one that cannot be imported."""
    plugins = []
    for index, name in enumerate(files):
        key = f"{sweep_file}: plugins.{index}: {name}"
        path = sweep_file.parent / name
        if path.suffix != ".py" or not path.is_file():
            raise UserError(
                f"{key}: no such Python file; write its path from the folder of the sweep file"
            )
        if not path.stem.isidentifier():
            raise UserError(f"{key}: not the name of a module; write letters, digits and `_`")
        try:
            plugin = read_plugin(path)
            _install(plugin, path.parent.resolve())
        except Exception as error:  # whatever the user's module raises
            raise UserError(f"{key}: {type(error).__name__}: {first_line(error)}") from error
        plugins.append(plugin)
    return tuple(plugins)


def install_plugins(plugins: Sequence[Plugin]) -> None:
    """Import plug-ins from their text, in a process that may not have their files."""
    for plugin in plugins:
        if _is_installed(plugin):
            continue
        folder = Path(tempfile.mkdtemp(prefix="raykd-plugin-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        for path, text in plugin.files:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        _install(plugin, folder)


def _is_installed(plugin: Plugin) -> bool:
    return plugin.module in _INSTALLED and _INSTALLED[plugin.module][0] == plugin


def _install(plugin: Plugin, folder: Path) -> None:
    """Import the plug-in with all its files: those that it imports inside functions are not found
    later, when its folder is not on the path. Raises ImportError for a name that is taken."""
    if _is_installed(plugin):
        return
    for path, text in plugin.files:
        _make_room(plugin, path, text)
    _INSTALLED[plugin.module] = (plugin, folder)
    sys.path.insert(0, str(folder))
    try:
        importlib.invalidate_caches()
        importlib.import_module(plugin.module)
        for path, _ in plugin.files:
            importlib.import_module(_module_name(path))
    except BaseException:
        del _INSTALLED[plugin.module]
        raise
    finally:
        sys.path.remove(str(folder))


def _make_room(plugin: Plugin, path: str, text: str) -> None:
    """Forget an earlier text of the plug-in's file. Raises ImportError if its name is that of
    another module."""
    name = _module_name(path)
    owners = [p for p, _ in _INSTALLED.values() if path in dict(p.files)]
    foreign = [p for p in owners if p.module != plugin.module and dict(p.files)[path] != text]
    if foreign or (name in sys.modules and not owners):
        raise ImportError(f"a module {name!r} exists already; rename the file")
    if any(p.module == plugin.module for p in owners):
        sys.modules.pop(name, None)


@cache
def _entry_points() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=GROUP))


@cache
def import_entry_points() -> None:
    """Import the plug-ins of installed packages, once. Raises UserError where one fails."""
    for point in _entry_points():
        try:
            point.load()
        except Exception as error:  # whatever the package raises
            raise UserError(
                f"the plug-in {point.value!r} of {point.dist and point.dist.name} cannot be "
                f"imported: {type(error).__name__}: {first_line(error)}; uninstall or mend it"
            ) from error


def plugin_hash(function: Any) -> str | None:
    """Return the hash of the plug-in that a function or class stands in; None for raykd's own."""
    module: str = function.__module__
    if module.startswith("raykd."):
        return None
    for plugin, _ in _INSTALLED.values():
        if module in (_module_name(path) for path, _ in plugin.files):
            return plugin.hash
    package = module.split(".")[0]
    for point in _entry_points():
        if point.dist is not None and package == point.module.split(".")[0]:
            return _distribution_hash(point.dist, package)
    return None


def _module_name(path: str) -> str:
    return Path(path).with_suffix("").as_posix().replace("/", ".")


@cache
def _distribution_hash(distribution: Distribution, package: str) -> str:
    """Return the hash of a distribution's Python files, or of its package if it is installed in
    editable mode and lists none."""
    files = {str(f): Path(str(f.locate())) for f in distribution.files or () if f.suffix == ".py"}
    if not files:
        spec = find_spec(package)
        folders = [Path(p) for p in (spec and spec.submodule_search_locations) or ()]
        files = {p.relative_to(d).as_posix(): p for d in folders for p in d.rglob("*.py")}
        if spec is not None and spec.origin is not None and not folders:
            files = {package: Path(spec.origin)}
    return _hash((name.encode(), file.read_bytes()) for name, file in sorted(files.items()))


def _hash(files: Iterable[tuple[bytes, bytes]]) -> str:
    digest = hashlib.sha256()
    for path, content in files:
        digest.update(len(path).to_bytes(8) + path + len(content).to_bytes(8) + content)
    return digest.hexdigest()[:DIGITS]
