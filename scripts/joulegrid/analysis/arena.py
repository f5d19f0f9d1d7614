"""The score of a configuration whose answers a judge compared with those of a baseline.

A score is the predicted win rate against the baseline in percent, out of a Bradley–Terry model fit
by logistic regression; 50 is the baseline's own. As in Arena-Hard-Auto (Li et al., arXiv
2406.11939), but for the interval: questions are resampled, not verdicts, since both verdicts on a
question go together and a decisive one is no three.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from joulegrid.analysis.verdicts import Verdicts

CONFIDENCE = 0.95
DRAWS, SEED = 1000, 0
# Newton's method ends at this change of the log-odds, or gives up
TOLERANCE, STEPS = 1e-10, 60
# Log-odds beyond which a win is certain: the likelihood has no maximum
CERTAIN = 30.0
# Names of the columns of `style_of`
STYLE = ("length", "headers", "lists", "bold")


@dataclass(frozen=True)
class Score:
    """A win rate against the baseline with its 95 % interval and its standard error, in percent;
    NaN: there is none.
    """

    value: float
    low: float
    high: float
    error: float


def bradley_terry(design: np.ndarray, won: np.ndarray, fought: np.ndarray) -> np.ndarray:
    """Log-odds that make the outcomes likeliest: logistic regression without intercept or penalty,
    by Newton's method.

    Bradley and Terry, Biometrika 39 (1952). A competitor's column holds 1 where it fights, -1 where
    it is fought; further columns may be covariates.

    Parameters
    ----------
    design
        shape (battles, columns).
    won, fought
        points of the one whose entry is 1, and points there were to win, shape (battles,), or
        (sets of outcomes, battles).

    Returns
    -------
    Shape (columns,), or (sets, columns); NaN where no maximum is there: somebody won, or lost,
    everything that a column can explain, or columns cannot be told apart.
    """
    columns = design.shape[1]
    sets, points = np.atleast_2d(won), np.atleast_2d(fought)
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    found, fitted = np.zeros((len(sets), columns)), np.full((len(sets), columns), np.nan)
    left = np.arange(len(sets))
    for _ in range(STEPS):
        likely = expit(found[left] @ design.T)
        gradient = (sets[left] - points[left] * likely) @ design
        curvature = (points[left] * likely * (1 - likely)) @ products
        curvature = curvature.reshape(-1, columns, columns)
        sound = np.linalg.cond(curvature) < 1 / np.finfo(float).eps
        left, curvature, gradient = left[sound], curvature[sound], gradient[sound]
        step = np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]
        largest = np.abs(step).max(axis=1)
        found[left] += step / np.maximum(largest, 1)[:, None]  # no leap of more than 1
        done = largest < TOLERANCE
        fitted[left[done]] = found[left[done]]
        left = left[~done & (np.abs(found[left]).max(axis=1) < CERTAIN)]
        if not left.size:
            break
    return fitted.reshape(*won.shape[:-1], columns)


def score(verdicts: Verdicts) -> Score:
    """The win rate. With one opponent the regression's maximum is the weighted share of points won,
    ties half, and there is nothing to iterate; so who wins everything has 100.
    """
    won, fought = verdicts.points()
    times = _times_drawn(verdicts.readable)
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = 100 * (times @ won) / (times @ fought)
        value = 100 * won.sum() / fought.sum()
    return _score(float(value), drawn)


def style_controlled(verdicts: Verdicts, own: list[str], baseline: list[str]) -> Score:
    """The win rate that is expected where both answers are of the same style: length and markdown
    are covariates of the regression.

    After the style control of Chatbot Arena and Arena-Hard-Auto, with two differences: covariates
    are not centred, so that equal style is 0, and each configuration is fit on its own, so that a
    new one changes no score of another.

    Parameters
    ----------
    own, baseline
        the answers, question by question.

    Returns
    -------
    NaN where outcomes do not say what style makes: few questions, or style explains them all.
    """
    won, fought = verdicts.points()
    design = _design(verdicts, own, baseline)
    times = _times_drawn(verdicts.readable)
    value = _win_rate(design, won, fought)
    return _score(float(value), _win_rate(design, times * won, times * fought))


def style_shares(
    verdicts: Verdicts, own: list[str], baseline: list[str], found: Score
) -> np.ndarray:
    """A value for every readable question, whose mean is the style-controlled win rate `found`, and
    the standard error of whose mean is the one of its bootstrap.

    A fit is no mean over questions: as with BLEU these are the jackknife's pseudo-values, here with
    their spread brought to the bootstrap's. NaN where a fit without one question has no value.
    """
    won, fought = verdicts.points()
    kept = 1 - np.eye(len(won))[verdicts.readable]
    design = _design(verdicts, own, baseline)
    without = _win_rate(design, kept * won, kept * fought)
    shares = without.mean() - without
    spread = shares.std()
    wanted = found.error * np.sqrt(len(shares) - 1)  # of the mean, by one degree of freedom less
    return found.value + shares * (wanted / spread if spread else 0)


def _design(verdicts: Verdicts, own: list[str], baseline: list[str]) -> np.ndarray:
    """A column of ones, and one for each part of style that varies, in its standard deviations."""
    style = style_of(own, baseline)
    spread = style[verdicts.readable].std(axis=0) if verdicts.readable.any() else np.zeros(0)
    varied = np.flatnonzero(spread > 0)
    return np.column_stack([np.ones(len(style)), style[:, varied] / spread[varied]])


def style_of(own: list[str], baseline: list[str]) -> np.ndarray:
    """How the answers of a configuration differ in style from the baseline's.

    Returns
    -------
    Shape (answers, 4), of `STYLE`: the difference of lengths (in words) over their sum, and those
    of headers, list items and bold passages per word, each over their sum plus one.
    """
    pairs = zip(own, baseline, strict=True)
    rows = [[_counts(one), _counts(other)] for one, other in pairs]
    counts = np.array(rows, dtype=float).reshape(-1, 2, len(STYLE))
    length = counts[:, :, :1]
    density = counts[:, :, 1:] / np.maximum(length, 1)
    of_length = _over_sum(length, 0.0)
    return np.column_stack([of_length, _over_sum(density, 1.0)])


def _over_sum(values: np.ndarray, more: float) -> np.ndarray:
    """(one - other) / (one + other + more) of shape (n, 2, k); 0 where both are 0."""
    total = values.sum(axis=1) + more
    return (values[:, 0] - values[:, 1]) / np.where(total > 0, total, 1)


def _counts(text: str) -> tuple[int, int, int, int]:
    """Words, headers, list items and bold passages of a text in markdown; code blocks have none of
    the last three.
    """
    lines, code = [], False
    for line in text.split("\n"):
        if line.lstrip().startswith("```"):
            code = not code
        elif not code:
            lines.append(line)
    return (
        len(text.split()),
        sum(_is_header(line) for line in lines),
        sum(_is_item(line.lstrip()) for line in lines),
        sum(line.count("**") // 2 + line.count("__") // 2 for line in lines),
    )


def _is_header(line: str) -> bool:
    marks = len(line) - len(line.lstrip("#"))
    return 1 <= marks <= 6 and line[marks : marks + 1] == " "


def _is_item(line: str) -> bool:
    number, _, rest = line.partition(". ")
    return line.startswith(("- ", "* ", "+ ")) or (number.isdecimal() and bool(rest))


def _win_rate(design: np.ndarray, won: np.ndarray, fought: np.ndarray) -> np.ndarray:
    """In percent, of a row whose covariates are 0."""
    return 100 * expit(bradley_terry(design, won, fought)[..., 0])


def _times_drawn(readable: np.ndarray) -> np.ndarray:
    """How often each question is in a resample of the readable ones, shape (draws, questions)."""
    places = np.flatnonzero(readable)
    times = np.zeros((DRAWS, len(readable)))
    if places.size:
        random = np.random.default_rng([SEED, places.size])
        even = np.full(places.size, 1 / places.size)
        times[:, places] = random.multinomial(places.size, even, DRAWS)
    return times


def _score(value: float, drawn: np.ndarray) -> Score:
    """A value with the percentiles of its resamples; no interval where one of twenty has none."""
    known = drawn[np.isfinite(drawn)]
    if known.size < CONFIDENCE * drawn.size or not np.isfinite(value):
        return Score(value, np.nan, np.nan, np.nan)
    low, high = np.quantile(known, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Score(value, float(low), float(high), float(known.std()))
