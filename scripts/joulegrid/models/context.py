"""The longest sequence that a model is made for, out of its configuration.

Importable in every environment: the standard library only.
"""

from typing import Any

# The names that architectures give to it
KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")


def context_of(config: Any) -> int | None:
    """The longest sequence in tokens, None where the configuration does not say.

    Models of several modalities keep it in the configuration of their text part.

    Parameters
    ----------
    config
        what config.json holds, or what transformers makes of it.
    """
    for part in (_text_part(config), config):
        for key in KEYS:
            length = _value(part, key)
            if isinstance(length, int) and length > 0:
                return length
    return None


def _text_part(config: Any) -> Any:
    if hasattr(config, "get_text_config"):
        return config.get_text_config()
    return _value(config, "text_config")


def _value(config: Any, key: str) -> Any:
    return config.get(key) if isinstance(config, dict) else getattr(config, key, None)
