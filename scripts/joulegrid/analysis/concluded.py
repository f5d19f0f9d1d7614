"""The variables of what is concluded: the comparison, emissions, and what stands beside them."""

from joulegrid.analysis.variables import Variable, text

VERDICT = ("worse", "same", "better", "unknown")
# What the selection of trained models makes of a cell
SELECTION = (
    "apart",
    "candidate",
    "goes_on",
    "stays_behind",
    "second_loop",
    "fell_out",
    "left_out",
)

# dims: model, training, pruning, quantization, metric
CHANGES = {
    "difference": Variable(
        "metric less that of the baseline, on the samples that both have",
        comment="of whole metrics where they have no samples",
    ),
    "difference_ci95": Variable(
        "half width of the 95 % interval of the difference, over resamples of the same samples",
        comment="NaN where the metric has no samples",
    ),
    "change": Variable(
        "relative change of the metric for the better against the baseline, on the samples that "
        "both have",
        comment="NaN where the baseline's is 0",
    ),
    "change_ci95": Variable(
        "half width of the 95 % interval of the change, over resamples of the same samples",
        comment="NaN where the metric has no samples",
    ),
    "verdict": Variable(
        "what the difference is, where its interval tells it from none",
        None,
        flags=VERDICT,
        dtype="i1",
    ),
    "samples": Variable(
        "samples that both have, on which they are compared", comment="NaN where there are none"
    ),
    "notes": text("what is to be known of comparisons on fewer samples than one of both has"),
}
# dims: the cell's axes
RANKING = {
    "energy_per_token": Variable("energy per generated token, mean over sessions", "J"),
    "energy_per_token_ci95": Variable(
        "half width of the 95 % interval of the energy per generated token, over sessions", "J"
    ),
    "efficiency": Variable("phi, share of energy saved against the baseline"),
    "efficiency_ci95": Variable("half width of the 95 % interval of phi, over sessions"),
    "saves_probability": Variable("probability that phi is above 0, over sessions"),
    "quality": Variable("rho, mean relative change of quality for the better against the baseline"),
    "quality_ci95": Variable(
        "half width of the 95 % interval of rho, over resamples of the samples of its metrics",
        comment="NaN where a metric has no samples",
    ),
    "energy_term": Variable(
        "what of energy enters R", comment="phi, or its min-max over the place; see `normalisation`"
    ),
    "quality_term": Variable(
        "what of quality enters R",
        comment="rho, or the mean of the metrics' min-max over the place",
    ),
    "score": Variable("R = w energy_term + (1 - w) quality_term"),
    "score_ci95": Variable(
        "half width of the 95 % interval of R",
        comment="of energy over sessions, against the baseline, and, where quality_ci95 is there, "
        "of quality over samples; the least and the greatest of a min-max are taken as exact",
    ),
    "best_probability": Variable(
        "probability to have the highest R of its place, over sessions and samples"
    ),
    "beats_next": Variable(
        "probability to have a higher R than the cell that comes next, over sessions and samples",
        comment="NaN of the last one of a place",
    ),
    "wins_from": Variable("least weight w with which it has the highest R of its place"),
    "wins_to": Variable("greatest weight w with which it has the highest R of its place"),
    "meets": Variable("1 if it meets what the study requires"),
    "paid_off_after": Variable(
        "generated tokens after which the energy of making the weights is saved",
        comment="beyond what making those of the baseline took; infinite where nothing is saved; "
        "of all components and with idling, whatever energy is compared",
    ),
    "rank": Variable(
        "rank in its place, 1 is best; shared where sessions and samples tell no difference"
    ),
    "pareto": Variable(
        "on the Pareto front of its place", comment="over the objectives that the attributes name"
    ),
    "estimated_share": Variable("share of the energy that no counter measured"),
    "guessed_share": Variable("share of the energy that is a guess, without a source"),
    "other_basis": Variable(
        "1 if a counter measured some component in some sessions of it or its baseline only"
    ),
    "disturbed": Variable("share of the windows that count although the machine was disturbed"),
    "other_board": Variable("1 if some session ran on another board than its baseline"),
    "selection": Variable(
        "what the selection of trained models makes of the cell",
        None,
        flags=SELECTION,
        comment="fell_out: measured or evaluated for an earlier selection; it has no R and no "
        "rank; the others: docs/selection.md",
        dtype="i1",
    ),
}
# dims: the cell's axes; of workloads that are sweeps. J of one request are the sum of the first
# times its prompt tokens, the second times its generated ones, and the third times both
TOKENS = {
    "per_input_token": Variable("energy per prompt token", "J"),
    "per_input_token_ci95": Variable("half width of its 95 % interval, over sessions", "J"),
    "per_output_token": Variable("energy per generated token", "J"),
    "per_output_token_ci95": Variable("half width of its 95 % interval, over sessions", "J"),
    "per_token_pair": Variable(
        "energy per prompt token and generated token",
        "J",
        comment="what each generated token takes more for each token that was read before: with a "
        "KV cache, reading that; NaN where the points do not vary both lengths",
    ),
    "per_token_pair_ci95": Variable("half width of its 95 % interval, over sessions", "J"),
    "misfit": Variable(
        "root of the mean squared relative residual of the points",
        comment="in no interval: what the form does not say",
    ),
    "points": Variable("points that were measured in all sessions"),
    "sessions": Variable("sessions behind the interval"),
    "note": text("why there is no number"),
}
# dims: zone, and what each has
GRID = {
    "profile": Variable(
        "mean carbon intensity by month and hour (UTC)", "g kW-1 h-1", ("month", "hour")
    ),
    "start_intensity": Variable(
        "mean carbon intensity of a job that starts now, when foresight finds it best within the "
        "slack, or when it was best a day before",
        "g kW-1 h-1",
        ("job_hours", "slack_hours", "start"),
        comment="foresight is a bound: no forecast does better",
    ),
    "estimated_share": Variable("share of the values that the source itself estimated"),
    "begin_hour": Variable(
        "time of day at which a job was cleanest, hours after midnight",
        "h",
        ("month", "job_hours"),
        comment="on the clock of the group's attribute time_zone, the site's; UTC where that is "
        "empty; of a past series, no forecast",
    ),
    "begin_saved": Variable(
        "share of the emissions saved by always starting then instead of at any hour",
        extra=("month", "job_hours"),
    ),
    "hourly_ratio": Variable(
        "carbon intensity of the zone `to` over that of the zone, in the same hour",
        extra=("to", "bound"),
        comment="95 % of the hours that both series have lie between low and high; missing where "
        "those are less than a week",
    ),
}
# dims: see each; there only where zones or hours can be weighed against compressing
LEVERS = {
    "compress": Variable(
        "share of the emissions saved against the baseline of the place, in one zone",
        comment="of all components, dims of the cell",
    ),
    "compress_ci95": Variable("half width of its 95 % interval, over sessions"),
    "move": Variable(
        "share of the emissions saved by running in the zone `to` instead",
        extra=("zone", "to"),
        comment="of their intensities alone: same energy, same PUE; missing between direct and "
        "life-cycle figures",
    ),
    "move_hours": Variable(
        "shares saved by moving, hour by hour, that 95 % of the hours lie between",
        extra=("zone", "to", "bound"),
        comment="where both zones have an hourly series; the energy of a job cancels, and how well "
        "the intensities themselves are known is not in it",
    ),
    "shift": Variable(
        "share of the emissions saved by a start within the slack instead of now",
        extra=("zone", "job_hours", "slack_hours", "start"),
        comment="foresight is a bound; yesterday is the hour that was best a day before",
    ),
}
# dims: the cell's axes, zone
CARBON = {
    "emissions": Variable(
        "emissions of one run of the workload",
        "g",
        comment="CO2 equivalent; energy times PUE times yearly intensity",
    ),
    "emissions_ci95": Variable("half width of the 95 % interval of the emissions of one run", "g"),
    "emissions_per_token": Variable("emissions per generated token", "g"),
}
# dims: the cell's axes; what the study gives no number for is not there
FOOTPRINT = {
    "market_emissions": Variable(
        "market-based emissions of one run of the workload",
        "g",
        ("zone",),
        comment="energy times PUE times what contracts say of the electricity; the other "
        "emissions are location-based",
    ),
    "market_intensity": Variable("market-based carbon intensity", "g kW-1 h-1"),
    "market_source": text("source of the market-based intensity"),
    "embodied": Variable(
        "embodied emissions of the machine during one run of the workload",
        "g",
        comment="an estimate; in no other variable but sci",
    ),
    "embodied_source": text("source of the embodied emissions"),
    "water": Variable(
        "water of the data centre during one run of the workload",
        "L",
        comment="energy of the machine times litres per kWh; PUE is not in it",
    ),
    "water_source": text("source of the litres per kWh"),
    "sci_per_thousand_requests": Variable(
        "software carbon intensity (ISO/IEC 21031) of 1,000 requests",
        "g",
        ("zone",),
        comment="operational, location-based, plus embodied",
    ),
    "sci_per_million_tokens": Variable(
        "software carbon intensity (ISO/IEC 21031) of a million generated tokens",
        "g",
        ("zone",),
        comment="operational, location-based, plus embodied",
    ),
}
