"""The weight files of a model folder, and what their headers say; no weight is loaded."""

from pathlib import Path
from typing import Any

from huggingface_hub import get_local_safetensors_metadata
from huggingface_hub.errors import NotASafetensorsRepoError, SafetensorsParsingError

from joulegrid.errors import InputError
from joulegrid.models import GGUF

PICKLES = (".bin", ".pt", ".pth", ".gguf")


def safetensors_of(folder: Path) -> Any:
    """What huggingface_hub reads from the headers of the safetensors that transformers loads.

    Raises
    ------
    InputError
        where there are none, or one is damaged or gone. Pickled weights can run code and are not
        accepted.
    """
    try:
        return get_local_safetensors_metadata(folder)
    except NotASafetensorsRepoError:
        found = sorted(path.name for path in folder.glob("*") if path.suffix in PICKLES)
        raise InputError(
            f"{folder}: no model.safetensors there"
            + (f" (found {', '.join(found[:3])})" if found else "")
            + "; joulegrid loads safetensors only"
        ) from None
    except FileNotFoundError as error:
        lost = Path(str(error.filename or error)).name
        raise InputError(
            f"{folder}: {lost} is named in the index and not there; fetch the model again"
        ) from None
    except (SafetensorsParsingError, ValueError) as error:
        raise InputError(
            f"{folder}: not a safetensors file ({error}); fetch the model again"
        ) from None


def weight_files(folder: Path) -> list[Path]:
    """The safetensors that transformers loads: those of the index, or model.safetensors."""
    return [folder / name for name in sorted(safetensors_of(folder).files_metadata)]


def dtypes_of(folder: Path) -> set[str]:
    """The data types of the stored tensors, as safetensors names them: F32, BF16 …"""
    return set(safetensors_of(folder).parameter_count)


def stored_bytes(folder: Path) -> int:
    """The size of the weight files: of model.gguf, or of the safetensors."""
    single = folder / GGUF
    return sum(
        path.stat().st_size for path in ([single] if single.is_file() else weight_files(folder))
    )
