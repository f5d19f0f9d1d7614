"""A model of the Hugging Face hub at a pinned revision: safetensors, configuration and tokenizer, no code."""

import os
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from joulegrid.records import InputError

# consolidated.safetensors holds the same weights once more, in another program's format
FILES = ["model*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]


def fetch(entry: dict, folder: Path) -> Path:
    """Download `entry["hub"]` at `entry["revision"]` into `folder`; what is there already is not fetched again.

    The token comes from the environment variable HF_TOKEN (or the hub's own login) and is never written anywhere.

    Raises
    ------
    InputError
        where the model or revision does not exist, is gated, or the hub cannot be reached.
    """
    name, revision = entry["hub"], entry["revision"]
    folder = folder / revision  # files of another revision must not lie among these
    try:
        snapshot_download(
            name,
            revision=revision,
            local_dir=folder,
            allow_patterns=FILES,
            token=os.environ.get("HF_TOKEN") or None,
        )
    except GatedRepoError:
        raise InputError(
            f"{name}: the model is gated: accept its terms on its page, then put a token in the environment: "
            "export HF_TOKEN=…"
        ) from None
    except RevisionNotFoundError:
        raise InputError(f"{name}: no revision {revision}; take a commit from the model's page") from None
    except RepositoryNotFoundError:
        raise InputError(
            f"{name}: no such model on the hub, or a private one: check the name, or export HF_TOKEN=…"
        ) from None
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{name}: the hub cannot be reached from here ({reason}); where there is no internet, fetch the model "
            "elsewhere and name its folder with path:"
        ) from None
    return folder
