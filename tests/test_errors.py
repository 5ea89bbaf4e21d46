"""What an error says in one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raykd.errors import MOST, first_line, last_line


@pytest.mark.parametrize("text", ["", " ", "\n\n"])
def test_an_error_without_a_message_is_named_by_its_class(text: str) -> None:
    assert first_line(ValueError(text)) == last_line(ValueError(text)) == "ValueError"


def test_of_several_lines_each_end_can_be_told() -> None:
    error = RuntimeError("\nfirst \nmiddle\n last\n")
    assert (first_line(error), last_line(error)) == ("first ", " last")


@given(st.text())
def test_it_is_one_line_of_a_bounded_length(text: str) -> None:
    for line in (first_line(ValueError(text)), last_line(ValueError(text))):
        assert line and len(line.splitlines()) == 1 and len(line) <= MOST
