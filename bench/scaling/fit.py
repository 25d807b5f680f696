"""How cost grows with size: local exponents, a straight line, and where the knee is.

A render costs something fixed, and something for each unit of size. Where the second outgrows the
first, the curve bends upwards on logarithmic axes: that is the knee. Beyond it a linear cost has
the exponent 1; more than SUPERLINEAR is worse than linear.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

#: Exponent between two sizes above which cost grows worse than linearly; noise reaches 1.1.
SUPERLINEAR = 1.2
#: Share of the best rate that marks the knee of a load.
NEARLY = 0.9


@dataclass(frozen=True)
class Growth:
    """How one series grows.

    Attributes:
        exponents: Between each size and the next; 0 is flat, 1 linear.
        fixed: Cost of a render of no size, by a straight line with relative weights.
        each: Cost of one more unit.
        knee: The size at which the part that grows is as much as the fixed one; infinite when
            nothing grows.
    """

    exponents: tuple[float, ...]
    fixed: float
    each: float
    knee: float

    @property
    def is_linear(self) -> bool:
        """Whether no step grows worse than linearly."""
        return all(exponent <= SUPERLINEAR for exponent in self.exponents)


def growth(sizes: Sequence[float], costs: Sequence[float]) -> Growth:
    """How costs (above 0) grow with sizes (ascending, two or more)."""
    pairs = list(zip(sizes, costs, strict=True))
    exponents = tuple(
        math.log(cost / before) / math.log(size / smaller)
        for (smaller, before), (size, cost) in pairwise(pairs)
    )
    fixed, each = line(pairs)
    knee = fixed / each if each > 0 else math.inf
    return Growth(exponents, fixed, each, knee)


def line(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Least squares of the relative error, so that small sizes count as much as large ones."""
    weights = [1 / cost**2 for _, cost in pairs]
    total = sum(weights)
    mean_x = sum(w * x for w, (x, _) in zip(weights, pairs, strict=True)) / total
    mean_y = sum(w * y for w, (_, y) in zip(weights, pairs, strict=True)) / total
    spread = sum(w * (x - mean_x) ** 2 for w, (x, _) in zip(weights, pairs, strict=True))
    both = sum(w * (x - mean_x) * (y - mean_y) for w, (x, y) in zip(weights, pairs, strict=True))
    each = both / spread if spread else 0.0
    return max(0.0, mean_y - each * mean_x), each


def load_knee(loads: Sequence[float], rates: Sequence[float]) -> float:
    """The least load at which the rate is nearly its best: more callers only wait longer."""
    best = max(rates)
    return next(load for load, rate in zip(loads, rates, strict=True) if rate >= NEARLY * best)
