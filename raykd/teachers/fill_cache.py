"""Fills a teacher's cache by passes of the teacher, and checks it against the teacher."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor
from transformers import PreTrainedModel

from raykd.data.batches import eval_batches
from raykd.data.encoded import Encoded
from raykd.errors import UserError
from raykd.maps.activations import Activation
from raykd.maps.activations import states as all_states
from raykd.maps.depth import Depth
from raykd.runtime.group import Group
from raykd.tasks.task import Task
from raykd.teachers.cache import HALVES, OUTPUTS, Cache, Entry, Span, columns
from raykd.teachers.cache_entries import make_room
from raykd.teachers.targets import CachedTeacher, LiveTeacher, Targets

FILL_BATCH = 64
SAMPLE = 16  # examples by which the storage format is chosen and the entry is checked
HEADROOM = 16  # float16 is used where the sample's largest value lies so far below its limit


@dataclass(frozen=True)
class Filler:
    """A teacher with what it takes to run it over a split's rows."""

    teacher: PreTrainedModel
    encoded: Encoded
    pad: int
    device: torch.device
    autocast: Callable[[], object]
    family: Task

    @contextmanager
    def live(self, states: Sequence[Activation]) -> Iterator[LiveTeacher]:
        source = LiveTeacher(self.teacher, states, self.family, self.autocast())  # type: ignore[arg-type]
        try:
            yield source
        finally:
            source.close()

    def targets(self, live: LiveTeacher, rows: np.ndarray) -> Targets:
        batch = self.family.collate(self.encoded, rows, self.pad)
        return live(batch.to(self.device)).each(lambda x: x.float().cpu())


def open_cache(
    root: str, entry: Entry, filler: Filler, states: Sequence[Activation], scratch: Path,
    group: Group, limit: float = float("inf"),
) -> CachedTeacher:  # fmt: skip
    """The teacher's outputs for these states as a source: found complete, gone on with, or made.
    `limit`: bytes that the whole store may take.

    Every worker of the group calls it and fills its part. Two sweeps on one machine that want the
    same entry take turns, and the second finds it made. An entry that does not agree with the
    teacher is made anew, once. Raises UserError where the disk is full or the format too narrow.
    """
    cache = Cache(root, entry, filler.encoded, scratch)
    with _turn(cache, group):
        if group.rank == 0:
            cache.prepare()
            wanted = cache.missing_bytes(
                columns(states), filler.family.output_width(filler.teacher.config)
            )
            make_room(root, wanted, limit, entry.key)
        group.gather(None)
        for again in (False, True):
            _fill(cache, filler, states, group)
            repair = partial(_repair, cache, filler)
            head = filler.family.head(filler.teacher)
            source = CachedTeacher(cache, states, filler.device, repair, head)
            agrees = _agrees(cache, source, filler, states)
            if all(group.gather(agrees)):
                return source
            if again:
                break
            if group.rank == 0:
                cache.drop()
                cache.prepare()
            group.gather(None)
    raise UserError(
        f"{cache.folder}: the teacher's stored outputs differ from the teacher although they are "
        "newly written; write `states: {source: live}`"
    )


@contextmanager
def _turn(cache: Cache, group: Group) -> Iterator[None]:
    """One group at a time where a lock can be had; elsewhere two that write do the work twice,
    with the same result."""
    if group.rank != 0 or not cache.local:
        yield
        return
    lock = Path(cache.folder).with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        yield


def _fill(cache: Cache, filler: Filler, states: Sequence[Activation], group: Group) -> None:
    missing = cache.missing(columns(states))
    group.gather(None)  # everyone has looked before anyone writes
    for span, lacking in missing[group.rank :: group.world]:
        write_span(cache, filler, span, lacking)
    group.gather(None)


