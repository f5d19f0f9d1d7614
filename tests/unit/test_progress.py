"""What a run says of itself after each job."""

import json
import logging

import pytest

from joulegrid.planning import progress


def told(events, clock):
    """What is said, for events as (time, name, fields)."""
    lines, idle = [], []
    logger = logging.Logger("of a test")
    now = [0.0]
    logger.addHandler(progress.Progress(lines.append, lambda: idle.append(1), lambda: now[0]))
    for at, name, fields in events:
        now[0] = clock + at
        logger.info(fields.pop("msg", None), extra={**({"event": name} if name else {}), **fields})
    return lines, len(idle)


def session(path, windows, basis="estimated"):
    ways = {"cpu": {"basis": basis}, "gpu": {"basis": "measured"}, "ram": {"basis": "absent"}}
    parts = [
        {"seconds": 10.0, "energy_j": {"cpu": cpu, "gpu": gpu, "ram": 0.0}} for cpu, gpu in windows
    ]
    record = {
        "components": ways,
        "loading": {"seconds": 10.0, "energy_j": {"cpu": 5.0, "gpu": 0.0}},
        "windows": parts[:1],
        "prefill_windows": parts[1:],
        "elapsed_s": 60.0,
    }
    path.write_text(json.dumps(record))
    return [str(path)]


def test_joules_by_basis_and_the_time_that_is_left(tmp_path):
    one = session(tmp_path / "1.json", [(100.0, 900.0), (95.0, 1100.0)])
    stats = {"measure_energy_here": 4, "write_report": 1, "all": 1, "total": 6}
    lines, _ = told(
        [
            (0, "run_info", {"stats": stats}),
            (0, "job_info", {"jobid": 3, "rule_name": "measure_energy_here", "output": one}),
            (600, "job_finished", {"job_id": 3}),
            (600, "progress", {"done": 1, "total": 6}),
        ],
        clock=0.0,
    )
    # twice what was metered, in twice the time; three sessions of ten minutes one after another;
    # the report and the target are not known
    assert lines == [
        "so far 400 J estimated and 4 kJ measured; about 30 min still, and 2 of kinds that were "
        "not run yet"
    ]


def test_jobs_that_run_at_once_share_the_time(tmp_path):
    nothing = [str(tmp_path / "not there.json")]
    events = [(0, "run_info", {"stats": {"measure_energy_a30": 12, "total": 12}})]
    for jobid in range(4):
        fields = {"jobid": jobid, "rule_name": "measure_energy_a30", "output": nothing}
        events.append((0, "job_info", fields))
    events += [(3600, "job_finished", {"job_id": jobid}) for jobid in range(4)]
    lines, _ = told([*events, (3600, "progress", {"done": 4, "total": 12})], clock=0.0)
    assert lines == ["about 2 h 00 min still"]


def test_a_job_that_failed_is_not_waited_for_unless_it_is_tried_again():
    rule = "measure_energy_here"
    start = {"rule_name": rule, "output": []}
    events = [(0, "run_info", {"stats": {rule: 3, "total": 3}})]
    events += [(0, "job_info", {"jobid": 1, **start}), (60, "job_finished", {"job_id": 1})]
    events += [(60, "job_info", {"jobid": 2, **start})]
    events += [(90, "job_error", {"jobid": 2, "rule_name": rule})]
    events += [(120, "progress", {"done": 1, "total": 3})]
    assert told(list(events), clock=0.0)[0] == ["about 1 min still"]
    again = [(120, "job_info", {"jobid": 2, **start}), (121, "progress", {"done": 1, "total": 3})]
    assert told([*events, *again], clock=0.0)[0][-1] == "about 2 min still"


def test_jobs_that_a_selection_adds_take_as_long_as_those_before():
    events = [(0, "run_info", {"stats": {"measure_energy_here": 1, "select": 1, "total": 2}})]
    for jobid, rule, begin, end in ((1, "measure_energy_here", 0, 100), (2, "select", 100, 120)):
        events.append((begin, "job_info", {"jobid": jobid, "rule_name": rule, "output": []}))
        events.append((end, "job_finished", {"job_id": jobid}))
    lines, _ = told([*events, (120, "progress", {"done": 2, "total": 12})], clock=0.0)
    assert lines == ["about 10 min still"]


def test_joules_are_said_once(tmp_path):
    record = tmp_path / "quality.json"
    basis = {"cpu": {"basis": "guess"}, "gpu": {"basis": "absent"}}
    cost = {"seconds": 2, "energy_j": {"cpu": 12.34, "gpu": 0.0}, "basis": basis}
    record.write_text(json.dumps({"cost": cost}))
    done = [
        (0, "job_info", {"jobid": 1, "rule_name": "evaluate_quality", "output": [str(record)]}),
        (2, "job_finished", {"job_id": 1}),
        (2, "progress", {"done": 1, "total": 1}),
        (2, "progress", {"done": 1, "total": 1}),
    ]
    assert told(done, clock=9.0)[0] == ["so far 12.3 J guess"]


def test_a_training_took_what_its_own_jobs_used(tmp_path):
    """Ten epochs, five of them another training's, and one that was begun in vain."""
    basis = {"cpu": "estimated", "gpu": "measured"}
    cost = {"seconds": 100, "energy_j": {"cpu": 10.0, "gpu": 100.0}, "basis": basis}
    used = {"seconds": 60, "energy_j": {"cpu": 6.0, "gpu": 60.0}}
    path = tmp_path / "training.json"
    path.write_text(json.dumps({"cost": cost, "used": used}))
    assert progress.joules_in(str(path)) == {"estimated": 6.0, "measured": 60.0}


def test_the_answer_is_asked_for_where_nothing_is_to_be_done():
    message = "Nothing to be done (all requested files are present and up to date)."
    assert told([(0, None, {"msg": message}), (0, None, {"msg": "else"})], clock=0.0) == ([], 1)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"windows": [], "components": null}', "{}"])
def test_what_is_no_record_of_energy_counts_nothing(tmp_path, content):
    path = tmp_path / "record.json"
    path.write_text(content)
    assert progress.joules_in(str(path)) == {}


def test_a_job_without_outputs_counts_nothing():
    assert progress.joules_in(None) == {}


def test_something_is_said_at_the_end_of_a_dry_run_alone():
    said = []
    logger = logging.Logger("of a test")
    logger.addHandler(progress.AfterDryRun(lambda: said.append(1)))
    logger.info("Job stats: 3", extra={"event": "run_info"})
    logger.info("Building DAG of jobs...")
    assert said == []
    logger.info("This was a dry-run (flag -n). The order of jobs does not reflect the …")
    logger.info("Nothing to be done (all requested files are present and up to date).")
    assert len(said) == 2
