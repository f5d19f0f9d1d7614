"""Tasks of questions: as an entry of a study's quality, and as a job gets one."""

import json

# An entry of a study; more keys and other metrics are for the tests to say
SAF = {
    "method": "generation",
    "data": "config/data/saf/questions.jsonl",
    "template": "{question}",
    "new_tokens": 8,
    "metrics": ["form"],
}


def task(folder, *rows, between="\n", **changes):
    """What a job that answers is told of these rows, which lie in a file of the folder then.

    Parameters
    ----------
    between
        what stands between two rows.
    changes
        keys that are other ones, or more.
    """
    path = folder / "questions.jsonl"
    path.write_text(between.join(map(json.dumps, rows)), encoding="utf-8")
    return {
        "data": {"path": str(path)},
        "template": "{prompt}",
        "reference": "reference",
        "new_tokens": 12,
        "chat": False,
        "too_long": "skip",
        **changes,
    }
