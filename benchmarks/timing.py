"""How long something takes, for the benchmarks beside this module."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def median(action: Callable[[], object], runs: int) -> float:
    """Return the median number of seconds that an action takes, a first run left out."""
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])
