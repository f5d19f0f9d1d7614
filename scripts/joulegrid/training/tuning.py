"""Fine-tuning by the Trainer of transformers: epochs that are metered, kept and gone on from.

What is computed here decides what the weights are. Metering and files are the callers': an object
with `start`, `so_far`, `stop` and `measure` meters, a `jobs.progress.Progress` keeps epochs.
"""

import math
import time
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoTokenizer,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from joulegrid.errors import Diverged, Terminated
from joulegrid.jobs.devices import peak_memory
from joulegrid.jobs.progress import Progress
from joulegrid.jobs.run import say
from joulegrid.models.context import context_of
from joulegrid.training.base import prepared
from joulegrid.training.batches import collator, mean_loss, padding_of, sound
from joulegrid.training.data import load

# How long a training computes before it writes down again what its epoch took so far: seconds, and
# the share of a long epoch, of which all samples are gone through for it
NOTED_EVERY_S, NOTED_EVERY_SHARE = 5.0, 0.02


def tune(
    source: Path, progress: Progress, entry: dict[str, Any], device: str, watch: Any
) -> dict[str, Any]:
    """Train the epochs of an entry that `progress` does not have yet.

    Parameters
    ----------
    source
        the folder of the model.
    entry
        the training of a study, with one number of epochs.
    watch
        what meters.

    Returns
    -------
    data
        facts of the data, see `training.data.load`; `progress` keeps them for a training that ends
        early.
    validation_loss
        before the first step, nats per token.
    steps
        per epoch.
    trainable_parameters
        how many weights are trained.

    Raises
    ------
    Diverged
        where a loss is no number; the epochs before are kept.
    InputError
        where the data cannot be used; see `training.data.load`.
    """
    tokenizer = AutoTokenizer.from_pretrained(source)
    data = load(entry, tokenizer, context_of(AutoConfig.from_pretrained(source)))
    set_seed(entry["seed"])
    model = prepared(source, entry, device)
    facts = progress.once("data", lambda: data.facts)
    collate = collator(padding_of(tokenizer))

    def validate() -> float:
        return mean_loss(model, data.validation, entry["batch_size"], collate)

    before = progress.once("start", lambda: sound(validate()))
    epochs = _Epochs(progress, watch, entry, facts, validate)
    trainer = Trainer(
        model=model,
        args=_arguments(progress.run, entry, device),
        train_dataset=data.training,
        data_collator=collate,
        callbacks=[epochs],
    )
    trainer.remove_callback(PrinterCallback)
    if len(progress.epochs) < entry["epochs"]:
        try:
            trainer.train(resume_from_checkpoint=str(progress.last) if progress.last else None)
        except Terminated:
            epochs.note_last()
            raise
    batches = math.ceil(len(data.training) / entry["batch_size"])
    return {
        "data": facts,
        "validation_loss": before,
        "steps": math.ceil(batches / entry["accumulation"]),
        "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }


def _arguments(folder: Path, entry: dict[str, Any], device: str) -> TrainingArguments:
    half = entry.get("compute_dtype", entry["precision"])
    schedule, warmup = entry["schedule"], entry["warmup_steps"]
    if schedule == "constant" and warmup:
        schedule = "constant_with_warmup"
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=entry["epochs"],
        per_device_train_batch_size=entry["batch_size"],
        gradient_accumulation_steps=entry["accumulation"],
        learning_rate=entry["learning_rate"],
        lr_scheduler_type=schedule,
        warmup_steps=warmup,
        weight_decay=entry["weight_decay"],
        max_grad_norm=entry["max_grad_norm"],
        optim="adamw_torch",
        bf16=half == "bfloat16",
        fp16=half == "float16",
        seed=entry["seed"],
        data_seed=entry["seed"],
        save_strategy="epoch",
        logging_steps=1,
        # a loss that is no number ends the training here; the Trainer would hide it
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        use_cpu=device == "cpu",
        dataloader_pin_memory=device != "cpu",
        remove_unused_columns=False,
    )


class _Epochs(TrainerCallback):
    """Meters every epoch, validates behind it, and keeps both when the Trainer has saved it."""

    def __init__(
        self,
        progress: Progress,
        watch: Any,
        entry: dict[str, Any],
        data: dict[str, Any],
        validate: Any,
    ):
        self.progress, self.watch, self.entry = progress, watch, entry
        self.data, self.validate = data, validate
        self.losses: list[float] = []
        self.reading: dict[str, Any] = {}
        self.number, self.begun, self.noted, self.under_way = 0, 0.0, 0.0, False
        self.steps = 0

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.number, self.losses, self.steps = round(state.epoch or 0) + 1, [], 0
        for board in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(board)
        self.watch.start()
        self.under_way, self.begun = True, time.monotonic()
        self._note()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if "loss" in logs:
            self._require(logs["loss"], state.global_step)
            self.losses.append(logs["loss"])

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.steps += 1
        self._note_at_times()

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._note_at_times()  # a step of many accumulated batches may take minutes

    def _note_at_times(self) -> None:
        now = time.monotonic()
        if now - self.noted >= max(NOTED_EVERY_S, NOTED_EVERY_SHARE * (now - self.begun)):
            self._note()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._note()
        self.under_way = False
        self.reading = self.watch.stop()

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        loss, validation = self.watch.measure(self.validate)
        self._require(loss, state.global_step)
        seconds = self.reading["seconds"]
        facts = {
            **self.reading,
            "training_loss": sum(self.losses) / len(self.losses),
            "validation_loss": loss,
            "validation": validation,
            "tokens_per_s": self.data["tokens"] / seconds,
            "memory_bytes": _peaks(),
        }
        weights = self.progress.run / f"checkpoint-{state.global_step}"
        self.progress.finish(self.number, weights, facts, self.entry["method"] == "full")
        say(
            f"epoch {self.number}: training loss {facts['training_loss']:.4f}, validation loss "
            f"{loss:.4f}, {seconds:.1f} s, {sum(facts['energy_j'].values()):.0f} J"
        )

    def note_last(self) -> None:
        """Say what the epoch took that ends before its end."""
        if self.under_way:
            self._note()

    def _note(self) -> None:
        self.noted = time.monotonic()
        self.progress.note(self.number, {**self.watch.so_far(), "steps": self.steps})

    def _require(self, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            raise Diverged(
                f"the loss at step {step} is {loss}; {len(self.progress.epochs)} epochs are kept; "
                "lower learning_rate"
            )


def _peaks() -> dict[str, int]:
    boards = range(torch.cuda.device_count())
    gpu = sum(torch.cuda.max_memory_allocated(board) for board in boards)
    return {"ram": peak_memory(), **({"gpu": gpu} if boards else {})}
