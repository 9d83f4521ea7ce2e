"""Percentiles of small samples, by nearest rank: always a value that was measured."""

import math
from collections.abc import Sequence


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Of values in ascending order."""
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]
