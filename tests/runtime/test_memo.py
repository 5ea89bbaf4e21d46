"""What was asked once is not asked again, in this process or another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raykd.runtime.memo import memoised


def never() -> Any:
    raise AssertionError("asked again")


@pytest.mark.parametrize("answer", [True, False, None, 3, ["a", 1]])
def test_an_answer_is_kept_whatever_it_is(answer: Any, tmp_path: Path) -> None:
    assert memoised(tmp_path, ["q", 1], lambda: answer) == answer
    assert memoised(tmp_path, ["q", 1], never) == answer


def test_other_questions_have_answers_of_their_own(tmp_path: Path) -> None:
    asks: list[Callable[[], int]] = [lambda: 1, lambda: 2]
    assert [memoised(tmp_path, ["width", w], a) for w, a in zip((32, 64), asks, strict=True)] == [
        1,
        2,
    ]
    assert [memoised(tmp_path, ["width", w], never) for w in (32, 64)] == [1, 2]


def test_a_failed_question_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        memoised(tmp_path, ["q"], never)
    assert not list(tmp_path.rglob("*.json"))
    assert memoised(tmp_path, ["q"], lambda: 5) == 5


def test_of_two_that_ask_at_once_both_take_the_first_answer(tmp_path: Path) -> None:
    """A launch that is gone on with must not find another answer than it worked with."""

    def slow() -> int:
        assert memoised(tmp_path, ["q"], lambda: 1) == 1  # the other one, in the meantime
        return 2

    assert memoised(tmp_path, ["q"], slow) == 1 == memoised(tmp_path, ["q"], never)
    assert len(list(tmp_path.rglob("*"))) == 2  # the folder and the answer
