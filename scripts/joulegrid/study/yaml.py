"""Read YAML strictly: a key that stands twice is an error, not the last one that wins."""

from pathlib import Path
from typing import Any

import yaml

from joulegrid.errors import InputError


def read_yaml(path: str | Path) -> Any:
    """The content of a YAML file.

    Raises
    ------
    InputError
        with file and line where the file is missing, malformed or has a duplicate key.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            return yaml.load(stream, Loader=_Strict)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a text file in UTF-8 ({error})") from None
    except _DuplicateKey as error:
        raise InputError(f"{path}:{error}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from None


class _DuplicateKey(Exception):
    pass


class _Strict(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader, in C where there is one, that refuses duplicate keys."""


def _mapping(loader: _Strict, node: yaml.MappingNode) -> dict:
    seen: dict[Any, int] = {}
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue  # <<: another mapping's keys, which this one's override
        key, line = loader.construct_object(key_node, deep=True), key_node.start_mark.line + 1
        if key in seen:
            raise _DuplicateKey(
                f"{line}: the key {key!r} stands twice here (first in line {seen[key]}); labels "
                "and "
                "keys are unique, rename or delete one"
            )
        seen[key] = line
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
