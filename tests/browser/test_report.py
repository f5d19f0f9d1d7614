"""The report in a real browser that reaches no network."""

import html
import itertools
import json
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from helpers import house, replayed
from helpers.installing import debian
from joulegrid.analysis import (
    carbon,
    comparison,
    hourly,
    metric_changes,
    published,
    ranked,
    storage,
)
from joulegrid.analysis.answer import answer
from joulegrid.analysis.recorded import Components
from joulegrid.analysis.recorded.session import Bin, Percentiles, Replay
from joulegrid.analysis.replays import Replays
from joulegrid.analysis.variables import STATUS
from joulegrid.report import figures
from joulegrid.report.page import render
from joulegrid.study.grid import CELL_AXES, Cell

HERE = Path(__file__).parent
WALK = HERE / "walk.js"
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

    def dump(page, hash=""):
        command = [
            shutil.which("chromium"),
            *FLAGS,
            f"--user-data-dir={profile}",
            "--dump-dom",
            page.as_uri() + hash,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
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


def shown(document):
    """Rows of all tables of ranks: {(place, pruning, quantization): rank}."""
    found = {}
    for table in re.findall(r'<table class="ranking".*?</table>', document, re.DOTALL):
        place = re.search("<caption>(.*?)</caption>", table)[1]
        heads = [re.sub("<.*?>", "", h) for h in re.findall("<th .*?</th>", table)]
        for row in re.findall("<tr[^>]*data-row.*?</tr>", table):
            cells = dict(zip(heads, re.findall("<td[^>]*>(.*?)</td>", row), strict=True))
            found[place, cells["pruning"], cells["quantization"]] = cells["rank"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("weight", [0, 0.3, 0.7, 1])
def test_the_page_ranks_as_python_does_at_every_weight(browse, finished, weight):
    place, _ = finished
    folder = place / "results/studies/small"
    tree = storage.read(folder / "study.nc")
    chosen = comparison.chosen_in(tree["ranking"].attrs)
    ranking = comparison.compare(tree, {**chosen, "weight": weight})
    rows = ranked.table(tree, ranking)
    due = {
        (row.hardware, row.pruning, row.quantization): str(row.rank) for row in rows.itertuples()
    }
    document = browse(folder / "report.html", f"#w={weight}")
    assert shown(document) == due
    for hardware, part in rows.groupby("hardware"):
        number = sorted(set(rows.hardware)).index(hardware)
        said = re.search(f'<span id="answer-{number}">(.*?)</span>', document)[1]
        assert html.unescape(said) == answer(part, chosen["baseline"], weight)


@pytest.mark.slow
def test_sorting_filters_limits_zones_and_reset(browse, finished, tmp_path):
    text = (finished[0] / "results/studies/small/report.html").read_text()
    page = tmp_path / "walk.html"
    page.write_text(text.replace("</body>", f"<script>{WALK.read_text()}</script></body>"))
    document = browse(page)
    seen = json.loads(html.unescape(re.search('<pre id="seen">(.*?)</pre>', document)[1]))
    assert seen["all"] == 6
    assert seen["sorted"] == "ascending"
    assert seen["ascending"] == sorted(seen["ascending"])
    assert seen["descending"] == seen["ascending"][::-1]
    assert seen["filtered"] == 2
    assert "f-quantization=fp32" in seen["hash"]
    assert seen["floor"] < 6
    # at its right end the slider leaves the cells of the best quality, at its left one all
    assert seen["slid"] == [2, "100", "100"]
    assert seen["released"] == [6, "", "no limit"]
    assert seen["grams"]
    # a head, the rows of both places, and the end of the last line
    assert seen["csv"] == 1 + 12 + 1
    assert seen["again"] == [6, ""]
    assert seen["focusable"]
    assert seen["labelled"]
    assert seen["captions"]


@pytest.mark.slow
@pytest.mark.parametrize("left", ["nothing", "no quality", "no baseline"])
def test_the_page_of_an_unfinished_study_works_and_takes_old_links(browse, own, left):
    place, _ = own
    if left != "no baseline":
        kinds = ("energy", "quality") if left == "nothing" else ("quality",)
        for kind in kinds:
            shutil.rmtree(place / "results" / kind)
    else:
        for path in (place / "results/energy").rglob("fp32"):
            shutil.rmtree(path)
    house.snakemake(place, "partial", "--cores", "2")
    page = place / "results/studies/small/partial/report.html"
    text = page.read_text()
    count = "document.querySelectorAll('[data-row]').length"
    script = f"<script>addEventListener('shown', () => document.body.append('rows ' + {count}))"
    page.write_text(text.replace("</body>", f"{script}</script></body>"))
    document = browse(page, "#sort=gpu&zone=NOWHERE&f-quantization=none-such&w=1")
    assert "rows 12" in document


@pytest.mark.slow
def test_the_page_complains_of_nothing_and_is_small(finished, tmp_path):
    debian("chromium", "chromium")
    page = finished[0] / "results/studies/small/report.html"
    assert page.stat().st_size < 3e6
    command = [shutil.which("chromium"), *FLAGS, f"--user-data-dir={tmp_path}", "--dump-dom"]
    command += ["--enable-logging=stderr", "--v=0", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    told = [line for line in done.stderr.splitlines() if "CONSOLE" in line and "WARN" not in line]
    assert told == []


def install_packages():
    """Those of package-lock.json, in a folder that gets its name when it is whole: who else
    installs them meanwhile does no harm.
    """
    there = HERE / "node_modules"
    if there.exists():
        return
    with tempfile.TemporaryDirectory(dir=HERE, prefix=".installing-") as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder)
        done = subprocess.run(
            ["npm", "ci"], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(
                f"the packages of package-lock.json are not to be had: {done.stderr[-300:]}"
            )
        with suppress(OSError):  # another one was faster
            (Path(folder) / "node_modules").rename(there)
    assert there.is_dir()


def replay_of_two_hours(slower):
    """The replay of a session, so many times slower, with more energy in its second hour."""
    late, same = Percentiles(0.5 * slower, 1.0 * slower, 2.0 * slower), Percentiles(0.5, 1.0, 2.0)
    bins = [Bin(1800.0 * n, 1800.0, Components(100.0 * (n + 1), 0.0, 10.0)) for n in range(4)]
    return Replay(
        **{"arrived": 20, "finished": 20, "offered_per_s": 0.1, "served_per_s": 0.1},
        **{"tokens_per_s": 1.0, "total_s": late, "first_token_s": late, "per_token_s": same},
        **{"queueing_s": same, "backlog": 0, "waiting": 0, "most_waiting": 1, "drain_s": 0.0},
        **{"utilisation": 0.5, "energy_per_request_j": 52.0, "disturbed_share": 0.0, "bins": bins},
        drain_energy_j=Components(0.0, 0.0, 0.0),
    )


def with_more(tree, folder):
    """The small study with what others have: replays, a zone with an hourly series, and a session
    that could not run.
    """
    rows = [
        f"2024-01-{day:02}T{hour:02}:00,{100 + hour}" for day in range(1, 25) for hour in range(24)
    ]
    (folder / "hours.csv").write_text("\n".join(["time,g", *rows]))
    zones = {"MINE": {"series": {"path": "hours.csv"}, "basis": "direct", "source": "mine"}}
    energy = tree["energy"].to_dataset()
    axes = {name: energy[name].values.tolist() for name in (*CELL_AXES, "session")}
    replays = Replays(axes, {label: {"method": "replay"} for label in axes["workload"]})
    for *labels, session in itertools.product(*axes.values()):
        cell = Cell(*labels)
        slower = 3 if cell.quantization == "nf4" else 1
        replays.add(cell, session, replay_of_two_hours(slower), folder)
    tree["replay"] = xr.DataTree(replays.dataset())
    lost = {"quantization": "nf4", "hardware": "here", "session": 2}
    energy.status.loc[lost] = STATUS.index("oom")
    energy.reason.loc[lost] = "out of memory: 3 GB of <b>4</b> GB were free"
    energy.peak_memory.loc[{"quantization": "gptq4"}] = 2e9
    tree["energy"] = xr.DataTree(energy)
    tree["grid"] = xr.DataTree(carbon.with_series(zones, folder)[1])
    tree["hourly"] = xr.DataTree(hourly.account(tree, zones, {"here": 1.0, "there": 1.5}, folder))
    return tree


@pytest.fixture(scope="module")
def seen(finished, tmp_path_factory):
    """What `views.js` finds of the page in every view, and the folder with page and pictures."""
    debian("chromium", "chromium")
    debian("npm", "npm")
    install_packages()
    folder = tmp_path_factory.mktemp("views")
    study = storage.read(finished[0] / "results/studies/small/study.nc")
    tree = with_more(study, folder)
    charts = {name: figures.fitted(c.to_dict()) for name, c in figures.draw(tree).items()}
    page = folder / "report.html"
    page.write_text(render(tree, charts, json.loads(tree.attrs["study"])))
    command = ["node", HERE / "views.js", shutil.which("chromium"), page, folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "findings.json").read_text()), folder


SCREENS = ("light", "dark", "phone", "phone-dark")


@pytest.mark.slow
@pytest.mark.parametrize("view", SCREENS)
def test_axe_finds_nothing_serious(seen, view):
    found = seen[0][view]
    assert found["checked"] > 20
    # of a replay, an hourly series and a session that ran out of memory too
    page = (seen[1] / "report.html").read_text()
    for name in ("starts", "begins", "hourly", "protocol", "failed"):
        assert f' id="{name}">' in page
    assert [rule for rule in found["axe"] if rule["impact"] in ("serious", "critical")] == []


@pytest.mark.slow
@pytest.mark.parametrize("view", [*SCREENS, "print"])
def test_nothing_sticks_out_of_the_page_and_charts_fill_their_room(seen, view):
    found = seen[0][view]
    assert not found["scrolls"]
    assert found["cut"] == []
    assert len(found["charts"]) >= 5
    least = 0.4 if view == "print" else 0.85  # on paper two charts share a page
    for name, chart in found["charts"].items():
        assert chart["inside"] <= chart["room"] + 1, name
        assert least * chart["room"] <= chart["drawn"] <= chart["room"] + 1, name
    assert found["errors"] == []
    assert (seen[1] / f"{view}.png").stat().st_size > 10_000


@pytest.mark.slow
def test_the_printed_page_is_a_pdf(seen):
    assert (seen[1] / "report.pdf").read_bytes().startswith(b"%PDF-")


@pytest.mark.slow
def test_the_keyboard_alone_reaches_and_works_everything(seen):
    found = seen[0]["keyboard"]
    names = [stop["name"] for stop in found["order"]]
    controls = ["w-range", "w", "min-quality", "max-memory", "f-quantization", "zone", "pue"]
    due = [*controls, "reset", "download", "ranking here", "rank", "energy_per_token"]
    due += ["requests", "now", "price", "savings", "zones"]
    assert [name for name in dict.fromkeys(names) if name in due] == due
    assert [stop["name"] for stop in found["order"] if not stop["visible"]] == []
    assert found["weights"] == ["0.7", "0"]
    assert 0 < found["floor"][1] < found["floor"][0]
    assert found["zone"] == "BE"
    assert found["saved"] == ["small.csv"]
    assert found["heads"][1] == found["heads"][0] - 1
    # Enter sorts, and the focus stays where Space sorts the other way round
    assert found["enter"][:2] == ["energy_per_token", "ascending"]
    assert found["space"][:2] == ["energy_per_token", "descending"]
    assert found["enter"][2] != found["space"][2]
    assert found["errors"] == []


@pytest.mark.slow
def test_only_limits_that_say_something_are_offered(seen):
    """Latencies bring theirs with their columns; speed and time per token are one for all cells."""
    found = seen[0]["limits"]
    assert found["first"] == [
        *["min-quality", "max-energy", "max-memory"],
        *["max-latency_p95", "max-first_token_p95"],
    ]
    assert found["picked"] == [*found["first"][:3], "max-latency_p50", *found["first"][3:]]
    assert found["asked"] == [*found["first"], "max-queueing_p95"]


@pytest.mark.slow
def test_what_is_in_the_window_is_drawn_first_and_the_rest_unasked(seen):
    found = seen[0]["order"]
    assert found["drawn"][0] == "chart-drift"
    assert found["page"][-1] == "chart-drift"
    assert sorted(found["drawn"]) == sorted(found["page"])


@pytest.mark.slow
def test_nothing_moves_for_people_who_do_not_want_it(seen):
    assert seen[0]["keyboard"]["moves"] == 0


def with_phases(tree):
    """Energies of prefill, which the small study does not measure apart."""
    energy = tree["energy"].to_dataset()
    energy["prefill_energy"] = energy.energy * 0.25
    for name, number in (("runs", 3), ("tokens_read", 30), ("requests", 2)):
        energy[f"prefill_{name}"] = energy.runs * 0 + number
    tree["energy"] = xr.DataTree(energy)


def a_year(tree, cell, phases):
    """KWh of 365 days with 5,000 requests of 50 prompt and 120 answer tokens, out of the sessions,
    and the half width of its 95 % interval.
    """
    one = tree["energy"].to_dataset().sel(cell, drop=True).isel(model=0, training=0, engine=0)
    one = one.isel(workload=0)
    whole, written = one.energy.sum("component"), one.tokens_written

    def mean_and_half(values):
        count = len(values)
        return values.mean(), stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / count**0.5

    if phases:
        first = one.prefill_energy.sum("component") / one.prefill_runs
        per_prompt = first / (one.prefill_tokens_read / one.prefill_runs)
        rest = (whole / one.runs - first) / (written / one.runs - one.prefill_requests)
        parts = [(50, per_prompt), (119, rest)]
    else:
        parts = [(120, whole / written)]
    found = [(times, *mean_and_half(values.values)) for times, values in parts]
    factor = 5000 * 365 * {"here": 1, "there": 1.5}[cell["hardware"]] / 3.6e6
    mean, half = (factor * sum(times * both[i] for times, *both in found) for i in (0, 1))
    return mean, half


@pytest.mark.slow
@pytest.mark.parametrize("phases", [False, True])
def test_the_savings_calculator_counts_as_python_does(browse, finished, tmp_path, phases):
    place, data = finished
    tree = storage.read(place / "results/studies/small/study.nc").load()
    if phases:
        with_phases(tree)
    charts = json.loads((place / "results/studies/small/figures/charts.json").read_text())
    page = tmp_path / "report.html"
    page.write_text(render(tree, charts["charts"], data))
    rows = ranked.table(tree, tree["ranking"].to_dataset())
    cells = [
        {"pruning": "none", "quantization": "fp32", "hardware": "there"},
        {"pruning": "half", "quantization": "nf4", "hardware": "here"},
    ]
    now, then = (rows.index[(rows[list(c)] == pd.Series(c)).all(axis=1)][0] for c in cells)
    asked = f"requests=5000&prompt-tokens=50&answer-tokens=120&now={now}&then={then}"
    document = browse(page, f"#{asked}&zone=BE&price=0.25")
    table = re.search('<table id="savings">(.*?)</table>', document, re.DOTALL)[1]
    lines = [
        (
            html.unescape(re.search('<th scope="row">(.*?)</th>', line)[1]),
            [
                [float(number) for number in cell.split(" ± ")]
                for cell in re.findall('<td class="n">(.*?)</td>', line)
            ],
        )
        for line in re.findall("<tr>.*?</tr>", table)[1:]
    ]
    (before, half), (after, other) = (a_year(tree, cell, phases) for cell in cells)
    due = [(before, half), (after, other), (before - after, (half**2 + other**2) ** 0.5)]
    for (mean, width), (_, found) in zip(due, lines, strict=False):
        for factor, (value, interval) in zip((1, 153.14 / 1000, 0.25), found, strict=True):
            assert value == pytest.approx(factor * mean, rel=1e-3)
            assert interval == pytest.approx(factor * width, rel=0.06)
    # as published, without an interval of its own, and named as such
    named = {title.split(":")[0]: found for title, found in lines[3:]}
    assert named["bf16 to int4"][0] == [pytest.approx(0.3188 * before, rel=1e-3)]
    assert named["bf16 to fp8"][0] == [pytest.approx(0.40 * before, rel=1e-3)]
    assert table.count("published, not measured here: wetzel2024") == 3
    told = re.search('<p id="savings-basis".*?>(.*?)</p>', document)[1]
    assert ("prefill and decode" in told) == phases


@pytest.mark.slow
@pytest.mark.parametrize("shown", ["here", "there"])
def test_the_savings_calculator_begins_within_one_place(browse, finished, tmp_path, shown):
    """With the best cell of the place of the baseline, also where another place comes first."""
    place, data = finished
    tree = storage.read(place / "results/studies/small/study.nc").load()
    if shown == "there":  # the first place has no energy of the baseline
        energy = tree["energy"].to_dataset()
        first = (energy.hardware == "here") & (energy.quantization == "fp32")
        tree["energy"] = energy.assign(tokens_written=energy.tokens_written.where(~first))
    page = tmp_path / "report.html"
    page.write_text(render(tree, {}, data))
    table = re.search('<table id="savings">(.*?)</table>', browse(page), re.DOTALL)[1]
    chosen = re.findall('<th scope="row">(?:now|then): (.*?)</th>', table)[:2]
    assert chosen[0].startswith("fp32")
    assert [name.split(" · ")[-1] for name in chosen] == [shown, shown]
    assert chosen[0] != chosen[1]


# What of two charts is where, once all are drawn
NARROW = """<style>body { max-width: 390px !important; }</style><script>
const timer = setInterval(() => {
  if (!document.documentElement.dataset.drawn) return;
  clearInterval(timer);
  const boxes = where => [...document.querySelectorAll(where)].filter(node => node.textContent)
    .map(node => ({ text: node.textContent, ...node.getBoundingClientRect().toJSON() }));
  const seen = { names: boxes("#chart-energy_quality .mark-text.role-mark text"),
    legend: boxes("#chart-bubbles .role-legend-label text"),
    room: document.querySelector("#chart-bubbles").getBoundingClientRect().right };
  document.body.append(Object.assign(document.createElement("pre"),
    { id: "seen", textContent: JSON.stringify(seen) }));
}, 50);
</script>"""


@pytest.mark.slow
def test_dosquets_numbers_are_read_on_a_phone_and_compared_with_what_is_no_better(browse, tmp_path):
    """Of each model the full one wins; names of eight cells do not lie on each other."""
    replay = replayed.dosquet(tmp_path / "records")
    tree = replay.tree
    groups = {"ranking": replay.ranking, "carbon": replay.carbon, "published": published.read()}
    groups["changes"] = metric_changes.account(tree, {"quantization": "full"})
    for name, group in groups.items():
        tree[name] = xr.DataTree(group)
    charts = {name: figures.fitted(c.to_dict()) for name, c in figures.draw(tree).items()}
    page = tmp_path / "dosquet.html"
    text = render(tree, charts, replayed.DOSQUET)
    page.write_text(text.replace("</head>", f"{NARROW}</head>"))
    document = browse(page)
    found = json.loads(html.unescape(re.search('<pre id="seen">(.*?)</pre>', document)[1]))
    assert len(found["names"]) >= 4
    for one, other in itertools.combinations(found["names"], 2):
        apart = one["right"] <= other["left"] or other["right"] <= one["left"]
        assert apart or one["bottom"] <= other["top"] or other["bottom"] <= one["top"], (one, other)
    named = {entry["text"]: entry["right"] for entry in found["legend"]}
    assert named["dosquet2025 (published)"] <= found["room"]
    table = re.search('<table id="savings">(.*?)</table>', document, re.DOTALL)[1]
    chosen = re.findall('<th scope="row">(?:now|then): (.*?)</th>', table)
    assert chosen[0].endswith("full")
    assert chosen[1] == chosen[0].replace("full", "compressed")
    assert (
        "perplexity"
        in re.search('<button [^>]*data-key="wikitext2.perplexity".*?<wbr>(.*?)<', document)[1]
    )


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
