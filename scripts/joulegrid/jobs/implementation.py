"""From a method's name in a study to the module that implements it: the same name, with _ for -."""

from importlib import import_module
from types import ModuleType


def implementation(room: str, method: str) -> ModuleType:
    """The module of `method` in a room such as `quality` or `compression.pruning`."""
    return import_module(f"joulegrid.{room}.{method.replace('-', '_')}")
