"""From a study's entry to the module that implements it: the method's name is the module's name, with _ for -."""

from importlib import import_module
from types import ModuleType

MODEL_SOURCES = ("hub", "path", "wheel")


def module_name(room: str, method: str) -> str:
    """The module of `method` in one of the rooms models, training, compression, loading, engines, quality."""
    return f"joulegrid.{room}.{method.replace('-', '_')}"


def implementation(room: str, method: str) -> ModuleType:
    return import_module(module_name(room, method))


def model_source(entry: dict) -> str:
    """Where a model entry takes its model from; the schema sees to it that it is one of these."""
    return next(key for key in MODEL_SOURCES if key in entry)
