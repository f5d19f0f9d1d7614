"""The model that a training changes: loaded in its precision, with adapters where it has some."""

from pathlib import Path
from typing import Any

import accelerate  # noqa: F401, the Trainer runs on it
import bitsandbytes  # noqa: F401, its version determines what 8 and 4 bits are
import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from joulegrid.compression.modules import linear_layers
from joulegrid.errors import Diverged, Unsupported


def prepared(source: Path, entry: dict[str, Any], device: str) -> Any:
    """The model to train, on the device; on several GPUs its layers are spread over them.

    Full fine-tuning holds float32 weights also where it computes in 16 bits. LoRA (Hu et al. 2021)
    freezes the base in the precision of the entry and holds float32 adapters; QLoRA (Dettmers et
    al. 2023, arXiv 2305.14314) freezes one that bitsandbytes quantizes to 8 or 4 bits.

    Raises
    ------
    Unsupported
        where the device has no such precision.
    InputError
        where a pattern of `target_modules` matches no linear layer.
    """
    if device == "cpu" and "float16" in (entry["precision"], entry.get("compute_dtype")):
        raise Unsupported("training in float16 needs a GPU: on CPUs there is no gradient scaling")
    model = AutoModelForCausalLM.from_pretrained(
        source, device_map="auto" if device == "cuda" else "cpu", **_precision(entry)
    )
    model.config.use_cache = False
    if entry["method"] == "full":
        return model.requires_grad_(True)
    if entry["method"] == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    names = sorted(linear_layers(model, entry.get("target_modules")))
    return get_peft_model(
        model,
        LoraConfig(
            r=entry["rank"],
            lora_alpha=entry["alpha"],
            lora_dropout=entry["dropout"],
            target_modules=names,
            task_type="CAUSAL_LM",
        ),
    )


def _precision(entry: dict[str, Any]) -> dict[str, Any]:
    if entry["method"] == "full":
        return {"dtype": torch.float32}
    if entry["method"] == "lora":
        return {"dtype": getattr(torch, entry["precision"])}
    dtype = getattr(torch, entry["compute_dtype"])
    if entry["precision"] == "int8":
        return {"dtype": dtype, "quantization_config": BitsAndBytesConfig(load_in_8bit=True)}
    return {
        "dtype": dtype,
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=entry["precision"],
            bnb_4bit_compute_dtype=dtype,
            bnb_4bit_use_double_quant=entry["double_quantization"],
        ),
    }


def merged(base: Path, adapters: Path) -> Any:
    """The model in `base` in float32, in main memory, with adapters added to its weights.

    Raises
    ------
    Diverged
        where the sum is no number.
    """
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    try:
        return PeftModel.from_pretrained(model, str(adapters)).merge_and_unload(safe_merge=True)
    except ValueError as error:
        if "NaNs" not in str(error):  # what peft says of sums that are none
            raise
        raise Diverged(f"base and adapters add up to no number: {error}") from None
