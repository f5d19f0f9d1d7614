"""A model of the Hugging Face hub at a pinned revision: safetensors, configuration and tokenizer,
no code. And the files of a data set.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from joulegrid.errors import InputError
from joulegrid.jobs.run import say
from joulegrid.jobs.weights import link_files
from joulegrid.models import PATTERNS
from joulegrid.models.files import weight_files


def fetch(entry: dict, folder: Path) -> None:
    """Links in `folder` to `entry["hub"]` at `entry["revision"]` in the hub's cache, downloaded
    where it is not there.

    The cache is Hugging Face's own (`HF_HOME`), shared with every other program. A model that lies
    there whole is
    taken without asking the network. The token comes from the environment variable HF_TOKEN (or the
    hub's own login)
    and is never written anywhere.

    Raises
    ------
    InputError
        where the model or revision does not exist, is gated, or the hub cannot be reached.
    """
    name, revision = entry["hub"], entry["revision"]
    snapshot = _in_cache(name, revision) or _download(name, revision)
    link_files(
        [path for path in sorted(snapshot.iterdir()) if any(map(path.match, PATTERNS))], folder
    )


def _in_cache(name: str, revision: str) -> Path | None:
    """The snapshot in the cache, None where it or a file of its weights is not there."""
    try:
        found = Path(snapshot_download(name, revision=revision, local_files_only=True))
        weight_files(found)
    except (LocalEntryNotFoundError, InputError):
        return None
    whole = (found / "config.json").is_file() and any(map(Path.is_file, found.glob("tokenizer*")))
    if whole:
        say(f"{name} lies in the cache already: {found}")
    return found if whole else None


def data_set(name: str, revision: str, files: str) -> Path:
    """The folder of a data set in the hub's cache, with those of its files that match `files`.

    Raises
    ------
    InputError
        as `fetch` does.
    """
    return _download(name, revision, [files], "dataset")


def _download(
    name: str, revision: str, patterns: Sequence[str] = PATTERNS, kind: str = "model"
) -> Path:
    thing = {"model": "model", "dataset": "data set"}[kind]
    try:
        return Path(
            snapshot_download(
                name,
                repo_type=kind,
                revision=revision,
                allow_patterns=list(patterns),
                token=os.environ.get("HF_TOKEN") or None,
            )
        )
    except GatedRepoError:
        raise InputError(
            f"{name}: the {thing} is gated: accept its terms on its page, then put a token in the "
            "environment: "
            "export HF_TOKEN=…"
        ) from None
    except RevisionNotFoundError:
        raise InputError(
            f"{name}: no revision {revision}; take a commit from the {thing}'s page"
        ) from None
    except RepositoryNotFoundError:
        raise InputError(
            f"{name}: no such {thing} on the hub, or a private one: check the name, or export "
            "HF_TOKEN=…"
        ) from None
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{name}: the hub cannot be reached from here ({reason}) and the {thing} is not in the "
            "cache (HF_HOME); "
            "where there is no internet, bring it there, or name its folder with path:"
        ) from None
