"""Carbon intensity of a year from open services, as a CSV file that a study can name.

Great Britain: the Carbon Intensity API of the National Energy System Operator, half-hourly
(https://carbon-intensity.github.io/api-definitions/). Countries of Europe: Energy-Charts of
Fraunhofer ISE, quarter-hourly or hourly (https://api.energy-charts.info). Only what was measured
is taken, no forecast.
"""

import hashlib
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from joulegrid import __version__
from joulegrid.errors import InputError
from joulegrid.records import in_one_step, write_json
from joulegrid.study.zones import DIRECT, UNKNOWN

TIMEOUT_S = 60
SHOWN = 200  # characters of a wrong answer
Value = tuple[datetime, float | None]


class NotReachedError(Exception):
    """A service does not answer: no network here, or it is down."""


@dataclass(frozen=True)
class Service:
    """An open service.

    Parameters
    ----------
    days
        the longest span that is asked for at once.
    url
        the address for a zone from one time to another, below `base`.
    values
        times and g/kWh in an answer, None where nothing was measured; LookupError, TypeError or
        ValueError where it has another format.
    basis
        what is counted, as `study.zones` has it.
    """

    name: str
    base: str
    days: int
    url: Callable[[str, datetime, datetime], str]
    values: Callable[[Any], Iterator[Value]]
    basis: str
    licence: str


def _neso_url(_: str, start: datetime, end: datetime) -> str:
    return f"/intensity/{start:%Y-%m-%dT%H:%MZ}/{end:%Y-%m-%dT%H:%MZ}"


def _neso_values(answer: Any) -> Iterator[Value]:
    for half_hour in answer["data"]:
        actual = half_hour["intensity"]["actual"]
        yield _time(half_hour["from"]), None if actual is None else float(actual)


def _charts_url(zone: str, start: datetime, end: datetime) -> str:
    # its days are those of the country: a day more on either side, cut off below
    day = timedelta(days=1)
    return f"/co2eq?country={zone.lower()}&start={start - day:%Y-%m-%d}&end={end + day:%Y-%m-%d}"


def _charts_values(answer: Any) -> Iterator[Value]:
    for seconds, grams in zip(answer["unix_seconds"], answer["co2eq"], strict=True):
        yield datetime.fromtimestamp(seconds, UTC), None if grams is None else float(grams)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


NESO = Service(
    "NESO Carbon Intensity API",
    "https://api.carbonintensity.org.uk",
    14,
    _neso_url,
    _neso_values,
    DIRECT,
    "CC BY 4.0",
)
CHARTS = Service(
    "Energy-Charts, Fraunhofer ISE",
    "https://api.energy-charts.info",
    31,
    _charts_url,
    _charts_values,
    UNKNOWN,
    "as https://api.energy-charts.info says",
)


def service_of(zone: str) -> Service:
    """The service that has a zone.

    Raises
    ------
    InputError
        where the zone is no code of a country.
    """
    if not (len(zone) == 2 and zone.isascii() and zone.isalpha()):
        raise InputError(
            f"fetch: got the zone {zone!r}; expected GB, or a country of Energy-Charts by its two "
            "letters, such as DE"
        )
    return NESO if zone.upper() == "GB" else CHARTS


def fetch(zone: str, year: int, folder: Path, base: str | None = None) -> dict[str, Any]:
    """Write ZONE_YEAR.csv, two columns (time in UTC, g/kWh), and ZONE_YEAR.json with where and when
    it is from. Nothing is written unless every answer was there and right.

    Parameters
    ----------
    base
        another address of the service.

    Returns
    -------
    What stands in the JSON file: zone, file, sha256, service, licence, basis, urls, fetched (UTC),
    values, and missing (times at which the service has measured nothing).

    Raises
    ------
    NotReachedError
        where the service does not answer.
    InputError
        where its answer is something else than values, or there are none.
    """
    service, now = service_of(zone), datetime.now(UTC)
    begin = datetime(year, 1, 1, tzinfo=UTC)
    end = min(datetime(year + 1, 1, 1, tzinfo=UTC), now)
    if begin >= end:
        raise InputError(f"fetch: got the year {year}; expected one that has begun")
    urls, found = [], dict[datetime, float | None]()
    while begin < end:
        after = min(begin + timedelta(days=service.days), end)
        url = (base or service.base) + service.url(zone, begin, after)
        found |= {when: g for when, g in _values(service, url) if begin <= when < after}
        urls.append(url)
        begin = after
    known = {when: grams for when, grams in sorted(found.items()) if grams is not None}
    if not known:
        raise InputError(f"{urls[0]}: {service.name} has no values of {zone.upper()} in {year}")
    lines = ["time,g_per_kwh", *(f"{when:%Y-%m-%dT%H:%MZ},{g:g}" for when, g in known.items())]
    content = ("\n".join(lines) + "\n").encode()
    file = folder / f"{zone.upper()}_{year}.csv"
    about = {
        "zone": zone.upper(),
        "file": file.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "service": service.name,
        "licence": service.licence,
        "basis": service.basis,
        "urls": urls,
        "fetched": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "values": len(known),
        "missing": len(found) - len(known),
    }
    with in_one_step(file) as part:
        part.write_bytes(content)
    write_json(str(file.with_suffix(".json")), about)
    return about


def _values(service: Service, url: str) -> list[Value]:
    """The values in the answer of one address."""
    answer = _answer(service, url)
    try:
        values = list(service.values(json.loads(answer)))
        if any(grams is not None and not 0 <= grams <= 5000 for _, grams in values):
            raise ValueError("g/kWh out of 0 to 5000")
        return values
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{url}: expected values as {service.name} gives them; got {_shown(answer)}"
        ) from error


def _answer(service: Service, url: str) -> bytes:
    if not url.startswith(("https://", "http://")):
        raise InputError(f"{url}: expected an address that begins with https://")
    headers = {"Accept": "application/json", "User-Agent": f"joulegrid/{__version__}"}
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            return response.read()
    except urllib.error.HTTPError as error:
        raise InputError(
            f"{url}: {service.name} answered {error.code} {error.reason}: {_shown(error.read())}"
        ) from error
    except (OSError, http.client.HTTPException) as error:  # a half answer is the latter
        raise NotReachedError(f"{url}: {getattr(error, 'reason', error)}") from error


def _shown(answer: bytes) -> str:
    text = " ".join(answer.decode("utf-8", "replace").split())
    return repr(text[:SHOWN] + ("…" if len(text) > SHOWN else ""))
