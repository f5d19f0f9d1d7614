"""The data of a training: both parts as token ids, and what there is to say of them."""

from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from joulegrid.errors import InputError
from joulegrid.texts.rows import parts_of
from joulegrid.training.batches import IGNORED, Tokens, fitting, packed, tokens_of

# Of the lengths of samples in tokens
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


class Data(NamedTuple):
    """Rows to train on (packed if wanted), samples to validate with, and facts for the record."""

    training: list[Tokens]
    validation: list[Tokens]
    facts: dict[str, Any]


def load(entry: dict[str, Any], tokenizer: Any, context: int | None) -> Data:
    """Read, split, tokenize and pack the data set of a training entry.

    Parameters
    ----------
    context
        the longest sequence of the model, None where it is not known.

    Raises
    ------
    InputError
        where the model is made for shorter sequences than are asked for, or the data cannot be
        used.
    """
    name, longest = entry["data"]["file"]["path"], entry["sequence_length"]
    if context and longest > context:
        raise InputError(f"sequence_length: got {longest}; the model's context is {context} tokens")
    parts, dropped = parts_of(entry["data"], entry["seed"])
    tokenized = [[tokens_of(sample, tokenizer, entry) for sample in part] for part in parts]
    lengths = [len(each["input_ids"]) for part in tokenized for each in part]
    kept, counts = [], Counter(dropped)
    for which, part in zip(("training", "validation"), tokenized, strict=True):
        try:
            found, more = fitting(part, longest, entry["too_long"])
        except InputError as error:
            raise InputError(f"{name}, {which} samples: {error}") from None
        kept.append(found)
        counts += more
    training, validation = kept
    facts = {
        "training_samples": len(training),
        "validation_samples": len(validation),
        "counted": {reason: count for reason, count in sorted(counts.items()) if count},
        "tokens": sum(len(each["input_ids"]) for each in training),
        "answer_tokens": _labels(training),
        "validation_answer_tokens": _labels(validation),
        "quantiles": list(QUANTILES),
        "sample_tokens": [float(value) for value in np.quantile(lengths, QUANTILES)],
    }
    rows = packed(training, longest) if entry["packing"] else training
    return Data(rows, validation, {**facts, "training_rows": len(rows)})


def _labels(samples: list[Tokens]) -> int:
    return sum(label != IGNORED for each in samples for label in each["labels"])
