"""The definitions of joulegrid that a computation uses, found in the source without running it.

A definition is a function, a class or a constant at the top of a module. Starting from the
functions that a job calls, every name that a definition mentions is followed to the definition
behind it. What is kept of one is its syntax tree without what computes nothing: comments,
docstrings, annotations, the text of raised errors, progress that is printed.
"""

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple, Self

from joulegrid.errors import InputError
from joulegrid.records import ROOT
from joulegrid.study.syntax import (
    FACTS,
    bound,
    canonical,
    clean,
    collect,
    is_text,
    names_and_imports,
)

SCRIPTS = ROOT / "scripts"
PACKAGE = "joulegrid"
# Rooms that carry, check and describe results. Nothing there computes a number of a record, none of
# it is ever hashed.
PLUMBING = (
    "joulegrid.errors",
    "joulegrid.records",
    "joulegrid.jobs",
    "joulegrid.models.content",
    "joulegrid.models.describe",
    "joulegrid.models.package_index",
    "joulegrid.compression.verification",
    "joulegrid.engines.transformers.facts",
    "joulegrid.engines.vllm.facts",
    "joulegrid.judging.budget",
    "joulegrid.judging.client",
    "joulegrid.judging.replies",
    "joulegrid.judging.waiting",
)


@dataclass(frozen=True)
class Code:
    """What a computation uses: `module:name` -> digest of each definition, and the packages that
    they import.
    """

    definitions: dict[str, str]
    imports: frozenset[str]


def is_plumbing(module: str) -> bool:
    """Whether a module is never hashed."""
    return any(module == room or module.startswith(f"{room}.") for room in PLUMBING)


class Source:
    """The source files of joulegrid, each read once."""

    def __init__(self, folder: Path = SCRIPTS):
        self.folder = folder
        self._modules: dict[str, _Module | None] = {}

    def module(self, name: str) -> "_Module | None":
        """A module, None where there is none of that name."""
        if name not in self._modules:
            base = self.folder.joinpath(*name.split("."))
            paths = [
                path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()
            ]
            found = [_module(name, path, path.read_text(encoding="utf-8")) for path in paths[:1]]
            self._modules[name] = found[0] if found else None
        return self._modules[name]

    def used_by(self, roots: Iterable[str]) -> Code:
        """All definitions that the `module:name` in `roots` use, directly or not.

        Raises
        ------
        InputError
            where a root is no definition, or a module mentions one that does not exist.
        """
        definitions: dict[str, str] = {}
        imports: set[str] = set()
        todo = [self._root(root) for root in roots]
        while todo:
            module, name = todo.pop()
            key = f"{module.name}:{name}"
            if key in definitions:
                continue
            definitions[key], mentions = module.read(name)
            for alias, attributes in mentions:
                for found in self._behind(module, alias, attributes):
                    if isinstance(found, str):
                        imports.add(found)
                    else:
                        todo.append(found)
            todo += [(parent, EFFECTS) for parent in self._with_effects(module.name)]
            imports |= module.imported_for_effect
        return Code(dict(sorted(definitions.items())), frozenset(imports))

    def _root(self, root: str) -> "tuple[_Module, str]":
        name, _, definition = root.partition(":")
        module = self.module(name)
        if module is None:
            raise InputError(f"joulegrid has no module {name}")
        target = self._definition(module, definition)
        if target is None:
            raise InputError(f"{name} has no {definition}")
        return target

    def _definition(self, module: "_Module", name: str) -> "tuple[_Module, str] | None":
        """The definition called `name` in a module, also if that took it from another one."""
        if name in module.definitions:
            return module, name
        if name in module.imports:
            origin, attribute = module.imports[name]
            there = self.module(origin)
            return self._definition(there, attribute) if there and attribute else None
        return None

    def _with_effects(self, name: str) -> "Iterator[_Module]":
        """The module and the packages above it, where importing them does something."""
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            module = self.module(".".join(parts[:depth]))
            if module is not None and EFFECTS in module.definitions:
                yield module

    def _behind(
        self, module: "_Module", alias: str, attributes: list[str]
    ) -> "Iterator[tuple[_Module, str] | str]":
        """What a name mentioned in a module stands for: definitions of joulegrid, or an imported
        package.
        """
        if alias in module.definitions:
            yield from () if alias in FACTS else ((module, alias),)
            return
        if alias not in module.imports:
            return  # a local name, a builtin
        origin, name = module.imports[alias]
        if origin.split(".")[0] != PACKAGE:
            if origin.split(".")[0] not in sys.stdlib_module_names:
                yield origin.split(".")[0]
            return
        path = [*([name] if name else []), *attributes]
        there = self.module(origin)
        while path and self.module(f"{origin}.{path[0]}") is not None:
            origin = f"{origin}.{path.pop(0)}"
            there = self.module(origin)
        if there is None:
            raise InputError(f"{module.path}: imports {origin}, which is no file")
        if is_plumbing(origin) or (path and path[0] in FACTS):
            return
        if not path:  # the module itself is passed on: anything in it may be used
            yield from ((there, each) for each in there.definitions if each not in FACTS)
            return
        target = self._definition(there, path[0])
        if target is not None:
            yield from () if is_plumbing(target[0].name) else (target,)
        elif path[0] in there.imports:
            yield from self._behind(there, path[0], path[1:])
        else:
            raise InputError(f"{module.path}: mentions {origin}.{path[0]}, which does not exist")


