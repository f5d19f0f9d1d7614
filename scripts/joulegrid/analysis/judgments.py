"""The metrics of an arena task, out of the replies of its judge."""

import math
from typing import Any

import numpy as np

from joulegrid.analysis import arena, judging
from joulegrid.analysis.reading import Records
from joulegrid.analysis.recorded.quality import Judgment, Judgments, Metric, Samples
from joulegrid.analysis.variables import STATUS
from joulegrid.analysis.verdicts import Verdicts, verdict_of
from joulegrid.study.grid import Configuration
from joulegrid.study.judges import is_baseline
from joulegrid.study.methods import ARENA, METHODS
from joulegrid.study.specs import Specs

# Ends of replies that are none, or half of one
NO_VERDICT = ("refused", "length", "content_filter")
UNREAD = "replies of the judge have no verdict: no question has one in both orders"
BASELINE = 50.0
# Of these a baseline has 50; the other metrics say how the judge judges
WIN_RATES = ("win_rate", "win_rate_same_style")


class Arenas:
    """The rows of the arena tasks of a study, each record read once."""

    def __init__(self, specs: Specs, records: Records):
        self.specs, self.records = specs, records
        self._read: dict[tuple[str, Configuration], dict[str, Any]] = {}

    def row(self, configuration: Configuration, task: str) -> dict[str, Any]:
        """Metrics by their names in the dataset, notes, status, id and reason; the baseline has win
        rates of 50 by definition, of the same questions.
        """
        names = [f"{task}.{name}" for name in METHODS["quality"][ARENA].metrics]
        entry = self.specs.study.data["quality"][task]
        if not is_baseline(entry, configuration):
            return {**self.judged(configuration, task), "names": names}
        others = [c for c in self.specs.study.configurations if not is_baseline(entry, c)]
        found = [self.judged(c, task).get("metrics", {}).get(names[0]) for c in others]
        sizes = [len(m.samples.total) for m in found if m is not None and m.samples]
        samples = Samples("mean", [BASELINE] * max(sizes), None) if sizes else None
        own = Metric(BASELINE, 0.0, True, samples)
        return {
            "metrics": {f"{task}.{name}": own for name in WIN_RATES},
            "notes": "the baseline",
            "status": STATUS.index("ok"),
            "names": names,
        }

    def judged(self, configuration: Configuration, task: str) -> dict[str, Any]:
        """The row of a configuration that is no baseline; see `row`, and `judging.row_of`."""
        key = task, configuration
        if key not in self._read:
            job = self.specs.judgments(configuration, task)
            self._read[key] = self.records.row(job, Judgments, lambda r: _extracted(r, task))
        return self._read[key]


def _extracted(record: Judgments, task: str) -> dict[str, Any]:
    verdicts = Verdicts(*([_verdict(j, order) for j in record.judgments] for order in (0, 1)))
    own, baseline = ([getattr(j, w) for j in record.judgments] for w in ("own", "baseline"))
    won = arena.score(verdicts)
    same = arena.style_controlled(verdicts, own, baseline)
    alike = None
    if math.isfinite(same.error):
        shares = arena.style_shares(verdicts, own, baseline, same)
        alike = _by_question(record, verdicts, shares, 1.0) if np.isfinite(shares).all() else None
    asked = 2 * len(record.judgments)
    why = "" if verdicts.readable.any() else f"{verdicts.unreadable} of {asked} {UNREAD}"
    metrics = {
        "win_rate": _metric(won.value, won.error, samples=_samples(record, verdicts), why=why),
        "win_rate_same_style": _metric(same.value, same.error, samples=alike),
        "agreement": _metric(verdicts.agreement()),
        "first_preferred": _metric(verdicts.first_preferred()),
        "unreadable": _metric(verdicts.unreadable / asked, higher=False),
    }
    return {
        "metrics": {f"{task}.{name}": metric for name, metric in metrics.items()},
        "notes": _notes(record, verdicts, won),
        **judging.row_of(record),
    }


def _verdict(judgment: Judgment, order: int) -> str | None:
    reply = judgment.replies[order]
    return None if reply.finish in NO_VERDICT else verdict_of(reply.text)


def _metric(
    value: float,
    error: float = math.nan,
    higher: bool = True,
    samples: Samples | None = None,
    why: str = "",
) -> Metric:
    known, sure = math.isfinite(value), math.isfinite(error)
    return Metric(value if known else None, error if sure else None, higher, samples, reason=why)


def _samples(record: Judgments, verdicts: Verdicts) -> Samples | None:
    won, fought = verdicts.points()
    if not fought.any():
        return None
    readable = verdicts.readable
    return _by_question(record, verdicts, 100 * won[readable], fought[readable])


def _by_question(
    record: Judgments, verdicts: Verdicts, totals: np.ndarray, weights: np.ndarray | float
) -> Samples:
    """A sample for each question of the task, of what the readable ones have; one without two
    verdicts weighs nothing.
    """
    at = {line: n for n, line in enumerate(record.lines)}
    places = np.array([at[judgment.line] for judgment in record.judgments])[verdicts.readable]
    total, weight = np.zeros(len(at)), np.zeros(len(at))
    total[places], weight[places] = totals, weights
    return Samples("mean", total.tolist(), weight.tolist())


def _notes(record: Judgments, verdicts: Verdicts, won: arena.Score) -> str:
    """What a reader must know of the score, in words."""
    told = [f"{verdicts.readable.sum()} of {len(record.lines)} questions judged in both orders"]
    if math.isfinite(won.low):
        told.append(f"win rate {won.value:.1f}, 95 % interval {won.low:.1f} to {won.high:.1f}")
    if verdicts.unreadable:
        told.append(f"replies without a verdict, left out: {verdicts.unreadable}")
    if math.isfinite(verdicts.agreement()):
        told.append(f"both orders agree on {verdicts.agreement():.0%}")
    usage = record.usage
    if usage.cost_usd is not None:
        told.append(f"{usage.cost_usd:.3g} USD")
    return "; ".join(told)
