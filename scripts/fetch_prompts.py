"""Choose prompts, or rows, out of a data set and write them down, with what they come from."""

import json
from pathlib import Path

from joulegrid.jobs import run
from joulegrid.records import OK, sha256_file
from joulegrid.texts import sources


def main(arguments, spec):
    """Write --prompts, and a record {count, sha256, files, rows, suitable} of them."""
    made = run.begin("huggingface-hub", "pyarrow")
    found, facts = chosen(spec)
    target = Path(arguments.prompts)
    target.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) for row in found]
    temporary = target.with_name(f".{target.name}")
    temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    temporary.replace(target)
    own = {"status": OK, "count": len(found), "sha256": sha256_file(target)}
    run.write_record(arguments.output, spec, made, {**own, **facts})


def chosen(spec):
    """The rows of the file that is written, and what they come from."""
    if spec["kind"] == "rows":
        return sources.rows(spec["rows"])
    texts, facts = sources.prompts(spec["prompts"])
    return [{"prompt": text} for text in texts], facts


if __name__ == "__main__":
    run.run(main, "prompts", "output")
