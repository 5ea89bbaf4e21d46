"""Proposals over generated data files: each loads, and says what raykd then reads."""

from __future__ import annotations

import csv
import json
import math
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raykd.analysis.stats.power import all_equivalent_power
from raykd.config.sweep import load
from raykd.config.training import Teacher
from raykd.data.prepared import prepare
from raykd.errors import UserError
from raykd.proposal import propose, sizes, sweep_file
from raykd.proposal.notes import notes
from raykd.teachers.teacher import find_base

from ..support.world import write_model
from .test_columns import sentences

Rows = list[dict[str, Any]]


def write_csv(path: Path, rows: Rows) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)


def write_tsv(path: Path, rows: Rows) -> None:
    lines = [[*rows[0]], *([str(v) for v in row.values()] for row in rows)]
    path.write_text("\n".join("\t".join(line) for line in lines) + "\n", encoding="utf-8")


def write_jsonl(path: Path, rows: Rows) -> None:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def write_parquet(path: Path, rows: Rows) -> None:
    import datasets

    datasets.Dataset.from_list(rows).to_parquet(str(path))


WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    "csv": write_csv, "tsv": write_tsv, "jsonl": write_jsonl, "parquet": write_parquet,
}  # fmt: skip
LABELS: dict[str, list[Any]] = {
    "two": ["ham", "spam"], "three": ["billing", "tech, other", "no"], "integers": [0, 1, 2],
}  # fmt: skip


def rows_of(count: int, labels: Sequence[Any], seed: int = 0, pair: bool = False) -> Rows:
    """Rows with an id, a price, a text with commas (or a pair), and labels of equal number."""
    texts, others = sentences(count, seed), sentences(count, seed + 1)
    order = random.Random(seed).sample(range(count), count)
    return [
        {
            "id": 1000 + i, "price": i * 0.37,
            **({"sentence1": texts[i], "sentence2": others[i]} if pair else
               {"body": f'{texts[i]}, "{i}", and so on'}),
            "on": labels[order[i] % len(labels)],  # YAML reads a bare `on` as true
        }
        for i in range(count)
    ]  # fmt: skip


def unwrapped(text: str) -> str:
    """The comments of a sweep file without their line breaks."""
    return re.sub(r"\n *# ", " ", text)


