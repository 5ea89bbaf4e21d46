"""How many digits a number is written with, for the terminal, the report and every sentence."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

USUAL = 2  # decimals of a score in percent
PARTS = 20  # of the margin: numbers that differ by one part never look the same
SIGNIFICANT = 10  # digits of the largest number, at most
NOISE = 1e-9  # relative: what is smaller comes from floating-point arithmetic
SMALLEST, LARGEST = 1e-4, 1e7  # outside, scientific notation is shorter


@dataclass(frozen=True)
class Digits:
    """A format for numbers that stand together, such as an estimate and its interval.

    `decimals` come after the point; of the mantissa where `scientific`.
    """

    decimals: int = USUAL
    scientific: bool = False

    @classmethod
    def of(cls, margin: float, *numbers: float | None) -> Digits:
        """Two decimals, unless they would hide a twentieth of the margin or the distance between
        the lowest and the highest number (of one number: from 0); then two digits of that.

        At most ten digits are written, and so at most 17 characters. A distance or a number below
        1e-9 of the margin or of the largest number is taken as 0. None and numbers that are not
        finite are left out.
        """
        finite = [n for n in numbers if n is not None and math.isfinite(n)]
        largest = max((abs(n) for n in finite), default=0.0)
        width = max(finite) - min(finite) if len(finite) > 1 else largest
        width = min(width, sys.float_info.max)
        # Decimal places are powers of ten: the exponent of the last digit that is written.
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
        """As a format specification, of Python and of plotly's hover texts alike."""
        return f".{self.decimals}{'e' if self.scientific else 'f'}"

    def plain(self, number: float) -> str:
        return "0" if self.scientific and number == 0 else f"{number:z{self.code}}"

    def signed(self, number: float) -> str:
        return "+0" if self.scientific and number == 0 else f"{number:+z{self.code}}"


def estimate(
    margin: float, effect: float, interval: tuple[float, float] | None, more: str = ""
) -> str:
    """`+0.53 (+0.21 to +0.85)`; `more` follows the interval, within its parentheses."""
    if interval is None:
        return Digits.of(margin, effect).signed(effect)
    signed = Digits.of(margin, effect, *interval).signed
    return f"{signed(effect)} ({signed(interval[0])} to {signed(interval[1])}{more})"


def _exponent(number: float) -> int:
    """Of the leading digit: 0 for 1 to 9.99, -2 for 0.01 to 0.0999."""
    return int(f"{number:e}".partition("e")[2])
