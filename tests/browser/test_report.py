"""The report in a real browser that reaches no network."""

import html
import json
import re
import shutil
import subprocess

import pytest

from helpers import house
from helpers.installing import debian

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--virtual-time-budget=10000",
]


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """A function that opens a page and gives its document after the scripts have run."""
    debian("chromium", "chromium")
    profile = tmp_path_factory.mktemp("profile")

    def dump(page):
        command = [
            shutil.which("chromium"),
            *FLAGS,
            f"--user-data-dir={profile}",
            "--dump-dom",
            page.as_uri(),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout

    return dump


@pytest.mark.slow
def test_the_report_shows_tables_charts_and_provenance(browse, finished):
    place, data = finished
    page = place / "results/studies/small/report.html"
    document = browse(page)
    # a table for each machine: 6 cells each, and the names that the study gives
    tables = re.findall(r'<table class="ranking".*?</table>', document, re.DOTALL)
    assert [re.search("<caption>(.*?)</caption>", table)[1] for table in tables] == [
        "here",
        "there",
    ]
    for table in tables:
        assert table.count("<tr") == 1 + 6
        assert "gptq4" in table
    # every chart was drawn by its script: an SVG inside, with text in it
    for name in ("energy_quality", "energy_components", "carbon_zones"):
        part = document[document.index(f'id="chart-{name}"') :].split("</figure>")[0]
        assert "<svg" in part, f"{name} was not drawn"
        assert "<text" in part
    assert "git_commit" in document
    assert (
        json.loads(html.unescape(re.search(r"<pre>(.*?)</pre>", document, re.DOTALL)[1]))["study"]
        == data["study"]
    )


def test_the_page_names_nothing_that_it_would_have_to_load(finished):
    text = (finished[0] / "results/studies/small/report.html").read_text()
    without_scripts = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"""(?:src|href)\s*=|@import|url\(""", without_scripts)
    assert "<script src" not in text
    assert text.count("<script") == text.count("</script>")


@pytest.mark.slow
def test_a_users_text_is_text_not_markup(browse, own):
    place, data = own
    data["description"] = '</script><script>document.title = "run"</script><b id="bold">bold</b>'
    house.write_study(place, data)
    house.snakemake(place, "--cores", "2")
    document = browse(place / "results/studies/small/report.html")
    assert '<b id="bold">' not in document
    assert "<title>joulegrid: small</title>" in document
    assert "chart-energy_quality" in document