@given(
    kind=st.sampled_from([*WRITERS]),
    labels=st.sampled_from([*LABELS]),
    count=st.integers(60, 400),
    pair=st.booleans(),
    seed=st.integers(0, 9),
)
def test_a_proposal_loads_and_says_what_is_then_read(
    kind: str, labels: str, count: int, pair: bool, seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("data")
    data, file, home = folder / f"my tickets.{kind}", folder / "my.yaml", folder / "home"
    WRITERS[kind](data, rows_of(count, LABELS[labels], seed, pair))
    proposal = propose.propose(file, str(data), home)
    sweep_file.write(file, proposal)
    config = load(file)
    assert config.task.data == str(data) and config.task.label == "on"
    assert config.task.text == (("sentence1", "sentence2") if pair else "body")
    assert config.task == proposal.task and config.margin == proposal.margin
    again = prepare(config.task, home, str(file))
    assert again.fingerprint == proposal.prepared.fingerprint
    assert sum(again.counts.values()) == count and len(again.labels) == len(LABELS[labels])
    assert config.confirm is not None and len(config.confirm.seed_list) == proposal.seeds
    assert tuple(s.strategy for s in config.confirm.strategies) == sizes.STRATEGIES
    assert 100 / again.counts["test"] <= config.margin / 2
    written = file.read_text(encoding="utf-8")
    assert max(map(len, written.splitlines())) <= 120 + len(str(data))
    for choice in sweep_file.choices(proposal):
        key = choice.key.split(".")[-1]
        assert f"{key}: {sweep_file.scalar(choice.value)}" in written
        assert choice.why in unwrapped(written)


def test_three_classes_and_200_rows(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", rows_of(200, LABELS["three"]))
    proposal = propose.propose(tmp_path / "my.yaml", str(tmp_path / "t.csv"), tmp_path / "home")
    counts = proposal.prepared.counts
    assert counts["test"] > 60 and counts["train"] > 80
    assert (proposal.teacher, proposal.blocks, proposal.student) == ("minilm", 6, 3)
    assert 20 <= proposal.steps <= 30 and proposal.seeds == 10
    trials = len(sizes.STRATEGIES) * proposal.seeds
    assert trials * proposal.steps * sizes.batch() < 50_000, "minutes on two cores"
    assert 8 <= proposal.margin <= 12
    facts = {choice.key: choice.why for choice in sweep_file.choices(proposal)}
    assert "3 classes" in facts["task.label"] and "200 distinct" in facts["task.text"]
    assert f"{counts['test']} of 200 rows" in facts["task.test_share"]
    assert notes(proposal) == ()
    assert f"{math.ceil(10 * counts['train'] / 8)} steps" in facts["teacher.batch"]


@pytest.mark.parametrize(("rows", "few"), [(100, True), (2_000, False)])
def test_few_rows_get_a_teacher_of_many_small_steps(rows: int, few: bool, tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", rows_of(rows, LABELS["three"]))
    file = tmp_path / "my.yaml"
    sweep_file.write(file, propose.propose(file, str(tmp_path / "t.csv"), tmp_path / "home"))
    teacher, default = load(file).teacher, Teacher(model="minilm")
    assert (teacher.batch < default.batch, teacher.epochs != default.epochs) == (few, few)


def test_the_margin_states_its_arithmetic(tmp_path: Path) -> None:
    """All numbers of the sentence follow from the rows and seeds of the same file."""
    write_csv(tmp_path / "t.csv", rows_of(200, LABELS["three"]))
    proposal = propose.propose(tmp_path / "my.yaml", str(tmp_path / "t.csv"), tmp_path / "home")
    rows = proposal.prepared.counts["test"]
    (why,) = (c.why for c in sweep_file.choices(proposal) if c.key == "margin")
    assert f"10 seeds on {rows} test rows" in why and "right on 50 %" in why
    sd, finest, wanted = (
        float(re.search(pattern, why)[1].replace(",", ""))  # type: ignore[index]
        for pattern in (
            r"an SD of (\S+) points",
            r"down to (\S+), two",
            r"takes ([\d,]+) test rows",
        )
    )
    assert sd == pytest.approx(100 * math.sqrt(0.5 / rows), abs=0.1)
    assert finest == pytest.approx(200 / rows, abs=0.1)
    power = [all_equivalent_power(10, sd, m, 0.0, 0.05, 3) for m in (proposal.margin, 2)]
    assert power[0] >= 0.8 > power[1]
    assert sizes.margin(int(wanted), 10) == 2 < sizes.margin(int(wanted) - 50, 10)


def test_few_rows_get_no_margin_within_which_everything_is_equivalent(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", rows_of(100, LABELS["three"]))
    proposal = propose.propose(tmp_path / "my.yaml", str(tmp_path / "t.csv"), tmp_path / "home")
    (why,) = (c.why for c in sweep_file.choices(proposal) if c.key == "margin")
    shown = sizes.shown(proposal.prepared.counts["test"], proposal.seeds, proposal.right)
    assert proposal.margin == sizes.LARGEST_MARGIN < shown
    assert "within a larger one most students would be equivalent" in why
    assert f"show {shown:.2g} (power 0.8)" in why


def test_a_large_class_leaves_less_to_differ_on(tmp_path: Path) -> None:
    rows = rows_of(400, ["yes"] * 9 + ["no"])
    write_csv(tmp_path / "t.csv", rows)
    proposal = propose.propose(tmp_path / "my.yaml", str(tmp_path / "t.csv"), tmp_path / "home")
    assert 0.8 < proposal.right < 0.97
    assert proposal.margin < sizes.margin(proposal.prepared.counts["test"], proposal.seeds)


def test_notes_say_what_few_or_repeated_rows_lack(tmp_path: Path) -> None:
    write_csv(tmp_path / "few.csv", rows_of(40, LABELS["three"]))
    write_csv(tmp_path / "twice.csv", [*rows_of(200, LABELS["two"]), *rows_of(30, LABELS["two"])])
    for data, parts in (
        ("few.csv", ("checkpoints, hardly better than chance",)),
        ("twice.csv", ("30 duplicate rows dropped",)),
    ):
        file = tmp_path / f"{data}.yaml"
        proposal = propose.propose(file, str(tmp_path / data), tmp_path / "home")
        sweep_file.write(file, proposal)
        written = unwrapped(file.read_text(encoding="utf-8"))
        for part in parts:
            assert any(part in note for note in notes(proposal)) and part in written
        load(file)


def test_a_class_that_a_split_lacks_is_named(tmp_path: Path) -> None:
    rows = rows_of(120, ["a", "b", "c"])
    for i, row in enumerate(rows):
        row["part"] = "test" if i % 3 == 0 and row["on"] != "c" else "train"
    write_csv(tmp_path / "t.csv", rows)
    proposal = propose.propose(tmp_path / "my.yaml", str(tmp_path / "t.csv"), tmp_path / "home")
    assert "test has no row of c: give more rows" in notes(proposal)


def test_splits_that_the_data_states_are_kept(tmp_path: Path) -> None:
    rows = rows_of(200, LABELS["two"])
    for i, row in enumerate(rows):
        row["part"] = "test" if i % 4 == 0 else "train"
    write_csv(tmp_path / "one.csv", rows)
    (tmp_path / "two").mkdir()
    write_csv(tmp_path / "two" / "train.csv", [r for r in rows if r["part"] == "train"])
    write_csv(tmp_path / "two" / "test.csv", [r for r in rows if r["part"] == "test"])
    for data, split in (("one.csv", "part"), ("two", None)):
        proposal = propose.propose(tmp_path / "my.yaml", str(tmp_path / data), tmp_path / "home")
        assert proposal.prepared.counts["test"] == 50
        keys = proposal.task.model_fields_set
        assert "select_share" in keys and "test_share" not in keys
        assert proposal.task.split == split


def test_rows_with_an_empty_cell_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = rows_of(200, LABELS["two"])
    rows[3]["body"] = rows[7]["on"] = ""
    write_csv(tmp_path / "t.csv", rows)
    proposal = propose.propose(tmp_path / "my.yaml", str(tmp_path / "t.csv"), tmp_path / "home")
    assert proposal.task.drop_empty and sum(proposal.prepared.counts.values()) == 198
    facts = {choice.key: choice.why for choice in sweep_file.choices(proposal)}
    assert facts["task.drop_empty"] == "2 rows lack a text or a label"


def test_a_teacher_of_ones_own_sets_the_depth(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", rows_of(100, LABELS["two"]))
    model = str(write_model(tmp_path / "model", blocks=4))
    arguments = (tmp_path / "my.yaml", str(tmp_path / "t.csv"), tmp_path / "home")
    proposal = propose.propose(*arguments, teacher=model)
    assert (proposal.blocks, proposal.student) == (4, 2)
    assert propose.propose(*arguments, teacher=model, student=3).student == 3
    with pytest.raises(UserError, match="--student: 5 is deeper than the teacher's 4"):
        propose.propose(*arguments, teacher=model, student=5)


@pytest.mark.parametrize("name", propose.BLOCKS)
def test_the_depths_of_packaged_teachers_are_theirs(name: str, home: Path) -> None:
    assert find_base(Teacher(model=name), home, "test").depth == propose.BLOCKS[name]


@pytest.mark.parametrize(
    ("name", "parts"),
    [("no.csv", ("no such file",)), ("org/data", ("--text", "--label")),
     ("en-ro", ("classification",)), ("empty.csv", ("the file is empty",)),
     ("header.csv", ("no rows",)), ("table.xlsx", (".csv, .tsv",))],
)  # fmt: skip
def test_data_that_cannot_be_read_is_a_line(
    name: str, parts: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.csv").write_text("")
    Path("header.csv").write_text("text,label\n")
    Path("table.xlsx").write_bytes(b"PK")
    with pytest.raises(UserError) as refused:
        propose.propose(Path("my.yaml"), name, tmp_path / "home")
    (line,) = refused.value.lines
    assert line.startswith(f"--data: {name}: ") and all(part in line for part in parts), line


def test_what_cannot_be_written_is_a_line(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", rows_of(100, LABELS["two"]))
    proposal = propose.propose(tmp_path / "my.yaml", str(tmp_path / "t.csv"), tmp_path / "home")
    with pytest.raises(UserError, match="no/my.yaml: cannot be written"):
        sweep_file.write(tmp_path / "no" / "my.yaml", proposal)
    (tmp_path / "my.yaml").write_text("mine")
    with pytest.raises(UserError, match="exists already and is not overwritten"):
        sweep_file.write(tmp_path / "my.yaml", proposal)
    assert (tmp_path / "my.yaml").read_text() == "mine"
