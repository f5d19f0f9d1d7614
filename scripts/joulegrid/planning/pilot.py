"""Which few cells to measure first: those that make the rest of a plan surest."""

from collections.abc import Sequence

import numpy as np

from joulegrid.planning.own import Floats
from joulegrid.planning.posterior import (
    Belief,
    Case,
    expected,
    noise,
    slopes,
    with_own,
)


def chosen(cases: Sequence[Case], belief: Belief, count: int, done: int = 0) -> list[int]:
    """The positions of the cases whose measurement shrinks the ranges of all most.

    One after another, the case is taken that leaves the least variance of the logarithms of the
    seconds and of the joules of all together, and of their means over cases (greedy c-optimal
    design; Chaloner and Verdinelli 1995, *Bayesian Experimental Design*, section 2.2): the sum is
    mostly of large cells, and the small ones shall be known too. Nothing is measured for it: in the
    linear approximation what a row teaches does not depend on what it says. A model is taken a
    second time only when every one was.

    Parameters
    ----------
    cases
        all of one site, version of an engine and kernel.
    count
        how many; fewer where there are no more cases.
    done
        how many of the first cases are measured already, none of which is chosen.
    """
    start = with_own(belief, cases)
    pulls = np.stack([slopes(case, start) for case in cases])
    spreads = np.stack([np.diag(np.square(noise(case.model))) for case in cases])
    whole = np.concatenate([_of_sum(pulls, cases, belief), pulls.mean(axis=0)])
    covariance, taken = start.covariance, list[int]()
    while len(taken) < min(done + count, len(cases)):
        models = {cases[i].model for i in taken}
        left = [i for i in range(len(cases)) if i not in taken]
        left = [i for i in left if cases[i].model not in models] or left
        # what each row would take off the covariance (Kalman's update), seen from `whole`
        shared = pulls @ covariance
        variance = shared @ pulls.transpose(0, 2, 1) + spreads
        told = shared @ whole.T
        gains = np.sum(told * np.linalg.solve(variance, told), axis=(1, 2))
        best = len(taken) if len(taken) < done else max(left, key=lambda i: float(gains[i]))
        taken.append(best)
        covariance = covariance - shared[best].T @ np.linalg.solve(variance[best], shared[best])
    return taken[done:]


def _of_sum(pulls: Floats, cases: Sequence[Case], belief: Belief) -> Floats:
    """Derivatives of the logarithms of all seconds and of all joules: those of cases by shares."""
    said = np.array([expected(case, belief)[:2] for case in cases])
    return np.einsum("cq,cqf->qf", said / said.sum(axis=0), pulls)
