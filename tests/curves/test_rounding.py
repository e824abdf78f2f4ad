"""Numbers with errors, as people read them."""

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from parcorana.curves.rounding import with_error


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (318.2, 29.6, "318 ± 30"),
        (1.0, 0.00035, "1.00000 ± 0.00035"),
        (1.00012, 0.000349, "1.00012 ± 0.00035"),
        (31834, 347, "31830 ± 350"),
        (9.96, 0.0999, "9.96 ± 0.10"),
        (99.96, 9.96, "100 ± 10"),
        (-3.2, 0.5, "-3.20 ± 0.50"),
        (0, 0.1, "0.00 ± 0.10"),
        (0.3, 12, "0 ± 12"),
        (1.5e-9, 2e-11, "(1.500 ± 0.020)e-09"),
        (1.234e12, 5e10, "(1.234 ± 0.050)e+12"),
        (0.3217, math.nan, "0.3217 ± ?"),
        (0.3217, math.inf, "0.3217 ± ?"),
        (0.3217, -1, "0.3217 ± ?"),
        (1, 0, "1"),  # the exponent of a single exponential
        (math.nan, 1, "nan"),
        (math.inf, 1, "inf"),
    ],
)
def test_as_it_is_read(value, error, text):
    assert with_error(value, error) == text
    assert with_error(value, error, "+-") == text.replace("±", "+-")


@given(
    st.floats(-1e300, 1e300, allow_subnormal=False),  # those have few digits, and round as they can
    st.floats(min_value=1e-300, max_value=1e300),
)
@example(-1.7e308, 1.7e308)
def test_both_to_the_same_digit_and_the_error_to_two(value, error):
    text = with_error(value, error)
    parts = re.fullmatch(r"\(?(-?\d+\.?\d*(?:e[+-]\d+)?) ± (\d+\.?\d*(?:e[+-]\d+)?)(?:\)e([+-]\d+))?", text)
    if parts is None:  # an error that is none beside such a number
        assert error <= 1e-12 * abs(value) and "±" not in text
        return
    scale = 10.0 ** int(parts[3] or 0)
    assert len({len(part.partition(".")[2].partition("e")[0]) for part in parts.groups()[:2]}) == 1
    shown = float(parts[2]) * scale
    assert shown == pytest.approx(error, rel=0.051, abs=5e-324)
    assert float(parts[1]) * scale == pytest.approx(value, abs=0.51 * shown + 1e-14 * abs(value))
