"""Lists what a dry-run of config/study.yaml here would want, by the same functions as the rules,
without starting Snakemake.
"""

import json
import os
import sys

sys.path.insert(0, "scripts")

from joulegrid.errors import InputError
from joulegrid.planning import infeasible
from joulegrid.study import conclusions, sites, study
from joulegrid.study.shelf import Shelf, jobs_of, sent
from joulegrid.study.specs import Specs

try:
    found = study.load(["config/study.yaml"])
    specs = Specs(found)
    site = sites.load(found.data.get("site"), found)
    unfit = infeasible.of_study(specs, site.data)
    every = list(jobs_of(specs))
    jobs = sent(every, unfit)
    shelf = Shelf(site.artifacts, every)
    folder = f"results/studies/{found.name}/"
    missing = shelf.missing(jobs)
    late = [
        name
        for name, step in conclusions.conclusions(found, jobs, unfit).items()
        if missing or not os.path.exists(folder + step.stamp)
    ]
    print(json.dumps([[job.path for job in shelf.to_make(jobs)], late]))
except InputError as error:
    sys.exit(f"error: {error}")