def write_span(cache: Cache, filler: Filler, span: Span, names: Sequence[str]) -> None:
    """One pass of the teacher over a span's rows, and its shards of these columns."""
    encoded, half = filler.encoded, HALVES[cache.entry.half]
    states = [Activation.from_column(n) for n in names if n != OUTPUTS]
    ends = {name: cache.ends(name) for name in columns(states)}
    first = {name: int(e[span.first]) for name, e in ends.items()}
    counts = {name: int(e[span.last]) - first[name] for name, e in ends.items()}
    kept: dict[Activation, Tensor] = {}
    outputs: Tensor | None = None
    with filler.live(states) as live:
        for part in eval_batches(encoded.lengths[span.first : span.last], FILL_BATCH):
            rows = part + span.first
            found = filler.targets(live, rows)
            x_PC = found.outputs.x_PC
            if outputs is None:
                outputs = torch.empty(counts[OUTPUTS], x_PC.shape[1])
            outputs[_at(ends[OUTPUTS], rows) - first[OUTPUTS]] = x_PC
            for k, x_ND in found.states_ND.items():
                if k not in kept:
                    kept[k] = torch.empty(counts[k.column], x_ND.shape[1], dtype=half)
                kept[k][_at(ends[k.column], rows) - first[k.column]] = x_ND.to(half)
    assert outputs is not None
    values = {OUTPUTS: outputs, **{k.column: x for k, x in kept.items()}}
    for name in names:
        if not torch.isfinite(values[name]).all():
            raise UserError(
                f"{cache.folder}: the teacher's {name} does not fit {cache.entry.half}; write "
                "`states: {half: bfloat16}`, or `states: {source: live}`"
            )
        try:
            cache.write(name, span, values[name])
        except OSError as error:
            reason = "the disk is full" if error.errno == errno.ENOSPC else str(error)
            raise UserError(
                f"{cache.folder}: the teacher's outputs cannot be stored ({reason}); free some "
                "space, set `states: {cache: ...}` to a larger disk, or `states: {source: live}`"
            ) from error


def _at(ends: np.ndarray, rows: np.ndarray) -> Tensor:
    """Where the values of these rows stand, one row after the other."""
    lengths = ends[rows + 1] - ends[rows]
    places = np.repeat(ends[rows] - (np.cumsum(lengths) - lengths), lengths)
    return torch.from_numpy(places + np.arange(lengths.sum()))


def _repair(cache: Cache, filler: Filler, name: str, span: Span) -> None:
    cache.forget(name, span)
    write_span(cache, filler, span, [name])


def sample(encoded: Encoded, count: int = SAMPLE) -> np.ndarray:
    """A few rows spread over the split, the same for everyone."""
    count = min(count, len(encoded.ids))
    return np.linspace(0, len(encoded.ids) - 1, count).astype(np.int64)


def choose_half(filler: Filler, depth: Depth) -> str:
    """float16, which keeps three more bits, unless the teacher's values come near its limit."""
    with filler.live(all_states(depth)) as live:
        found = filler.targets(live, sample(filler.encoded))
    largest = max(float(x.abs().max()) for x in found.states_ND.values())
    limit = torch.finfo(torch.float16).max / HEADROOM
    return "float16" if largest < limit else "bfloat16"


def _agrees(
    cache: Cache, source: CachedTeacher, filler: Filler, states: Sequence[Activation]
) -> bool:
    """Whether stored and live outputs of a sample are equal to the storage's precision."""
    rows = sample(filler.encoded)
    with filler.live(states) as live:
        wanted = filler.targets(live, rows)
    batch = filler.family.collate(filler.encoded, rows, filler.pad)
    found = source.prefetch(batch).each(lambda x: x.float())
    coarse = "bfloat16" if cache.entry.precision.startswith("bf16") else cache.entry.half
    # Other padding rounds otherwise; that is far below what another teacher would change.
    allowed = 8 * torch.finfo(HALVES[coarse]).eps
    pairs = [(wanted.outputs.x_PC, found.outputs.x_PC)]
    pairs += [(x, found.states_ND[k]) for k, x in wanted.states_ND.items()]
    return all(
        bool(((a - b).norm(dim=-1) <= allowed * a.norm(dim=-1) + allowed).all()) for a, b in pairs
    )
