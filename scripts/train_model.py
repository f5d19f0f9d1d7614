"""Fine-tune a model, epoch by epoch, and keep what every epoch gave and took."""

from pathlib import Path

import torch

from joulegrid.errors import InputError, Terminated
from joulegrid.jobs import devices, run, weights
from joulegrid.jobs.outcomes import outcome_from
from joulegrid.jobs.progress import progress_of, total
from joulegrid.metering.meter import Meter
from joulegrid.metering.stopwatch import Stopwatch
from joulegrid.records import OK
from joulegrid.training.tuning import tune

PACKAGES = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "codecarbon")


def main(arguments, spec):
    """Write loss, energy, time and memory of every epoch, and what was lost by interruptions; or
    why there is no training here.
    """
    made = run.begin(*PACKAGES)
    run.shelter()
    with progress_of(arguments.weights) as progress:
        before = progress.spent()["seconds"]
        try:
            with run.terminable():
                record = trained(arguments, spec, progress)
        except Terminated as error:
            there, wanted = len(progress.epochs), spec["training"]["epochs"]
            raise InputError(
                f"{error}: {there} of {wanted} epochs are kept; run snakemake again"
            ) from None
        run.write_record(arguments.output, spec, made, record, before)
        progress.remove()


def trained(arguments, spec, progress):
    """The record; the weights are those of `arguments` then."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    memory = devices.free_memory(device == "cuda")
    if arguments.shorter:
        progress.take_over(Path(arguments.shorter))
    watch = Stopwatch(Meter("machine", {"device": device}))
    source = Path(arguments.source)
    run.say(f"training {source} on {device}: {spec['training']}")
    try:
        result = outcome_from(
            source, lambda: tune(source, progress, spec["training"], device, watch), memory
        )
    finally:
        watch.close()
    progress.lose(None if result["status"] == OK else result["status"])
    facts = told(progress, watch.meter)
    weights.seal(progress.kept, result)
    weights.duplicate(progress.kept, Path(arguments.weights))
    return {"device": devices.describe(), **facts, **result}


def told(progress, meter):
    """What the epochs gave and took, and what the jobs used. `cost` is what these weights took,
    epochs that another training shares included; `used` what was used here, lost epochs included.
    """
    epochs = progress.epochs
    taken = [part for epoch in epochs for part in (epoch, epoch["validation"])]
    found, lost = (
        [{key: epoch[key] for key in epoch if key != "schema_version"} for epoch in each]
        for each in (epochs, progress.lost)
    )
    return {
        "bytes": sum(
            path.stat().st_size for path in (progress.last or progress.run).glob("*.safetensors")
        ),
        "epochs": found,
        "lost": lost,
        "components": meter.basis,
        "cost": {**total(taken), "basis": meter.basis},
        "used": progress.spent(),
        **progress.known(),
    }


if __name__ == "__main__":
    run.run(main, "source", "weights", "output", optional=("shorter",))
