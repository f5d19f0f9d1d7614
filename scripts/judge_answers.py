"""Have a judge compare the answers of one configuration with those of the baseline."""

import json
from dataclasses import asdict
from pathlib import Path

from joulegrid.errors import InputError, Terminated
from joulegrid.jobs import run
from joulegrid.jobs.outcomes import outcome
from joulegrid.judging.arena import requests, settings_of
from joulegrid.judging.budget import Price
from joulegrid.judging.client import Endpoint, ask_all
from joulegrid.judging.replies import Kept
from joulegrid.records import OK, digest, read_json


def main(arguments, spec):
    """Write what was compared and what the judge said; or why there is nothing to compare."""
    made = run.begin("openai", "codecarbon")
    own = read_json(Path(arguments.source, f"{spec['made_from']}.json"))
    baseline = read_json(arguments.baseline)
    for whose, texts in (("", own), ("the baseline's answers: ", baseline)):
        if texts["status"] != OK:
            result = {"status": texts["status"], "reason": whose + texts["reason"]}
            break
    else:
        result = outcome(lambda: judged(arguments, spec, own, baseline))
    run.write_record(arguments.output, spec, made, result)


def judged(arguments, spec, own, baseline):
    """Every comparison with its two replies, the baseline's answer first and second; and what it
    took to ask a judge that computes on this machine.
    """
    asked, sent = requests(spec, own, baseline)
    told = json.loads(arguments.endpoint)
    with Kept(Path(arguments.output).parent / file_of(spec["judge"])) as kept:
        there = kept.count(sent)
        run.shelter()
        try:
            with run.terminable():
                replies = ask(spec, sent, told, kept, metered=told["local"] and there < len(sent))
        except Terminated as error:
            raise InputError(
                f"{error}: {kept.count(sent)} of {len(sent)} replies are kept; run snakemake again"
            ) from None
    found = replies["found"]
    judgments = [
        {
            "line": pair.line,
            "own": pair.own,
            "baseline": pair.baseline,
            "replies": [asdict(found[name]) for name in names],
        }
        for pair, names in asked
    ]
    took = {"cost": replies["cost"]} if "cost" in replies else {}
    return {
        "judgments": judgments,
        "lines": own["lines"],
        "usage": usage_of(found, replies["cost_usd"]),
        "judge": {
            "local": told["local"],
            "replies": len(sent),
            "metered": len(sent) - there if took else 0,
        },
        **took,
    }


def file_of(judge):
    """Where the replies of a judge are kept: those of a `revision` apart, as nothing that is sent
    tells it from others of that name.
    """
    return f"replies-{digest(judge['revision'])}.jsonl" if "revision" in judge else "replies.jsonl"


def ask(spec, sent, told, kept, metered):
    """Replies, what they cost in USD, and where a judge on this machine is `metered`, what the
    machine took meanwhile.
    """

    def work():
        found, cost = ask_all(sent, settings_of(spec["judge"]), endpoint_of(told), kept)
        return {"found": found, "cost_usd": cost}

    if not metered:
        return work()
    # CodeCarbon takes seconds to be imported, which a judge elsewhere need not wait for
    from joulegrid.quality import cost

    return cost.metered(cost.hardware_of(spec), work)


def usage_of(found, cost):
    """Tokens of all replies, None where the endpoint does not count them, and what they cost."""
    usage = {"cost_usd": cost}
    for key in ("tokens_read", "tokens_written"):
        counted = [getattr(reply, key) for reply in found.values()]
        known = [number for number in counted if number is not None]
        usage[key] = sum(known) if known else None
    return usage


def endpoint_of(told):
    """The endpoint, by the keys of the study."""
    price = told.get("usd_per_million")
    return Endpoint(
        url=told["endpoint"],
        key_variable=told.get("key_variable"),
        concurrency=told["concurrency"],
        timeout_s=told["timeout_seconds"],
        retries=told["retries"],
        price=Price(**price) if price else None,
        budget_usd=told.get("budget_usd"),
    )


if __name__ == "__main__":
    run.run(main, "source", "baseline", "endpoint", "output")
