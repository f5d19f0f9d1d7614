"""What a model folder holds, by a hash that is cheap: the same where it is planned and where it is
used.

Importable in every environment: the standard library only.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

from joulegrid.errors import InputError
from joulegrid.models import PATTERNS
from joulegrid.records import digest, sha256_file

# The tokenizer of models of random weights, relative to the repository
TOKENIZER = "config/models/tokenizer"
# Our own list of what a folder of weights holds; it is no part of a model
MANIFEST = "made.json"
# Files up to this size are hashed whole, larger ones by samples of every tensor
WHOLE = 1 << 20
SAMPLE = 4096


def data_files(folder: Path) -> list[Path]:
    """The files of a model folder that are taken, sorted: a README beside them makes no other
    model.
    """
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != MANIFEST and any(map(path.match, PATTERNS))
    ]


def content_hash(folder: Path) -> str:
    """Small files whole; of large ones size and a sample of every tensor, since 60 GB at every
    dry-run would not do.

    A change that leaves name, size and 4 KiB in the middle of every tensor as they are is not seen.
    """
    return digest(
        [
            [p.name, p.stat().st_size, sha256_file(p) if p.stat().st_size <= WHOLE else _sampled(p)]
            for p in data_files(folder)
        ]
    )


def _sampled(path: Path) -> str:
    hashed = hashlib.sha256()
    with open(path, "rb") as stream:
        for offset, length in _places(path, stream.read(8)):
            hashed.update(os.pread(stream.fileno(), length, offset))
    return hashed.hexdigest()


def _places(path: Path, start: bytes) -> Iterator[tuple[int, int]]:
    """(offset, length) of what is hashed: of a safetensors file its header and the middle of every
    tensor.
    """
    size = path.stat().st_size
    length = int.from_bytes(start, "little")
    if path.suffix != ".safetensors" or length > min(size, 1 << 28):
        step = max(math.ceil(size / 256), SAMPLE)
        yield from ((offset, SAMPLE) for offset in range(0, size, step))
        return
    yield 0, 8 + length
    with open(path, "rb") as stream:
        stream.seek(8)
        try:
            tensors = json.loads(stream.read(length)).values()
            bounds = [tensor["data_offsets"] for tensor in tensors if "data_offsets" in tensor]
            middles = [(int(begin) + int(end)) // 2 for begin, end in bounds]
        except (ValueError, TypeError, AttributeError):
            raise InputError(f"{path}: not a safetensors file") from None
    yield from ((8 + length + middle, SAMPLE) for middle in middles)
