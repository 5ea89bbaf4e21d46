"""Chooses whether students get the teacher's outputs live or from a store, by cost."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from raykd.config import sweep
from raykd.errors import UserError
from raykd.losses.hidden.registry import hidden_loss
from raykd.maps.activations import Activation, states
from raykd.maps.layer_map import everywhere
from raykd.planning.study import Study
from raykd.planning.trials import explore_trial
from raykd.runtime.memo import write_json
from raykd.training.inputs import TrainingInputs

GB = 10**9
CPU_FLOPS, GPU_FLOPS = 4e10, 3e13  # roughly what training reaches, before any measurement
DISK_BYTES = 5e8  # per second, likewise


@dataclass(frozen=True)
class Speeds:
    """Tokens per second through the teacher, and bytes per second to and from the store."""

    tokens: float
    write: float
    read: float
    measured: bool = True


def measure(folder: Path, tokens: int, seconds: float) -> Speeds:
    """Return the speeds: `tokens` took the teacher `seconds`; `folder` is the place of its store.

    The read test uses a file that was just written, so it is read from memory, as in most of a
    training.
    """

    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".probe-{time.monotonic_ns()}"
    content = os.urandom(32 * 2**20)
    try:
        began = time.perf_counter()
        probe.write_bytes(content)
        written = time.perf_counter()
        probe.read_bytes()
        read = time.perf_counter()
    finally:
        probe.unlink(missing_ok=True)
    return Speeds(
        tokens / seconds, len(content) / (written - began), len(content) / (read - written)
    )


def remember(home: Path, teacher: str, speeds: Speeds) -> None:
    write_json(home / "speeds" / f"{teacher}.json", asdict(speeds))


def speeds(study: Study, parameters: int, gpu: bool) -> Speeds:
    """Return the speeds measured when the teacher was trained; before that, rough figures."""
    path = study.home / "speeds" / f"{study.teacher}.json"
    if path.is_file():
        return Speeds(**json.loads(path.read_text(encoding="utf-8")))
    flops = GPU_FLOPS if gpu else CPU_FLOPS
    return Speeds(flops / (2 * parameters), DISK_BYTES, DISK_BYTES, measured=False)


def bytes_needed(tokens: int, positions: int, width: int, outputs: int, states: int) -> int:
    """Return the bytes of stored states, in half precision, and of outputs at loss positions, in
    fp32."""
    return tokens * width * 2 * states + positions * outputs * 4


@dataclass(frozen=True)
class TeacherSourceChoice:
    """The source of the teacher's outputs, and the seconds that each source would cost."""

    source: Literal["live", "cached"]
    why: str
    states: tuple[Activation, ...]
    live_seconds: float
    cached_seconds: float
    bytes: int
    measured: bool

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "states": [state.column for state in self.states]}


def cache_root(study: Study) -> str:
    return study.config.states.cache or str(study.home / "states")


def choose(
    study: Study, states: tuple[Activation, ...], passes: float, rates: Speeds, free: int | None
) -> TeacherSourceChoice:
    """Return the cheaper source, or that of the file. `passes`: passes of the teacher over the
    training rows. `free`: free bytes on the disk of the store, if known. Raises UserError if the
    file says `cached` and the outputs do not fit."""
    config, rows = study.config.states, study.prepared.counts["train"]
    tokens = round(rows * study.mean_tokens)
    # If loss positions are tokens, at most every token has outputs, such as a last state.
    at_tokens = study.config.task.of_kind.token_positions
    positions, outputs = (
        (tokens, study.base.width) if at_tokens else (rows, len(study.prepared.labels))
    )
    needed = bytes_needed(tokens, positions, study.base.width, outputs, len(states))
    pass_seconds = tokens / rates.tokens
    live_seconds = passes * pass_seconds
    cached_seconds = pass_seconds + needed / rates.write + passes * needed / rates.read
    too_large = None
    if needed > config.limit_gb * GB:
        too_large = (
            f"{needed / GB:.1f} GB, more than states.limit_gb: {config.limit_gb:g}", "raise it"
        )  # fmt: skip
    elif free is not None and needed > free:
        too_large = (f"{needed / GB:.1f} GB, {free / GB:.1f} GB are free", "free some")
    if config.source == "cached" and too_large:
        raise UserError(
            f"{study.file}: states.source: the teacher's outputs take {too_large[0]}; "
            f"{too_large[1]}, or write `live`"
        )
    live_reason = sweep.needs_live(study.config)
    use_cache = not too_large and not live_reason and cached_seconds < live_seconds
    source: Literal["live", "cached"] = "cached" if use_cache else "live"
    why = "the cheaper" if not too_large else f"stored they take {too_large[0]}"
    why = live_reason or why
    if config.source != "auto":
        source, why = config.source, "the file says so"
    return TeacherSourceChoice(
        source, why, states, live_seconds, cached_seconds, needed, rates.measured
    )


def explored_states(study: Study) -> frozenset[Activation]:
    """Return the teacher states that maps of the search may match."""
    example = explore_trial(study, everywhere(study.depth, 1))
    candidates = {state for state in states(study.base.depths) if state.block}
    candidates |= {target for state, target in example.layer_map.pairs() if not state.block}
    return hidden_loss(example.loss.kind).activations(candidates)


def free_bytes(root: str) -> int | None:
    """Return the free bytes on the disk of a local folder; None for a remote store."""
    if "://" in root:
        return None
    path = Path(root).absolute()
    return shutil.disk_usage(next(p for p in (path, *path.parents) if p.exists())).free


def training_inputs(
    study: Study, teacher: Path, choice: TeacherSourceChoice | None = None
) -> TrainingInputs:
    """Return the inputs of a process that trains students of the teacher in the folder `teacher`.
    `choice`: source of the teacher's outputs, by default the live teacher."""
    states_config = study.config.states
    sources = TrainingInputs(
        study.home, study.prepared.folder, teacher, study.teacher, study.config.task,
        cache_root(study), cache_dtype=states_config.half, limit=states_config.limit_gb * GB,
        angles=study.config.angle_rows, weights=study.config.training.weights,
        buffers=study.config.training.own_buffers, bits=study.config.teacher.bits,
        plugins=study.plugins,
    )  # fmt: skip
    if choice is None:
        return sources
    return replace(sources, source=choice.source, states=choice.states)
