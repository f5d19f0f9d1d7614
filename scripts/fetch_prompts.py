"""Choose prompts out of a data set and write them down, with what they come from."""

import json
from pathlib import Path

from joulegrid.jobs import run
from joulegrid.records import OK, sha256_file
from joulegrid.texts import sources


def main(arguments, spec):
    """Write --prompts, and a record {count, sha256, files, rows, suitable} of them."""
    made = run.begin("huggingface-hub", "pyarrow")
    found, facts = sources.prompts(spec["prompts"])
    target = Path(arguments.prompts)
    target.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"prompt": text}, ensure_ascii=False) for text in found]
    temporary = target.with_name(f".{target.name}")
    temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    temporary.replace(target)
    own = {"status": OK, "count": len(found), "sha256": sha256_file(target)}
    run.write_record(arguments.output, spec, made, {**own, **facts})


if __name__ == "__main__":
    run.run(main, "prompts", "output")
