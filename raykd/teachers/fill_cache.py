"""Fills a teacher cache with the teacher's outputs, and checks them against the teacher."""

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
SAMPLE = 16  # examples used to choose the storage dtype and to check the entry
HEADROOM = 16  # float16 is used if the sample's largest value is below its limit by this factor


@dataclass(frozen=True)
class Filler:
    """A teacher, and what is needed to run it over the rows of a split."""

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
    """Return a source of the teacher's outputs for these states; missing shards are written first.
    `limit`: maximum size of the whole store in bytes.

    Every worker of the group calls it and fills its part. Two sweeps on one machine that need the
    same entry take a lock, so the second one finds it complete. An entry that does not match the
    teacher is rewritten once. Raises UserError if the disk is full or values overflow the dtype.
    """
    cache = Cache(root, entry, filler.encoded, scratch)
    with _exclusive(cache, group):
        if group.rank == 0:
            cache.prepare()
            missing_bytes = cache.missing_bytes(
                columns(states), filler.family.output_width(filler.teacher.config)
            )
            make_room(root, missing_bytes, limit, entry.key)
        group.gather(None)
        for rebuilt in (False, True):
            _fill(cache, filler, states, group)
            repair = partial(_repair, cache, filler)
            head = filler.family.head(filler.teacher)
            source = CachedTeacher(cache, states, filler.device, repair, head)
            matches = _matches_teacher(cache, source, filler, states)
            if all(group.gather(matches)):
                return source
            if rebuilt:
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
def _exclusive(cache: Cache, group: Group) -> Iterator[None]:
    """Hold a file lock if the store is local, so that one group writes at a time. In a remote store
    two groups may do the same work twice, with the same result."""
    if group.rank != 0 or not cache.local:
        yield
        return
    lock = Path(cache.folder).with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        yield


def _fill(cache: Cache, filler: Filler, states: Sequence[Activation], group: Group) -> None:
    missing = cache.missing(columns(states))
    group.gather(None)  # all workers have listed the shards before any of them writes
    for span, lacking in missing[group.rank :: group.world]:
        write_span(cache, filler, span, lacking)
    group.gather(None)


def write_span(cache: Cache, filler: Filler, span: Span, names: Sequence[str]) -> None:
    """Run the teacher over a span's rows and write the shards of these columns."""
    encoded, half = filler.encoded, HALVES[cache.entry.half]
    states = [Activation.from_column(n) for n in names if n != OUTPUTS]
    ends = {name: cache.ends(name) for name in columns(states)}
    first = {name: int(e[span.first]) for name, e in ends.items()}
    counts = {name: int(e[span.last]) - first[name] for name, e in ends.items()}
    states_ND: dict[Activation, Tensor] = {}
    outputs: Tensor | None = None
    with filler.live(states) as live:
        for part in eval_batches(encoded.lengths[span.first : span.last], FILL_BATCH):
            rows = part + span.first
            targets = filler.targets(live, rows)
            x_PC = targets.outputs.x_PC
            if outputs is None:
                outputs = torch.empty(counts[OUTPUTS], x_PC.shape[1])
            outputs[_at(ends[OUTPUTS], rows) - first[OUTPUTS]] = x_PC
            for k, x_ND in targets.states_ND.items():
                if k not in states_ND:
                    states_ND[k] = torch.empty(counts[k.column], x_ND.shape[1], dtype=half)
                states_ND[k][_at(ends[k.column], rows) - first[k.column]] = x_ND.to(half)
    assert outputs is not None
    values = {OUTPUTS: outputs, **{k.column: x for k, x in states_ND.items()}}
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
    """Return the positions of the values of these rows, concatenated."""
    lengths = ends[rows + 1] - ends[rows]
    places = np.repeat(ends[rows] - (np.cumsum(lengths) - lengths), lengths)
    return torch.from_numpy(places + np.arange(lengths.sum()))


def _repair(cache: Cache, filler: Filler, name: str, span: Span) -> None:
    cache.forget(name, span)
    write_span(cache, filler, span, [name])


def sample(encoded: Encoded, count: int = SAMPLE) -> np.ndarray:
    """Return a few evenly spaced rows of the split, the same for every worker."""
    count = min(count, len(encoded.ids))
    return np.linspace(0, len(encoded.ids) - 1, count).astype(np.int64)


def choose_half(filler: Filler, depth: Depth) -> str:
    """Return `float16`, which has three more bits, unless the teacher's values come close to its
    limit; else `bfloat16`."""
    with filler.live(all_states(depth)) as live:
        targets = filler.targets(live, sample(filler.encoded))
    largest = max(float(x.abs().max()) for x in targets.states_ND.values())
    limit = torch.finfo(torch.float16).max / HEADROOM
    return "float16" if largest < limit else "bfloat16"


def _matches_teacher(
    cache: Cache, source: CachedTeacher, filler: Filler, states: Sequence[Activation]
) -> bool:
    """Return whether stored and live outputs of a sample agree within the storage precision."""
    rows = sample(filler.encoded)
    with filler.live(states) as live:
        live_targets = filler.targets(live, rows)
    batch = filler.family.collate(filler.encoded, rows, filler.pad)
    stored_targets = source.prefetch(batch).each(lambda x: x.float())
    precision = "bfloat16" if cache.entry.precision.startswith("bf16") else cache.entry.half
    # Different padding changes the rounding, far less than a different teacher would.
    tolerance = 8 * torch.finfo(HALVES[precision]).eps
    pairs = [(live_targets.outputs.x_PC, stored_targets.outputs.x_PC)]
    pairs += [(x, stored_targets.states_ND[k]) for k, x in live_targets.states_ND.items()]
    return all(
        bool(((a - b).norm(dim=-1) <= tolerance * a.norm(dim=-1) + tolerance).all())
        for a, b in pairs
    )
