"""Number formats: how many digits the terminal, the report and sentences show."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

USUAL = 2  # decimals of a score in percent
PARTS = 20  # parts of the margin: numbers one part apart are written differently
SIGNIFICANT = 10  # maximum number of digits of the largest number
NOISE = 1e-9  # relative; smaller differences are floating-point noise
SMALLEST, LARGEST = 1e-4, 1e7  # outside, scientific notation is shorter


@dataclass(frozen=True)
class Digits:
    """One format for numbers shown together, such as an estimate and its interval.

    `decimals`: digits after the point, of the mantissa if `scientific`.
    """

    decimals: int = USUAL
    scientific: bool = False

    @classmethod
    def of(cls, margin: float, *numbers: float | None) -> Digits:
        """Return the format for these numbers: two decimals, or more where two would hide a
        twentieth of the margin or the range of the numbers (from 0 for a single number). The
        range is then shown with two digits.

        A number has at most ten digits and 17 characters. Ranges and numbers below 1e-9 of the
        margin or of the largest number count as 0. None and non-finite numbers are ignored.
        """
        finite = [n for n in numbers if n is not None and math.isfinite(n)]
        largest = max((abs(n) for n in finite), default=0.0)
        width = max(finite) - min(finite) if len(finite) > 1 else largest
        width = min(width, sys.float_info.max)
        # `last` is the power of ten of the last digit shown.
        last = -USUAL if largest < 1000 else _exponent(largest) - 4
        if width > NOISE * max(largest, margin) and width < 10.0**last:
            last = _exponent(width) - 1
        if margin > 0:
            last = min(last, _exponent(margin / PARTS))
        if largest > NOISE * margin:
            last = max(last, _exponent(largest) - SIGNIFICANT + 1)
            if not SMALLEST <= largest < LARGEST:
                return cls(max(_exponent(largest) - last, 1), scientific=True)
        return cls(max(-last, 0))

    @property
    def code(self) -> str:
        """The format specification, valid in Python and in plotly hover templates."""
        return f".{self.decimals}{'e' if self.scientific else 'f'}"

    def plain(self, number: float) -> str:
        return "0" if self.scientific and number == 0 else f"{number:z{self.code}}"

    def signed(self, number: float) -> str:
        return "+0" if self.scientific and number == 0 else f"{number:+z{self.code}}"


def estimate(
    margin: float, effect: float, interval: tuple[float, float] | None, more: str = ""
) -> str:
    """Return `+0.53 (+0.21 to +0.85)`, with `more` appended inside the parentheses."""
    if interval is None:
        return Digits.of(margin, effect).signed(effect)
    signed = Digits.of(margin, effect, *interval).signed
    return f"{signed(effect)} ({signed(interval[0])} to {signed(interval[1])}{more})"


def _exponent(number: float) -> int:
    """Return the exponent of the leading digit: 0 for 1 to 9.99, -2 for 0.01 to 0.0999."""
    return int(f"{number:e}".partition("e")[2])
