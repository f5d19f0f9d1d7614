"""Which few cells to measure first: those that make the rest of a plan surest."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from joulegrid.planning.posterior import Belief, Case, noise, slopes


def chosen(cases: Sequence[Case], belief: Belief, count: int) -> list[int]:
    """The positions of the cases whose measurement shrinks the ranges of all most.

    One after another, the case is taken that leaves the least variance of the logarithms of all
    seconds and of all joules together (greedy c-optimal design; Chaloner and Verdinelli 1995,
    *Bayesian Experimental Design*, section 2.2). Nothing is measured for it: in the linear
    approximation what a row teaches does not depend on what it says. A model is taken a second time
    only when every one was: what is left when the factors are known is much the same for all cells
    of one model.

    Parameters
    ----------
    cases
        all of one site, version of an engine and kernel.
    count
        how many; fewer where there are no more cases.
    """
    pulls = [slopes(case, belief) for case in cases]
    whole = np.mean(pulls, axis=0)
    spreads = [np.diag(np.square(noise(case.model))) for case in cases]
    covariance, taken = belief.covariance, list[int]()
    while len(taken) < min(count, len(cases)):
        models = {cases[i].model for i in taken}
        left = [i for i in range(len(cases)) if i not in taken]
        left = [i for i in left if cases[i].model not in models] or left
        after = {i: _after(covariance, pulls[i], spreads[i]) for i in left}
        best = min(left, key=lambda i: float(np.trace(whole @ after[i] @ whole.T)))
        taken.append(best)
        covariance = after[best]
    return taken


def _after(
    covariance: NDArray[np.float64], pull: NDArray[np.float64], spread: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The covariance of the factors after one row (Kalman's update)."""
    gain = covariance @ pull.T @ np.linalg.inv(pull @ covariance @ pull.T + spread)
    return covariance - gain @ pull @ covariance
