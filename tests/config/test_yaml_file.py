"""Files that hold no sweep at all, and YAML's own traps."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raykd.config.yaml_file import read
from raykd.errors import UserError


def complaint(file: Path) -> str:
    with pytest.raises(UserError) as caught:
        read(file)
    (line,) = caught.value.lines
    assert "\n" not in line
    return line.removeprefix(f"{file}: ").removeprefix(str(file.parent))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "a sweep file is a mapping of keys, beginning with `name:`"),
        ("- name: a", "a sweep file is a mapping of keys, beginning with `name:`"),
        ("name: a\nmargin: 1\nname: b\n", "line 3: `name` stands twice; leave one out"),
        ("a:\n  b: 1\n  b: 1\n", "line 3: `b` stands twice; leave one out"),
        ("a: [{b: 1, c: 2, b: 3}]", "line 1: `b` stands twice; leave one out"),
        ("a: [1, 2", "line 1: expected ',' or ']', but got '<stream end>'; a sweep file is YAML"),
        ("a:\n\t- 3", "line 2: found character '\\t' that cannot start any token; a sweep file is"),
        ("a: *nowhere", "line 1: found undefined alias 'nowhere'; a sweep file is YAML"),
        ("a: !!python/name:os.system", "line 1: could not determine a constructor for the tag"),
        ("a: 1\n---\na: 2", "line 2: but found another document; a sweep file is YAML"),
        ("a: \x07", "holds characters that no text has; save it as UTF-8"),
    ],
)
def test_what_is_no_sweep_file_is_told_with_its_line(tmp_path: Path, text: str, line: str) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(text, encoding="utf-8")
    assert complaint(file).startswith(line)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "no such file; `raykd new" in complaint(tmp_path / "no.yaml")
    assert complaint(tmp_path).endswith("is a folder; name a sweep file in it")
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: caf\xe9".encode("latin-1"))
    assert complaint(latin) == "not UTF-8 at byte 9; save it as UTF-8"
    assert "cannot be read" in complaint(latin / "inside.yaml")


def test_a_byte_order_mark_and_merge_keys_are_fine(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("\ufeffa: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n", encoding="utf-8")
    assert read(file) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}


@given(st.binary(max_size=60))
def test_any_bytes_are_a_mapping_or_a_plain_complaint(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.mktemp("bytes") / "sweep.yaml"
    file.write_bytes(content)
    try:
        assert isinstance(read(file), dict)
    except UserError as error:
        assert len(error.lines) == 1 and "\n" not in error.lines[0]
