"""What every teacher source must hold, and what a stored teacher must survive."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from raykd.data.batches import Batch, collate
from raykd.data.encoded import Encoded
from raykd.errors import UserError
from raykd.maps.activations import Activation, state
from raykd.maps.depth import Depth
from raykd.models.outputs import Outputs
from raykd.runtime.group import Group
from raykd.tasks.classification import Classification
from raykd.teachers import cache_entries, fill_cache
from raykd.teachers.cache import Cache, Entry, Span, spans
from raykd.teachers.fill_cache import Filler, choose_half, open_cache
from raykd.teachers.targets import CachedTeacher, LiveTeacher, Targets, TeacherSource

from ..data.test_batches import encoded
from ..support.tiny_models import tiny_model

LENGTHS = np.random.default_rng(1).integers(1, 30, 90)
STATES = (state(0), state(2), state(4))
SHARD = 8192  # so that ninety rows lie in several shards


@pytest.fixture(scope="module")
def rows() -> Encoded:
    return encoded(LENGTHS)


@pytest.fixture(scope="module")
def filler(rows: Encoded) -> Filler:
    torch.set_num_threads(1)
    model = tiny_model("bert", blocks=4, labels=3)
    return Filler(model, rows, 0, torch.device("cpu"), nullcontext, Classification())


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Cache.__init__

    def small(self: Cache, *args: Any) -> None:
        whole(self, *args, shard_bytes=SHARD)

    monkeypatch.setattr(Cache, "__init__", small)


def entry(filler: Filler, half: str = "float16", teacher: str = "t1") -> Entry:
    return Entry(teacher, filler.encoded.fingerprint, "fp32", 32, half)


def opened(
    root: Path | str, filler: Filler, states: tuple[Activation, ...] = STATES, **changes: Any
) -> CachedTeacher:
    scratch = Path(fsspec.url_to_fs("file:///tmp")[1]) if "://" in str(root) else Path(root)
    return open_cache(
        str(root), entry(filler, **changes), filler, states, scratch / "near", Group()
    )


def batch_of(rows: Encoded, which: list[int], pad_to: int | None = None) -> Batch:
    at = np.array(which)
    return collate(rows, at, 0, len(at), int(rows.lengths[at].sum()), pad_to)


def ask(source: TeacherSource, batch: Batch) -> Targets:
    return source(batch, source.prefetch(batch))


@pytest.fixture(params=["live", "cached", "cached elsewhere"])
def source(
    request: pytest.FixtureRequest, filler: Filler, tmp_path: Path
) -> Iterator[TeacherSource]:
    if request.param == "live":
        with filler.live(STATES) as live:
            yield live
        return
    local = request.param == "cached"
    root = str(tmp_path) if local else f"memory://{tmp_path.name}"
    scratch = tmp_path / "near"
    yield open_cache(root, entry(filler), filler, STATES, scratch, Group())


def close(a: Targets, b: Targets, eps: float) -> None:
    torch.testing.assert_close(a.outputs.x_PC, b.outputs.x_PC, rtol=1e-4, atol=1e-4)
    assert a.states_ND.keys() == b.states_ND.keys()
    for k, x_ND in a.states_ND.items():
        torch.testing.assert_close(x_ND, b.states_ND[k], rtol=2 * eps, atol=2 * eps)


# Every source


def test_targets_are_the_teachers_at_the_valid_tokens(
    source: TeacherSource, filler: Filler, rows: Encoded
) -> None:
    batch = batch_of(rows, [5, 80, 3, 41])
    found = ask(source, batch)
    with torch.no_grad():
        whole = filler.teacher(**batch.inputs, output_hidden_states=True)
    mask = batch.inputs["attention_mask"].bool()
    wanted = Targets(Outputs(whole.logits), {k: whole.hidden_states[k.block][mask] for k in STATES})
    close(found, wanted, torch.finfo(torch.float16).eps)
    assert found.outputs.x_PC.dtype == torch.float32
    assert {x.dtype for x in found.states_ND.values()} == {torch.float32}


class Conversions(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Every copy of a tensor to another device or dtype: both, before and after."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[tuple[tuple[str, torch.dtype], tuple[str, torch.dtype]]] = []

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any, kwargs: Any = None) -> Any:
        result = operator(*args, **(kwargs or {}))
        if operator is torch.ops.aten._to_copy.default:
            before, after = ((x.device.type, x.dtype) for x in (args[0], result))
            self.seen.append((before, after))
        return result


def test_stored_states_cross_in_half_precision_and_widen_on_the_device(
    filler: Filler, rows: Encoded, tmp_path: Path
) -> None:
    ready = opened(tmp_path, filler).prefetch(batch_of(rows, [5, 80, 3]))
    device = torch.device("meta")
    source = CachedTeacher(Cache(str(tmp_path), entry(filler), rows, tmp_path), STATES, device,
                           lambda *_: None)  # fmt: skip
    with Conversions() as conversions:
        source(batch_of(rows, [5, 80, 3]), ready)
    half, full = torch.float16, torch.float32
    crossed = [(a, b) for a, b in conversions.seen if a[0] != b[0]]
    assert [a[1] for a, _ in crossed].count(half) == len(STATES)
    assert all(before[1] == after[1] for before, after in crossed)
    widened = [x for x in conversions.seen if x not in crossed]
    assert widened == [(("meta", half), ("meta", full))] * len(STATES)


def test_targets_depend_neither_on_neighbours_nor_on_padding(
    source: TeacherSource, rows: Encoded
) -> None:
    together = ask(source, batch_of(rows, [7, 8, 9]))
    padded = ask(source, batch_of(rows, [7, 8, 9], pad_to=40))
    alone = [ask(source, batch_of(rows, [i])) for i in (7, 8, 9)]
    close(together, padded, 1e-5)
    for k in STATES:
        joined = torch.cat([x.states_ND[k] for x in alone])
        torch.testing.assert_close(together.states_ND[k], joined, rtol=1e-4, atol=1e-5)


def test_targets_need_no_gradient(source: TeacherSource, rows: Encoded) -> None:
    found = ask(source, batch_of(rows, [1, 2]))
    assert not any(x.requires_grad for x in (found.outputs.x_PC, *found.states_ND.values()))


# The store


def test_spans_hold_every_row_once() -> None:
    rows = encoded(LENGTHS)
    found = spans(rows, 32, SHARD)
    assert len(found) > 3
    assert [i for s in found for i in range(s.first, s.last)] == list(range(len(LENGTHS)))
    tokens = [int(rows.offsets[s.last] - rows.offsets[s.first]) for s in found]
    assert all(n * 64 <= SHARD or s.last == s.first + 1 for n, s in zip(tokens, found, strict=True))


def test_a_second_opening_asks_the_teacher_only_for_a_sample(
    filler: Filler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(tmp_path, filler)
    monkeypatch.setattr(fill_cache, "write_span", None)
    opened(tmp_path, filler, (state(2),))


def test_more_states_are_added_to_what_is_there(
    filler: Filler, tmp_path: Path, rows: Encoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(tmp_path, filler, (state(2),))
    written: list[str] = []
    whole = Cache.write

    def note(self: Cache, name: str, span: Span, values: torch.Tensor) -> None:
        written.append(name)
        whole(self, name, span, values)

    monkeypatch.setattr(Cache, "write", note)
    source = opened(tmp_path, filler, (state(2), state(3)))
    assert set(written) == {"state-3"}
    assert set(ask(source, batch_of(rows, [4])).states_ND) == {state(2), state(3)}


def test_an_interrupted_writer_is_gone_on_from(
    filler: Filler, tmp_path: Path, rows: Encoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, calls = Cache.write, 0

    def dies(self: Cache, *args: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt
        whole(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Cache, "write", dies)
        with pytest.raises(KeyboardInterrupt):
            opened(tmp_path, filler)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")}
    assert len(before) == 5
    source = opened(tmp_path, filler)
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in before.items())
    right(source, filler, rows)


def right(source: CachedTeacher, filler: Filler, rows: Encoded) -> None:
    """The source gives every row's targets as the teacher does."""
    every = list(range(len(rows.ids)))
    with filler.live(STATES) as live:
        close(ask(source, batch_of(rows, every)), ask(live, batch_of(rows, every)), 1e-3)


