"""When requests arrive: pure functions of a workload and a seed, the same for every cell.

With one seed, a longer replay begins with the instants of a shorter one, and a Poisson process of
twice the rate is the same one in half the time: replays at several rates differ by the rate alone.
"""

import math
import random
from collections.abc import Callable

Instants = Callable[[float, float, int], list[float]]


def poisson(rate_per_s: float, duration_s: float, seed: int) -> list[float]:
    """Instants in [0, duration) of a Poisson process: gaps are exponential with mean 1/rate, and
    how many there are is random, rate × duration on average.
    """
    source, now = random.Random(seed), 0.0
    found: list[float] = []
    while True:
        # not Random.expovariate, which may draw differently in another Python
        now -= math.log(1.0 - source.random()) / rate_per_s
        if now >= duration_s:
            return found
        found.append(now)


def uniform(rate_per_s: float, duration_s: float, seed: int) -> list[float]:
    """Exactly rate × duration instants, each anywhere in [0, duration): a Poisson process whose
    number of requests is known.
    """
    source = random.Random(seed)
    return sorted(source.random() * duration_s for _ in range(number(rate_per_s, duration_s)))


def constant(rate_per_s: float, duration_s: float, seed: int) -> list[float]:
    """Instants 1/rate apart, the first one at 0; the seed changes nothing."""
    return [position / rate_per_s for position in range(number(rate_per_s, duration_s))]


def number(rate_per_s: float, duration_s: float) -> int:
    """How many requests arrive, on average of a Poisson process; at least one."""
    return max(round(rate_per_s * duration_s), 1)


PROCESSES: dict[str, Instants] = {"poisson": poisson, "uniform": uniform, "constant": constant}
