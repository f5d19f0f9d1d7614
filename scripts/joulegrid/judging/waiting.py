"""How long an endpoint asks to wait, where that is longer than the openai package itself waits."""

import math
import time
from email.utils import parsedate_to_datetime

import openai

# What an endpoint says that another try may change, beside 5xx
PASSING = (408, 409, 429)
# Longer waits the openai package leaves to its caller; still longer ones are for the user to wait
LONG_S, LONGEST_S = 120.0, 3600.0


def passes(error: openai.APIStatusError) -> bool:
    """Whether another try may succeed, as the openai package decides it."""
    told = error.response.headers.get("x-should-retry")
    if told in ("true", "false"):
        return told == "true"
    return error.status_code in PASSING or error.status_code >= 500


def long_wait(error: openai.APIStatusError) -> float:
    """The seconds that Retry-After asks to wait, a number or a date; 0 where the openai package has
    done so, and where another try changes nothing.
    """
    value = error.response.headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return 0.0
    return seconds if passes(error) and LONG_S < seconds < math.inf else 0.0
