"""Lists what `snakemake plan` says here would run, of a part where one is named, and what it says
is open: by the same function, and faster.
"""

import json
import sys

sys.path.insert(0, "scripts")

from joulegrid.planning import plan
from joulegrid.study import only, sites, study
from joulegrid.study.specs import Specs

made = study.load(["config/study.yaml"])
part = only.part_of(made, sys.argv[1]) if sys.argv[1:] else None
found = plan.of_study(Specs(made), sites.artifacts_of(made.data.get("site")), part=part)
later = {each.kind: each.to_run for each in found.open.jobs} if found.open else None
print(json.dumps([found.to_run, later]))
