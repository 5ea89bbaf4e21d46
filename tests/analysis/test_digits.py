"""Numbers that differ look different, whatever their size; percentages have two decimals."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raykd.analysis.digits import LARGEST, NOISE, SIGNIFICANT, SMALLEST, Digits

sizes = st.floats(1e-12, 1e12)
margins = st.floats(1e-8, 1e6)
numbers = st.floats(-1e12, 1e12, allow_subnormal=False)


@given(margins, numbers, sizes)
def test_the_bounds_of_an_interval_never_look_the_same(
    margin: float, effect: float, half: float
) -> None:
    low, high = effect - half, effect + half
    largest = max(abs(low), abs(high))
    digits = Digits.of(margin, effect, low, high)
    if high - low > 2 * NOISE * max(largest, margin):
        assert digits.signed(low) != digits.signed(high)
        assert digits.plain(low) != digits.plain(high)


@given(margins, st.lists(numbers, min_size=2, max_size=6))
def test_a_tenth_of_the_margin_is_always_seen(margin: float, found: list[float]) -> None:
    largest, digits = max(map(abs, found)), Digits.of(margin, *found)
    for a, b in zip(found, found[1:], strict=False):
        if abs(a - b) > max(margin / 10, largest * 10.0 ** (1 - SIGNIFICANT)):
            assert digits.signed(a) != digits.signed(b)


@given(margins, sizes, st.sampled_from([1, -1]))
def test_one_number_that_is_not_noise_is_never_written_as_zero(
    margin: float, size: float, sign: int
) -> None:
    written = Digits.of(margin, sign * size).signed(sign * size)
    if size > NOISE * margin:
        assert float(written) == pytest.approx(sign * size, rel=0.5)
        assert written[0] == ("+" if sign > 0 else "-")
    else:
        assert float(written) == pytest.approx(0, abs=NOISE * margin)


@given(margins, st.lists(numbers, min_size=1, max_size=6))
def test_seventeen_characters_are_enough(margin: float, found: list[float]) -> None:
    digits = Digits.of(margin, *found)
    assert all(len(digits.signed(n)) <= 17 for n in found)


@given(
    st.floats(0.2, 50),
    st.floats(-100, 100),
    st.floats(0.0051, 50),
)
def test_percentages_have_two_decimals(margin: float, effect: float, half: float) -> None:
    digits = Digits.of(margin, effect, effect - half, effect + half)
    assert digits == Digits(2)
    assert digits.signed(effect) == f"{effect:+z.2f}"


@given(margins, st.lists(numbers, max_size=4))
def test_what_is_not_finite_changes_nothing(margin: float, found: list[float]) -> None:
    noise = (math.inf, -math.inf, math.nan, None)
    assert Digits.of(margin, *found, *noise) == Digits.of(margin, *found)


@given(margins, numbers, sizes)
def test_the_format_is_fit_for_a_size(margin: float, effect: float, half: float) -> None:
    digits = Digits.of(margin, effect, effect + half)
    largest = max(abs(effect), abs(effect + half))
    if largest > NOISE * margin:
        assert digits.scientific is not (SMALLEST <= largest < LARGEST)
    assert f"{effect:{digits.code}}" == digits.plain(effect) or float(digits.plain(effect)) == 0


EXAMPLES = {
    "a small difference": (1.0, (0.0013, 0.0004, 0.0022), "+0.0013 +0.0004 +0.0022"),
    "fractions": (0.01, (0.0213, 0.0041, 0.0385), "+0.0213 +0.0041 +0.0385"),
    "noise of the arithmetic": (1.0, (1e-16, -1e-15, 1e-15), "+0.00 +0.00 +0.00"),
    "the same": (1.0, (0.0, 0.0, 0.0), "+0.00 +0.00 +0.00"),
    "hundred-thousandths": (1e-6, (1.3e-5, 1.1e-5, 1.5e-5), "+1.300e-05 +1.100e-05 +1.500e-05"),
    "beyond all bounds": (1.0, (1e308, -1e308), "+1.000000000e+308 -1.000000000e+308"),
    "millions": (5e4, (1.25e6, 1.2e6, 1.3e6), "+1250000 +1200000 +1300000"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name: str) -> None:
    margin, found, wanted = EXAMPLES[name]
    digits = Digits.of(margin, *found)
    assert " ".join(map(digits.signed, found)) == wanted