def shards(root: Path) -> list[Path]:
    return sorted(root.rglob("*.safetensors"))


@pytest.mark.parametrize("which", ["logits", "state-2"])
@pytest.mark.parametrize("where", [9, 300, -3])
def test_a_flipped_byte_never_reaches_a_student(
    filler: Filler, tmp_path: Path, rows: Encoded, which: str, where: int
) -> None:
    opened(tmp_path, filler)
    shard = next(p for p in shards(tmp_path) if p.name.startswith(f"{which}.00001"))
    content = bytearray(shard.read_bytes())
    content[where] ^= 0x20
    shard.write_bytes(content)
    assert cache_entries.damaged(str(tmp_path), entry(filler).key) == [shard.name]
    right(opened(tmp_path, filler), filler, rows)
    assert cache_entries.damaged(str(tmp_path), entry(filler).key) == []


def test_a_truncated_shard_is_written_anew(filler: Filler, tmp_path: Path, rows: Encoded) -> None:
    opened(tmp_path, filler)
    for shard in shards(tmp_path)[::3]:
        shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    right(opened(tmp_path, filler), filler, rows)


def test_a_shard_of_another_span_is_noticed(filler: Filler, tmp_path: Path, rows: Encoded) -> None:
    opened(tmp_path, filler)
    first, second = [p for p in shards(tmp_path) if p.name.startswith("state-2")][:2]
    second.write_bytes(first.read_bytes())
    right(opened(tmp_path, filler), filler, rows)


