"""What a training has done so far, on disk: one that was killed goes on behind its last epoch.

.ID.part/kept/epoch-1/        the weights (or adapters) after epoch 1
.ID.part/kept/epoch-1.json    what the epoch gave and took; written last, so that it counts
.ID.part/taken/               the copy of a shorter training's, until it is whole
.ID.part/now.json             the epoch that is being trained: what it took so far
.ID.part/lost.json            epochs that were begun and never finished, and what they took
"""

import fcntl
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from joulegrid.errors import InputError
from joulegrid.jobs.weights import link_or_copy
from joulegrid.records import SCHEMA_VERSION, now, read_json, write_json

# What the trainer needs to go on and nobody else does; of the last epoch alone it is kept
STATE = ("optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state.pth", "training_args.bin")


class Progress:
    """The epochs of one training; made by `progress_of`."""

    def __init__(self, folder: Path):
        self.folder, self.kept = folder, folder / "kept"
        self.kept.mkdir(parents=True, exist_ok=True)
        # what the trainer was writing when it ended is of no use
        shutil.rmtree(self.run, ignore_errors=True)
        for path in self.kept.glob("epoch-*"):
            if path.is_dir() and not path.with_suffix(".json").exists():
                shutil.rmtree(path)
        self.lose()

    @property
    def run(self) -> Path:
        """Where the trainer may write."""
        return self.folder / "run"

    @property
    def epochs(self) -> list[dict[str, Any]]:
        """What every finished epoch gave and took, in their order."""
        return epochs_in(self.kept)

    @property
    def last(self) -> Path | None:
        """The folder of the last finished epoch, None before the first."""
        return epoch_folder(self.kept, len(self.epochs)) if self.epochs else None

    @property
    def lost(self) -> list[dict[str, Any]]:
        """Epochs that were begun and did not come to their end."""
        path = self.folder / "lost.json"
        return read_json(path)["epochs"] if path.exists() else []

    def once(self, name: str, work: Callable[[], Any]) -> Any:
        """What `work()` gives, kept under a name: a training that goes on asks for it again."""
        path = self.kept / f"{name}.json"
        if not path.exists():
            write_json(path, {"schema_version": SCHEMA_VERSION, "value": work()})
        return read_json(path)["value"]

    def known(self) -> dict[str, Any]:
        """What a training that ends early has kept of its `data` and of its first loss."""
        paths = {"data": self.kept / "data.json", "validation_loss": self.kept / "start.json"}
        return {name: read_json(path)["value"] for name, path in paths.items() if path.exists()}

    def take_over(self, shorter: Path) -> None:
        """Begin with the epochs of a shorter training, unless there are some already."""
        if self.epochs:
            return
        # beside: of a copy that is interrupted nothing may count
        copy = self.folder / "taken"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(
            shorter,
            copy,
            copy_function=link_or_copy,
            ignore=shutil.ignore_patterns("made.json"),
        )
        for number, epoch in enumerate(epochs_in(copy), start=1):
            shared = epoch.get("shared_with", shorter.name)
            write_json(_facts_of(copy, number), {**epoch, "shared_with": shared})
        shutil.rmtree(self.kept)
        os.rename(copy, self.kept)

    def note(self, epoch: int, facts: dict[str, Any]) -> None:
        """Say what the epoch that is being trained took so far."""
        write_json(
            self.folder / "now.json",
            {
                "schema_version": SCHEMA_VERSION,
                "epoch": epoch,
                "at": now(),
                "host": socket.gethostname(),
                **facts,
            },
        )

    def finish(self, epoch: int, weights: Path, facts: dict[str, Any], whole: bool) -> None:
        """Keep an epoch: from here on it counts.

        Parameters
        ----------
        weights
            the folder of its weights, which is moved.
        whole
            these are whole models: those of earlier epochs are deleted.
        """
        target = epoch_folder(self.kept, epoch)
        os.rename(weights, target)
        write_json(
            _facts_of(self.kept, epoch),
            {
                "schema_version": SCHEMA_VERSION,
                "epoch": epoch,
                "host": socket.gethostname(),
                **facts,
            },
        )
        (self.folder / "now.json").unlink(missing_ok=True)
        before = epoch_folder(self.kept, epoch - 1)
        for path in before.glob("*"):
            if whole or path.name in STATE:
                path.unlink()

    def spent(self) -> dict[str, Any]:
        """What the jobs of this training itself used, see `total`: its own epochs, and the lost
        ones.
        """
        own = [epoch for epoch in self.epochs if "shared_with" not in epoch]
        return total([*own, *(epoch["validation"] for epoch in own), *self.lost])

    def remove(self) -> None:
        """Delete all of it: what counts lies elsewhere now."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def lose(self, ended: str | None = None) -> None:
        """Give up the epoch that was being trained; what it took stays known. `ended` is the
        finding that ended it, None where it was interrupted.
        """
        path = self.folder / "now.json"
        if not path.exists():
            return
        found = read_json(path)
        if found["epoch"] > len(self.epochs):
            found |= {"ended": ended} if ended else {}
            kept = {"schema_version": SCHEMA_VERSION, "epochs": [*self.lost, found]}
            write_json(self.folder / "lost.json", kept)
        path.unlink()


@contextmanager
def progress_of(weights: str | Path) -> Iterator[Progress]:
    """The progress of the training whose weights go to the folder `weights`.

    Raises
    ------
    InputError
        where another job is training the same.
    """
    target = Path(weights).absolute()
    folder = target.parent / f".{target.name}.part"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{folder}: another job is training the same; run snakemake again when it has ended"
            ) from None
        yield Progress(folder)


def epoch_folder(kept: Path, epoch: int) -> Path:
    """Where the weights after an epoch (1, 2 …) lie in a folder of kept epochs."""
    return kept / f"epoch-{epoch}"


def epochs_in(kept: Path) -> list[dict[str, Any]]:
    """What every finished epoch gave and took, in their order."""
    found: list[dict[str, Any]] = []
    while (path := _facts_of(kept, len(found) + 1)).exists():
        found.append(read_json(path))
    return found


def total(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum of `seconds` and, by component, of `energy_j`; and, where there is some, each reason for
    which a part is `disturbed` or `wrong`, once.
    """
    joules: dict[str, float] = {}
    for part in parts:
        for name, value in part["energy_j"].items():
            joules[name] = joules.get(name, 0.0) + value
    reasons = {
        key: list(dict.fromkeys(why for part in parts for why in part.get(key, ())))
        for key in ("disturbed", "wrong")
    }
    found = {"seconds": sum(part["seconds"] for part in parts), "energy_j": joules}
    return {**found, **{key: told for key, told in reasons.items() if told}}


def _facts_of(kept: Path, epoch: int) -> Path:
    return kept / f"epoch-{epoch}.json"
