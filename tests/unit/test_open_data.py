"""Open services of carbon intensity, imitated by a server on this machine that answers as they do.

The answers have the form of those that the services' documentation shows; the services themselves
are not asked here.
"""

import hashlib
import http.server
import json
import sys
import threading
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlparse

import pytest
import yaml

import fetch_intensity
from joulegrid.analysis import intensity, open_data
from joulegrid.errors import InputError

HALF, QUARTER = timedelta(minutes=30), timedelta(minutes=15)


def stamp(when):
    return when.strftime("%Y-%m-%dT%H:%MZ")


def neso(path):
    """Half hours from the one that ends at the first time, as the service does; each has the number
    of its hour, and nothing was measured at midnight.
    """
    start, end = (datetime.fromisoformat(text) for text in path.split("/")[2:4])
    assert end - start <= timedelta(days=14)
    data, when = [], start - HALF
    while when < end:
        values = {"forecast": 999, "actual": when.hour or None, "index": "moderate"}
        data.append({"from": stamp(when), "to": stamp(when + HALF), "intensity": values})
        when += HALF
    return {"data": data}


def charts(path):
    """Quarters of the days that are asked for, of the country's clock, forecasts at the end."""
    asked = {key: found[0] for key, found in parse_qs(urlparse(path).query).items()}
    assert asked["country"] == "de"
    days = [datetime.fromisoformat(asked[key]).replace(tzinfo=UTC) for key in ("start", "end")]
    when, times = days[0] - timedelta(hours=1), []
    while when < days[1] + timedelta(hours=23):
        times.append(when)
        when += QUARTER
    known = [200.5 if time.month < 7 else None for time in times]
    return {
        "unix_seconds": [int(time.timestamp()) for time in times],
        "co2eq": known,
        "co2eq_forecast": [None if value else 300.0 for value in known],
        "deprecated": False,
    }


@pytest.fixture
def serve():
    """A function that starts a server with an answer for each path, and gives its address."""
    servers = []

    def start(answer, status=200):
        class Imitated(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                found = answer(self.path) if callable(answer) else answer
                content = found if isinstance(found, bytes) else json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Imitated)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_great_britain_by_half_hours_is_what_the_reader_reads(serve, tmp_path):
    about = open_data.fetch("gb", 2024, tmp_path, serve(neso))
    series = intensity.read_series(tmp_path / "GB_2024.csv", about["basis"])
    # 366 days of 46 half hours: at midnight nothing was measured, and no forecast is taken
    assert series.sizes["time"] == about["values"] == 366 * 46
    assert about["missing"] == 366 * 2
    assert (series == series.time.dt.hour).all()
    assert series.time.values[[0, -1]].astype("M8[m]").astype(str).tolist() == [
        "2024-01-01T01:00",
        "2024-12-31T23:30",
    ]
    assert intensity.is_hourly(series)
    assert series.attrs["basis"] == "direct"


def test_where_it_is_from_stands_beside_the_file(serve, tmp_path):
    base = serve(neso)
    open_data.fetch("GB", 2024, tmp_path, base)
    about = json.loads((tmp_path / "GB_2024.json").read_text())
    assert about["urls"][0] == f"{base}/intensity/2024-01-01T00:00Z/2024-01-15T00:00Z"
    assert len(about["urls"]) == 27  # of two weeks each
    assert about["licence"] == "CC BY 4.0"
    assert datetime.fromisoformat(about["fetched"]) <= datetime.now(UTC)
    content = (tmp_path / "GB_2024.csv").read_bytes()
    assert about["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_country_of_europe_by_quarters_without_forecasts(serve, tmp_path):
    about = open_data.fetch("DE", 2024, tmp_path, serve(charts))
    series = intensity.read_series(tmp_path / "DE_2024.csv")
    assert series.sizes["time"] == about["values"] == 182 * 96
    assert set(series.values) == {200.5}
    # days of the country's clock are cut at the year's ends in UTC
    assert series.time.values[0].astype("M8[m]").astype(str) == "2024-01-01T00:00"


@pytest.mark.parametrize(
    ("answer", "status", "part"),
    [
        (b"<html>moved</html>", 200, "expected values as NESO .* gives them; got '<html>moved"),
        ({"data": [{"from": "2024-01-01T00:00Z"}]}, 200, "expected values as NESO"),
        ({"data": "none"}, 200, "expected values as NESO"),
        (
            {"data": [{"from": "yesterday", "intensity": {"actual": 3}}]},
            200,
            "expected values as NESO",
        ),
        (
            {"data": [{"from": "2024-01-01T00:00Z", "intensity": {"actual": -3}}]},
            200,
            "expected values as NESO",
        ),
        ({"data": []}, 200, "has no values of GB in 2024"),
        ({"error": {"code": "400 Bad Request"}}, 400, "answered 400 .*400 Bad Request"),
    ],
)
def test_a_wrong_answer_is_shown_and_nothing_written(serve, tmp_path, answer, status, part):
    with pytest.raises(InputError, match=part):
        open_data.fetch("GB", 2024, tmp_path / "new", serve(answer, status))
    assert not (tmp_path / "new").exists()


def test_one_wrong_answer_among_right_ones_keeps_the_file_of_before(serve, tmp_path):
    (tmp_path / "GB_2024.csv").write_text("before")
    base = serve(lambda path: neso(path) if "2024-01-01" in path else b"busy")
    with pytest.raises(InputError, match="busy"):
        open_data.fetch("GB", 2024, tmp_path, base)
    assert [path.name for path in tmp_path.iterdir()] == ["GB_2024.csv"]
    assert (tmp_path / "GB_2024.csv").read_text() == "before"


def test_nobody_answers(tmp_path):
    with pytest.raises(open_data.NotReachedError, match=r"127.0.0.1:9"):
        open_data.fetch("GB", 2024, tmp_path, "http://127.0.0.1:9")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("zone", "year", "part"),
    [
        ("DEU", 2024, "got the zone 'DEU'; expected GB, or a country"),
        ("../x", 2024, "got the zone"),
        ("GB", 3000, "got the year 3000; expected one that has begun"),
    ],
)
def test_what_cannot_be_asked_for(tmp_path, zone, year, part):
    with pytest.raises(InputError, match=part):
        open_data.fetch(zone, year, tmp_path, "http://127.0.0.1:9")


def test_offline_the_script_says_so_and_ends_well(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fetch_intensity, "ROOT", tmp_path)
    offline = ["fetch_intensity.py", "GB", "2024", "--base", "http://127.0.0.1:9"]
    monkeypatch.setattr(sys, "argv", offline)
    fetch_intensity.main()
    text = capsys.readouterr().out
    assert text.startswith("not reached: http://127.0.0.1:9/intensity/2024-01-01T00:00Z/")
    assert "nothing was written" in text
    (tmp_path / "results/intensity").mkdir(parents=True)
    (tmp_path / "results/intensity/GB_2024.csv").touch()
    fetch_intensity.main()
    assert "results/intensity/GB_2024.csv of before stays" in capsys.readouterr().out


def test_the_script_gives_the_lines_that_a_study_takes(serve, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fetch_intensity, "ROOT", tmp_path)
    asked = ["fetch_intensity.py", "gb", "2024", "--base", serve(neso)]
    monkeypatch.setattr(sys, "argv", asked)
    fetch_intensity.main()
    entry = yaml.safe_load(capsys.readouterr().out.splitlines()[-1])["GB"]
    assert (tmp_path / entry["series"]).is_file()
    assert entry["source"].startswith("NESO Carbon Intensity API, fetched 2")
    assert entry["basis"] == "direct"