def test_a_manifest_of_another_teacher_empties_the_entry(
    filler: Filler, tmp_path: Path, rows: Encoded
) -> None:
    opened(tmp_path, filler)
    path = tmp_path / entry(filler).key / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "teacher": "another"}))
    right(opened(tmp_path, filler), filler, rows)
    assert json.loads(path.read_text())["teacher"] == "t1"


def test_the_outputs_of_another_teacher_are_not_believed(
    filler: Filler, tmp_path: Path, rows: Encoded
) -> None:
    """Even where manifest and checksums are in order: a sample is compared before use."""
    other = replace(filler, teacher=tiny_model("bert", blocks=4, labels=3, seed=5))
    opened(tmp_path, other)
    right(opened(tmp_path, filler), filler, rows)


def test_another_teacher_tokenizer_or_precision_has_an_entry_of_its_own(filler: Filler) -> None:
    base = entry(filler)
    others = [
        replace(base, teacher="t2"), replace(base, rows="other"),
        replace(base, precision="bf16"), replace(base, half="bfloat16"),
    ]  # fmt: skip
    assert len({base.key, *(e.key for e in others)}) == 5


def test_a_full_disk_is_one_clear_line_and_leaves_no_half_shard(
    filler: Filler, tmp_path: Path, rows: Encoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        Path(args[1]).write_bytes(b"half a shard")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("raykd.teachers.cache.save_file", full)
        with pytest.raises(UserError, match="the disk is full.*states: {source: live}") as told:
            opened(tmp_path, filler)
    assert len(told.value.lines) == 1
    assert not shards(tmp_path) and not list(tmp_path.rglob(".draft*"))
    right(opened(tmp_path, filler), filler, rows)


def test_two_sweeps_that_want_the_same_entry(filler: Filler, tmp_path: Path, rows: Encoded) -> None:
    twice = [replace(filler, teacher=tiny_model("bert", blocks=4, labels=3)) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        for source in pool.map(lambda f: opened(tmp_path, f), twice):
            right(source, filler, rows)


def test_an_unknown_example_is_an_error(filler: Filler, tmp_path: Path, rows: Encoded) -> None:
    source = opened(tmp_path, filler)
    stranger = replace(batch_of(rows, [1]), ids=np.array(["row-x"]))
    with pytest.raises(KeyError, match="row-x"):
        source.prefetch(stranger)


def test_large_values_are_kept_in_bfloat16(filler: Filler, tmp_path: Path, rows: Encoded) -> None:
    assert choose_half(filler, Depth(4)) == "float16"
    wild = replace(filler, teacher=tiny_model("bert", blocks=4, labels=3, seed=3))
    with torch.no_grad():
        wild.teacher.bert.encoder.layer[1].output.LayerNorm.weight.mul_(1e5)
    assert choose_half(wild, Depth(4)) == "bfloat16"
    with pytest.raises(UserError, match="does not fit float16; write .*bfloat16"):
        opened(tmp_path, wild, teacher="wild")
    source = opened(tmp_path, wild, teacher="wild", half="bfloat16")
    with wild.live(STATES) as live:
        a, b = ask(source, batch_of(rows, [3])), ask(live, batch_of(rows, [3]))
    torch.testing.assert_close(a.states_ND[state(2)], b.states_ND[state(2)], rtol=1e-2, atol=1e-2)


# The shelf


def test_what_was_unused_longest_goes_first(filler: Filler, tmp_path: Path) -> None:
    for teacher in ("a", "b", "c"):
        opened(tmp_path, filler, teacher=teacher)
        used = tmp_path / entry(filler, teacher=teacher).key / "used"
        used.write_text(str({"a": 30.0, "b": 10.0, "c": 20.0}[teacher]))
    root, size = str(tmp_path), cache_entries.entries(str(tmp_path))[0].bytes
    assert [e.teacher for e in cache_entries.entries(root)] == ["b", "c", "a"]
    keep = entry(filler, teacher="b").key
    gone = cache_entries.make_room(root, size, 3.5 * size, keep)
    assert gone == [entry(filler, teacher="c").key]
    assert cache_entries.make_room(root, size, 3.5 * size, keep) == []


def test_a_live_source_takes_its_hooks_off(filler: Filler) -> None:
    own = replace(filler, teacher=tiny_model("bert", blocks=4, labels=3))
    with own.live(STATES) as live:
        assert isinstance(live, LiveTeacher)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in own.teacher.modules())
