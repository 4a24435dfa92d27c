"""Numbers as people read them, the same on the page and on the command line."""

import math

import numpy as np


def number(value: float) -> str:
    """Up to five significant digits, thousands separated, exponents where needed, a proper minus sign."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞" if value < 0 else "none"
    if value == int(value) and abs(value) < 1e15:
        text = f"{int(value):,}"
    elif 1e-3 <= abs(value) < 1e7:
        decimals = max(0, 4 - math.floor(math.log10(abs(value))))
        text = f"{value:,.{decimals}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        mantissa, exponent = f"{value:.2e}".split("e")
        text = f"{mantissa}e{int(exponent)}"
    return text.replace("-", "−")


def plain_number(value: float) -> str:
    """A number as a link, a slider and a command line hold it: ``0.003``, ``1e-06``, ``2000``.

    The shortest text that reads back as the same number, so nothing is lost on the way.
    """
    return (
        str(value)
        if isinstance(value, int)
        else np.format_float_positional(value, trim="-")
        if (value == 0 or 1e-4 <= abs(value) < 1e15)
        else repr(float(value))
    )
