"""Published numbers through our own merge, comparison and accounting; docs/published.md shows them.

After a change of what is reproduced: python -m unit.test_replayed, with scripts and tests in
PYTHONPATH, writes the table of the page anew.
"""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest

from helpers import replayed
from helpers.replayed import Replayed
from joulegrid.analysis import carbon
from joulegrid.records import ROOT
from joulegrid.units import J_PER_KWH

PAGE = ROOT / "docs/published.md"
# kWh of the whole hardware as the publication's table sums them, of full and compressed models
TOTALS = {
    "llama-7b": (1.4335, 1.8129),
    "llama-30b": (1.9606, 1.9749),
    "mistral-7b": (1.4563, 1.7707),
    "mistral-small-3": (1.7877, 1.9341),
}
CHANGES = {"llama-7b": 26, "llama-30b": 1, "mistral-7b": 22, "mistral-small-3": 8}
VERSIONS = ("full", "compressed")
DOSQUET, WETZEL = "Dosquet 2025", "Wetzel 2024"


class Number(NamedTuple):
    """A published number, and ours; `digits` behind the point are published."""

    what: str
    source: str
    published: float
    ours: float
    digits: int
    unit: str = ""

    @property
    def row(self) -> str:
        """As a line of a Markdown table."""
        shown = f"{self.published:,.{self.digits}f}", f"{self.ours:,.{self.digits + 2}f}"
        off = f"{self.ours - self.published:+.{self.digits + 2}f}"
        values = [f"{value} {self.unit}".strip() for value in shown]
        off = f"{off} {'points' if self.unit == '%' else self.unit}".strip()
        return f"| {self.what} | {self.source} | {' | '.join(values)} | {off} |"


def reproduced(dosquet: Replayed, wetzel: Replayed) -> list[Number]:
    """Every number that a publication concludes and that its own tables let us conclude."""
    saved = dosquet.ranking.efficiency.sel(quantization="compressed").squeeze()
    joules = dosquet.tree["energy"].energy.squeeze().sum("component")
    grams = dosquet.carbon.emissions.squeeze()
    engines = wetzel.ranking.energy_per_token.squeeze()
    full = grams.sel(model="mistral-small-3", quantization="full")
    return [
        *(
            Number(
                f"energy of {replayed.MODELS[model]}, GPTQ 4 bit against full",
                DOSQUET,
                percent,
                -100 * float(saved.sel(model=model)),
                0,
                "%",
            )
            for model, percent in CHANGES.items()
        ),
        *(
            Number(
                f"energy of {replayed.MODELS[model]}, {version}, sum of components",
                DOSQUET,
                total,
                float(joules.sel(model=model, quantization=version)) / J_PER_KWH,
                4,
                "kWh",
            )
            for model, totals in TOTALS.items()
            for version, total in zip(VERSIONS, totals, strict=True)
        ),
        *(
            Number(
                f"CO₂e of Mistral-Small-3, full, in {zone}",
                DOSQUET,
                due,
                float(full.sel(zone=zone)),
                0,
                "g",
            )
            for zone, due in (("BE", 274), ("DE", 597), ("FR", 60))
        ),
        Number(
            "largest ratio of countries, DE over FR",
            DOSQUET,
            333.77 / 33.44,
            float(full.sel(zone="DE") / full.sel(zone="FR")),
            2,
        ),
        Number(
            "largest ratio of countries, India over Sweden",
            WETZEL,
            660 / 25,
            float(full.sel(zone="IN") / full.sel(zone="SE")),
            1,
        ),
        Number(
            "transformers over vLLM, energy of 7,500 prompts",
            WETZEL,
            4.7,
            float(engines.sel(engine="transformers") / engines.sel(engine="vllm")),
            1,
        ),
        Number("CO₂e of training BLOOM", "Luccioni 2022", 24.69, tonnes(433_196, 57), 2, "t"),
        Number("CO₂e of training GPT-3", "Patterson 2021", 552.1, tonnes(1_287_000, 429), 1, "t"),
    ]


def tonnes(kwh: float, intensity: float) -> float:
    return carbon.emissions_g(kwh * J_PER_KWH, intensity) / 1e6


@pytest.fixture(scope="module")
def dosquet(tmp_path_factory):
    return replayed.dosquet(tmp_path_factory.mktemp("dosquet"))


@pytest.fixture(scope="module")
def numbers(dosquet, tmp_path_factory):
    return reproduced(dosquet, replayed.wetzel(tmp_path_factory.mktemp("wetzel")))


def test_every_number_is_the_published_one_to_the_digits_it_is_given_with(numbers):
    assert len(numbers) == 20
    for number in numbers:
        # the sums of rounded components may differ by their last digit
        near = 1.1 if number.unit == "kWh" else 0.51
        assert number.ours == pytest.approx(number.published, abs=near * 10**-number.digits), number


def test_the_table_in_the_documentation_is_what_comes_out(numbers):
    rows = [line for line in PAGE.read_text().splitlines() if re.match(r"\| .* \| .*[+-]\d", line)]
    assert rows == [number.row for number in numbers]


def test_dosquets_shares_of_components(dosquet):
    """Of the published sums: quantizing takes from the GPU and gives to the CPU."""
    energy = dosquet.tree["energy"].energy.squeeze()
    share = 100 * energy / energy.sum("component")
    due = {
        ("llama-7b", "full"): [48.99, 31.53, 19.48],
        ("llama-7b", "compressed"): [64.08, 20.52, 15.40],
        ("mistral-small-3", "full"): [39.68, 44.69, 15.63],
        ("mistral-small-3", "compressed"): [57.94, 27.61, 14.45],
    }
    for (model, version), shares in due.items():
        found = share.sel(model=model, quantization=version).values
        assert found == pytest.approx(shares, abs=0.01)
    change = energy.sel(quantization="compressed") / energy.sel(quantization="full") - 1
    assert (change.sel(component="gpu") < 0).all()
    assert (change.sel(component="cpu") > 0.5).all()
    assert change.sel(component="ram").values == pytest.approx([0] * 4, abs=1e-9)


if __name__ == "__main__":
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        found = reproduced(replayed.dosquet(Path(one)), replayed.wetzel(Path(other)))
        print("\n".join(number.row for number in found))
