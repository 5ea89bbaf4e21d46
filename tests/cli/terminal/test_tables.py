"""Tables and texts on narrow terminals: names and numbers are whole, words are not broken."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from raykd.cli.terminal import console
from raykd.cli.terminal.tables import NARROW, Column, name, print_table, result

from ...support import fixed_results
from .printed import PRINTED, SNAPSHOTS, WIDTHS, printed, screen, snapshot


@pytest.mark.parametrize(("what", "width"), list(product(PRINTED, WIDTHS)))
def test_output_is_the_committed_snapshot(what: str, width: int) -> None:
    """After a change that is meant: `python -m tests.cli.terminal.printed`, and read the diff."""
    assert printed(what, width) == snapshot(what, width).read_text(encoding="utf-8")


def test_every_snapshot_is_of_something_that_is_printed() -> None:
    assert {f.stem for f in SNAPSHOTS.iterdir()} == {
        f"{what}_{width}" for what, width in product(PRINTED, WIDTHS)
    }


@pytest.mark.parametrize(("what", "width"), list(product(PRINTED, WIDTHS)))
def test_only_a_word_that_is_wider_than_the_terminal_reaches_over_its_edge(
    what: str, width: int
) -> None:
    for line in printed(what, width).splitlines():
        assert len(line) <= width or len(line.split()[-1]) + 4 > width, line


@pytest.mark.parametrize("width", [20, 40, *WIDTHS])
@pytest.mark.parametrize("what", ["status", "verdict"])
def test_no_strategy_and_no_mean_is_cut_at_any_width(what: str, width: int) -> None:
    shown = printed(what, width)
    assert "…" not in shown
    for row in fixed_results.status().rows:
        assert re.search(rf"(?<!\S){row.strategy}\b", shown)
        assert re.search(rf"(?<!\S){row.mean:.2f}(?!\S)", shown)


def test_wider_terminals_show_the_words_of_the_narrow_one() -> None:
    narrow, wide = (" ".join(printed("verdict", width).split()) for width in (80, 400))
    assert [w for w in narrow.split() if "." in w] == [w for w in wide.split() if "." in w]


# The rule of tables

COLUMNS = (
    name("init"), name("strategy"), Column("map", left=True, gives_way=2), Column("seeds"),
    result("mean"), result("range", gives_way=1), result("share", spread=True),
)  # fmt: skip


def table(rows: list[list[str]], width: int) -> list[str]:
    with screen(width) as text:
        print_table(COLUMNS, rows)
    return [line.rstrip() for line in text.getvalue().splitlines()]


def rows(layer_map: str = "[1, 2]", inits: tuple[str, ...] = ("random",)) -> list[list[str]]:
    return [
        [init, strategy, f"{layer_map}{i}", "5", f"{70 + i}.25", "70.00 to 75.00", "0.9 (0.8 to 1)"]
        for init in inits
        for i, strategy in enumerate(("forward", "reverse"))
    ]


def test_a_constant_column_is_a_heading_and_results_never_are() -> None:
    same = [[*row[:4], "70.25", *row[5:]] for row in rows()]
    heading, head, *body = table(same, 120)
    assert heading == "init random; seeds 5"
    assert head.split() == ["strategy", "map", "mean", "range", "share"]
    assert len(body) == 2 and all("70.25" in line for line in body)
    assert table(same[:1], 120)[0].split()[0] == "init"  # one row has nothing in common


def test_a_blank_cell_does_not_keep_a_column() -> None:
    teacher = ["", "teacher", "", "", "80.25", "", ""]
    assert table([teacher, *rows()], 120)[0] == "init random; seeds 5"


@pytest.mark.parametrize(
    ("layer_map", "width", "left_out", "has_ranges"),
    [("[1, 2]", 80, None, True), ("[1, 2]" * 9, 80, "map", True),
     ("[1, 2]" * 9, 61, "map", True), ("[1, 2]", 61, "map", True)],
)  # fmt: skip
def test_the_map_gives_way_first(
    layer_map: str, width: int, left_out: str | None, has_ranges: bool
) -> None:
    lines = table(rows(layer_map, ("random", "copied")), width)
    text = "\n".join(lines)
    assert ("70.00 to 75.00" in text) == has_ranges
    if left_out is None:
        assert "Left out" not in text
        return
    whole = max(map(len, table(rows(layer_map, ("random", "copied")), 400)))
    says = " ".join(text[text.index("Left out") :].split())
    assert says == (
        f"Left out at {width} columns: {left_out}. --json or a terminal of {whole} columns shows "
        "all."
    )
    assert "Left out" not in "\n".join(table(rows(layer_map, ("random", "copied")), whole))


def test_a_spread_in_parentheses_gives_way_after_the_columns() -> None:
    long = [[*r[:1], r[1] * 5, *r[2:]] for r in rows("[1, 2]", ("random", "copied"))]
    lines = table(long, 61)
    assert "0.9 (0.8 to 1)" not in "\n".join(lines) and lines[2].endswith(" 0.9")
    assert "Left out at 61 columns: ranges, map, range." in " ".join("\n".join(lines).split())


def test_a_table_that_does_not_fit_sixty_columns_is_stacked_with_all_it_has() -> None:
    lines = table(rows("[1, 2]" * 3), NARROW)
    assert lines[:2] == ["init random; seeds 5", "forward"]
    flat = " ".join(lines)
    assert all(cell in flat for row in rows("[1, 2]" * 3) for cell in row)
    assert "Left out" not in flat


CELL = st.text("abc5.[]é ", max_size=30).map(str.strip)


@given(st.lists(st.tuples(*[CELL] * len(COLUMNS)).map(list), min_size=1, max_size=5),
       st.integers(12, 130))  # fmt: skip
def test_names_and_results_are_whole_at_any_width(cells: list[list[str]], width: int) -> None:
    lines = table(cells, width)
    flat = " ".join(" ".join(lines).split())
    for row in cells:
        for cell in (row[0], row[1], row[4]):
            assert " ".join(cell.split()) in flat


# Wrapped text

WORDS = st.text("ab-/%日 ", max_size=200)


@given(WORDS, st.integers(10, 60), st.integers(0, 8))
def test_wrapping_changes_nothing_but_white_space(text: str, width: int, hang: int) -> None:
    lines = [line.plain for line in console.wrap(Text(text), width, hang)]
    assert " ".join(lines).split() == text.split()
    assert all(line.startswith(" " * hang) for line in lines[1:])
    for line in lines:
        assert cell_len(line) <= width or len(line.replace(" %", "%").split()) == 1


def test_a_style_is_kept_over_a_break() -> None:
    lines = console.wrap(Text("one two three", style="bold"), 8, 2)
    assert [line.plain for line in lines] == ["one two", "  three"]
    assert "bold" in {str(lines[1].style), *(str(span.style) for span in lines[1].spans)}


def test_a_pipe_is_not_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("word " * 400)
    console.complain("word " * 400)
    assert [len(part.splitlines()) for part in capsys.readouterr()] == [1, 1]


def test_brackets_are_no_markup() -> None:
    with screen(80) as text:
        console.say("[/INST] [bold]x[/]", "[red] ")
    assert text.getvalue() == "[red] [/INST] [bold]x[/]\n"


HARD_TO_READ = {"2", "37", "97", "93", "33", "30", "90"}  # dim, white, yellow, black, grey


@pytest.mark.parametrize("what", PRINTED)
def test_text_is_readable_on_light_and_dark_backgrounds(what: str) -> None:
    with screen(80, "standard") as text:
        PRINTED[what]()
    codes = {
        c for found in re.findall(r"\x1b\[([0-9;]*)m", text.getvalue()) for c in found.split(";")
    }
    assert codes and not codes & HARD_TO_READ
