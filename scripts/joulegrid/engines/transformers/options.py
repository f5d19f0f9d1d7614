"""What else the entry of a study decides: attention, the KV cache, compiled code."""

from typing import Any

from transformers import CompileConfig

from joulegrid.errors import Unsupported


def set_attention(model: Any, name: str) -> None:
    """Let a model compute attention by another implementation.

    Raises
    ------
    Unsupported
        where its package is not installed, or the model does not know it.
    """
    try:
        model.set_attn_implementation(name)
    except (ImportError, ValueError) as error:
        raise Unsupported(f"attention {name}: {' '.join(str(error).split())}") from None
    # transformers warns, and goes on with another one
    if model.config._attn_implementation != name:
        raise Unsupported(f"{type(model).__name__} does not compute attention by {name}")


def decoding(model: Any, options: dict) -> dict[str, Any]:
    """What generate() is told of the cache and of compiling.

    Raises
    ------
    Unsupported
        where weights of such a quantization cannot be compiled.
    """
    if options.get("cache", "dynamic") == "dynamic":
        return {}
    if not options.get("compile"):
        # generate() compiles by itself on GPUs
        return {"cache_implementation": "static", "disable_compile": True}
    quantizer = getattr(model, "hf_quantizer", None)
    if quantizer is not None and not quantizer.is_compileable:
        raise Unsupported(f"compile: {type(quantizer).__name__} of transformers cannot be compiled")
    config = CompileConfig()
    config._compile_all_devices = True
    return {"cache_implementation": "static", "compile_config": config}