EFFECTS = "(import)"


class _Definition(NamedTuple):
    """The digest of a definition, and (name, attributes behind it) of all that it mentions."""

    digest: str
    mentions: list[tuple[str, list[str]]]

    @classmethod
    def of(cls, statements: list[ast.stmt], plumbing: set[str]) -> Self:
        """Without what computes nothing; `plumbing`: names that lead to plumbing."""
        cleaned = [clean(each, plumbing) for each in statements]
        mentions: list[tuple[str, list[str]]] = []
        for statement in cleaned:
            collect(statement, mentions)
        return cls(hashlib.sha256(canonical(cleaned).encode()).hexdigest()[:12], mentions)


@dataclass
class _Module:
    name: str
    path: Path
    text: str
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    _read: dict[str, "_Definition"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            tree = ast.parse(self.text)
        except SyntaxError as error:
            raise InputError(f"{self.path}:{error.lineno}: {error.msg}") from None
        self._names, imports = names_and_imports(tree)
        for node in imports:
            self._note_import(node)
        for statement in tree.body:
            self._note_definition(statement)

    def _note_import(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            for item in node.names:
                whole = item.name if item.asname else item.name.split(".")[0]
                self.imports[item.asname or whole] = (whole, None)
        elif node.level or node.module is None or node.names[0].name == "*":
            raise InputError(
                f"{self.path}:{node.lineno}: import names, absolutely: they are followed"
            )
        else:
            for item in node.names:
                self.imports[item.asname or item.name] = (node.module, item.name)

    @cached_property
    def _plumbing_names(self) -> set[str]:
        return {
            alias
            for alias, (origin, name) in self.imports.items()
            if is_plumbing(origin) or (name and is_plumbing(f"{origin}.{name}"))
        }

    def _note_definition(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Import | ast.ImportFrom) or is_text(statement):
            return
        names = bound(statement)
        for name in names or [EFFECTS]:
            self.definitions.setdefault(name, []).append(statement)

    @cached_property
    def imported_for_effect(self) -> frozenset[str]:
        """Packages that no name mentions: they are imported because they are needed or their
        version counts.
        """
        roots = {
            origin.split(".")[0] for a, (origin, _) in self.imports.items() if a not in self._names
        }
        return frozenset(roots - {PACKAGE} - set(sys.stdlib_module_names))

    def read(self, name: str) -> "_Definition":
        """A definition as it computes; read when it is first asked for: many never are, others by
        many jobs.
        """
        if name not in self._read:
            self._read[name] = _Definition.of(self.definitions[name], self._plumbing_names)
        return self._read[name]


# Parsed once for all that ask in this process: the jobs of a study and its conclusions share most
@lru_cache(maxsize=512)
def _module(name: str, path: Path, text: str) -> _Module:
    return _Module(name, path, text)
