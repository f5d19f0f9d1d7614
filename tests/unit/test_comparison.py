"""φ, ρ and R against numbers computed by hand."""

import numpy as np
import pytest
import xarray as xr

from joulegrid.analysis import carbon, comparison, decision, ranked
from joulegrid.analysis.answer import answer
from joulegrid.analysis.variables import BASIS, STATUS
from joulegrid.report.data import page_data
from joulegrid.study.grid import CELL_AXES, CONFIGURATION_AXES

BASELINE = {"training": "none", "pruning": "none", "quantization": "full"}
LABELS = {
    "model": ["m"],
    "training": ["none"],
    "pruning": ["none"],
    "quantization": ["full", "half", "low"],
    "hardware": ["h"],
    "engine": ["e"],
    "workload": ["w"],
}


def tree(joules, accuracy, perplexity, tokens=10.0, **labels):
    """Three quantizations; `joules`: (quantization, session), all drawn by the CPU; `labels` of
    other axes.
    """
    joules = np.asarray(joules, float)
    sessions = joules.shape[1]
    names = {**LABELS, **{axis: [label] for axis, label in labels.items()}}
    shape = [len(names[a]) for a in CELL_AXES]
    dims = [*CELL_AXES, "session"]
    missing = np.isnan(joules).reshape(*shape, sessions)
    text = np.full((*shape, sessions), "", "O")
    energy = xr.Dataset(
        {
            "energy": ([*dims, "component"], joules.reshape(*shape, sessions, 1)),
            "tokens_read": (dims, np.full((*shape, sessions), 5.0)),
            "tokens_written": (dims, np.full((*shape, sessions), tokens)),
            "requests": (dims, np.full((*shape, sessions), tokens / 5)),
            "runs": (dims, np.ones((*shape, sessions))),
            "duration": (dims, np.full((*shape, sessions), 2.0)),
            "weights_size": (dims, np.full((*shape, sessions), 4e6)),
            "peak_memory": (dims, np.full((*shape, sessions), 8e9)),
            "peak_gpu_memory": (dims, np.full((*shape, sessions), np.nan)),
            "kernel": (dims, np.full((*shape, sessions), "Linear ×2", "O")),
            "gpu": (dims, text),
            # 4 requests of 5 prompt tokens each; reading them and one token takes 20 J
            "prefill_energy": ([*dims, "component"], np.full((*shape, sessions, 1), 20.0)),
            "prefill_runs": (dims, np.ones((*shape, sessions))),
            "prefill_tokens_read": (dims, np.full((*shape, sessions), 20.0)),
            "prefill_requests": (dims, np.full((*shape, sessions), 4.0)),
            "gpu_uuid": (dims, text),
            "host": (dims, np.full((*shape, sessions), "node", "O")),
            "disturbed": (dims, np.zeros((*shape, sessions))),
            "basis": ([*dims, "component"], np.zeros((*shape, sessions, 1), "i1")),
            "idle_power": ([*dims, "component"], np.full((*shape, sessions, 1), 5.0)),
            "idle_disturbed": (dims, np.zeros((*shape, sessions))),
            "reason": (dims, text),
            "status": (
                dims,
                np.where(missing, STATUS.index("oom"), STATUS.index("ok")).astype("i1"),
            ),
        },
        coords={
            **names,
            "session": list(range(1, sessions + 1)),
            "component": ["cpu"],
            "model_random": ("model", [0.0]),
        },
    )
    values = np.stack([accuracy, perplexity], axis=-1).astype(float)
    quality = xr.Dataset(
        {
            "quality": ([*CONFIGURATION_AXES, "metric"], values.reshape(1, 1, 1, 3, 2)),
            "direction": ("metric", np.array([1, 0], "i1")),
        },
        coords={
            **{a: names[a] for a in CONFIGURATION_AXES},
            "metric": ["facts.acc", "text.perplexity"],
        },
    )
    shape = [len(names[a]) for a in CONFIGURATION_AXES]
    made = xr.Dataset(
        {name: (CONFIGURATION_AXES, np.full(shape, 2.5)) for name in ranked.MADE},
        coords={a: names[a] for a in CONFIGURATION_AXES},
    )
    return xr.DataTree.from_dict({"energy": energy, "quality": quality, "weights": made})


def beside(first, second, axis):
    """Two trees side by side along an axis."""
    groups = {}
    for name in ("energy", "quality", "weights"):
        parts = [each[name].to_dataset() for each in (first, second)]
        shared = axis not in parts[0].dims
        groups[name] = parts[0] if shared else xr.concat(parts, axis, data_vars="minimal")
    return xr.DataTree.from_dict(groups)


METRICS = ["facts.acc", "text.perplexity"]


CHOSEN = {
    "energy": "all",
    "net": False,
    "normalisation": "relative",
    "objectives": ["energy", "quality"],
}


def compare(data, weight, baseline, metrics, energy="all", net=False, **require):
    """As a study asks for it."""
    return chosen_by(data, weight, baseline, metrics, energy=energy, net=net, require=require)


def chosen_by(data, weight=0.7, baseline=BASELINE, metrics=METRICS, **chosen):
    """With other choices than energy and what is required."""
    own = {"weight": weight, "baseline": baseline, "metrics": metrics, "require": {}}
    return comparison.compare(data, {**CHOSEN, **own, **chosen})


# 100 J, 60 J and 120 J of 10 tokens; accuracy 0.8, 0.72, 0.8; perplexity 20, 25, 16
DATA = tree([[99, 101], [59, 61], [119.9, 120.1]], [0.8, 0.72, 0.8], [20, 25, 16])


def at(found, name):
    return found[name].values.ravel()


def test_by_hand():
    found = compare(DATA, 0.7, BASELINE, METRICS)
    assert at(found, "energy_per_token") == pytest.approx([10, 6, 12])
    # φ = 1 − 60/100 and 1 − 120/100
    assert at(found, "efficiency") == pytest.approx([0, 0.4, -0.2])
    # ρ: accuracy (0.72 − 0.8)/0.8 = −0.1, perplexity −(25 − 20)/20 = −0.25; accuracy 0, perplexity
    # −(16 − 20)/20 = 0.2
    assert at(found, "quality") == pytest.approx([0, -0.175, 0.1])
    # R = 0.7·0.4 − 0.3·0.175 = 0.2275; 0.7·(−0.2) + 0.3·0.1 = −0.11
    assert at(found, "score") == pytest.approx([0, 0.2275, -0.11])
    assert at(found, "rank") == pytest.approx([2, 1, 3])
    assert at(found, "pareto") == pytest.approx([1, 1, 1])
    # t(0.975, 1) = 12.706; s of 9.9 and 10.1 is 0.2/sqrt(2): 12.706·0.1
    assert at(found, "energy_per_token_ci95")[0] == pytest.approx(1.27062, rel=1e-4)
    assert at(found, "energy_per_token_ci95")[2] == pytest.approx(0.127062, rel=1e-4)
    # φ in pairs: 1 − 59/99 and 1 − 61/101, half their difference times 12.706
    half = 12.7062 * (61 / 101 - 59 / 99) / 2
    assert at(found, "efficiency_ci95") == pytest.approx([0, half, half * 2.8], rel=0.1)
    assert at(found, "score_ci95")[1] == pytest.approx(0.7 * half, rel=1e-4)
    assert at(found, "saves_probability")[1] > 0.99
    assert at(found, "saves_probability")[2] < 0.02


@pytest.mark.parametrize(("weight", "order"), [(0, [2, 3, 1]), (1, [2, 1, 3])])
def test_the_ends_of_the_weight_are_quality_alone_and_energy_alone(weight, order):
    assert at(compare(DATA, weight, BASELINE, METRICS), "rank") == pytest.approx(order)


def test_one_metric_only():
    found = compare(DATA, 0.7, BASELINE, ["facts.acc"])
    assert at(found, "quality") == pytest.approx([0, -0.1, 0])


def test_a_dominated_cell_is_not_on_the_front():
    data = tree([[100, 100], [60, 60], [120, 120]], [0.8, 0.8, 0.7], [20, 20, 30])
    assert at(compare(data, 0.7, BASELINE, METRICS), "pareto") == pytest.approx([0, 1, 0])


def two_machines():
    """An A100, and a laptop that takes some two hundred times the energy."""
    quality = [0.8, 0.78, 0.7], [20, 20, 20]
    a100 = tree([[10, 10], [6, 6], [9, 9]], *quality, hardware="a100")
    joules = [[2000, 2000], [1000, 1000], [1900, 1900]]
    return beside(a100, tree(joules, *quality, hardware="laptop"), "hardware")


def test_each_place_has_its_own_front_ranks_and_baseline():
    """A laptop's cell of 100 J/token is not better than an A100's of 1 J/token because it saves
    more of its own.
    """
    both = two_machines()
    found = compare(both, 0.7, BASELINE, METRICS)
    for hardware in ("a100", "laptop"):
        assert found["rank"].sel(hardware=hardware).values.ravel() == pytest.approx([3, 1, 2])
        assert found.pareto.sel(hardware=hardware).values.ravel() == pytest.approx([1, 1, 0])
    rows = ranked.table(both, found)
    assert rows.groupby("hardware")["rank"].apply(list).to_dict() == {
        "a100": [1, 2, 3],
        "laptop": [1, 2, 3],
    }


def test_axes_that_the_baseline_names_are_compared():
    """{quantization: full, hardware: a100}: the laptop is measured by the A100's energy, one order
    for all cells.
    """
    both = two_machines()
    found = compare(both, 1, {**BASELINE, "hardware": "a100"}, METRICS)
    assert found.efficiency.sel(hardware="laptop", quantization="half").item() == pytest.approx(
        1 - 1000 / 10
    )
    assert sorted(found["rank"].values.ravel()) == [1, 2, 3, 4, 5, 6]
    assert found["rank"].sel(hardware="laptop").min() == 4


def test_another_engine_is_compared_where_the_baseline_names_one():
    """GGUF runs on llama.cpp alone; the baseline on another engine still ranks it."""
    nan = np.nan
    one = tree(
        [[100, 100], [50, 50], [nan, nan]], [0.8, 0.8, 0.8], [20, 20, 20], engine="transformers"
    )
    two = tree([[nan, nan], [nan, nan], [20, 20]], [0.8, 0.8, 0.8], [20, 20, 20], engine="llamacpp")
    both = beside(one, two, "engine")
    alone = compare(both, 1, BASELINE, METRICS)
    assert alone["rank"].sel(engine="llamacpp").isnull().all()
    together = compare(both, 1, {**BASELINE, "engine": "transformers"}, METRICS)
    assert together["rank"].sel(engine="llamacpp", quantization="low").item() == 1


def test_a_negative_metric_keeps_its_sign():
    """A log-likelihood of −2 is better than one of −3: relative change divides by |base|."""
    data = tree([[100, 100]] * 3, [-3.0, -2.0, -4.0], [20, 20, 20])
    found = compare(data, 0, BASELINE, ["facts.acc"])
    assert at(found, "quality") == pytest.approx([0, 1 / 3, -1 / 3])


def test_twins_share_the_front_and_the_rank():
    data = tree([[60, 60], [60, 60], [120, 120]], [0.8, 0.8, 0.7], [20, 20, 30])
    found = compare(data, 0.7, BASELINE, METRICS)
    assert at(found, "pareto") == pytest.approx([1, 1, 0])
    assert at(found, "rank") == pytest.approx([1, 1, 3])


def test_what_is_missing_has_no_score_and_the_table_says_why():
    nan = np.nan
    data = tree([[100, 100], [nan, nan], [50, 50]], [0.8, 0.7, nan], [20, 21, 22])
    found = compare(data, 0.7, BASELINE, METRICS)
    assert at(found, "score")[0] == 0
    assert np.isnan(at(found, "score")[1:]).all()
    rows = ranked.table(data, found).set_index("quantization")
    assert rows["note"].to_dict() == {
        "full": "",
        "half": "oom",
        "low": ranked.NO_METRIC,
    }
    assert rows.loc["full", "rank"] == 1
    assert rows.loc["full", ["tokens_per_s", "weights_size", "kernel", "making_time"]].tolist() == [
        5,
        4e6,
        "Linear ×2",
        2.5,
    ]


def test_without_the_baselines_energy_nothing_is_ranked_and_the_table_says_why():
    data = tree([[np.nan, np.nan], [50, 50], [60, 60]], [0.8, 0.7, 0.7], [20, 21, 22])
    found = compare(data, 0.7, BASELINE, METRICS)
    rows = ranked.table(data, found)
    assert rows["rank"].isna().all()
    assert set(rows["note"]) == {"oom", ranked.NO_BASELINE}


def test_a_baseline_metric_of_zero_gives_no_number_instead_of_infinity():
    data = tree([[100, 100], [50, 50], [60, 60]], [0.0, 0.7, 0.7], [20, 21, 22])
    found = compare(data, 0.7, BASELINE, METRICS)
    assert np.isnan(at(found, "score")).all()
    assert all("0 for the baseline" in note for note in ranked.table(data, found)["note"])


def test_energy_above_idle_and_of_measured_components_only():
    """10 tokens, 2 s, 5 W idle: 10 J less each. The CPU is measured in DATA, then estimated."""
    net = compare(DATA, 1, BASELINE, METRICS, net=True)
    assert at(net, "energy_per_token") == pytest.approx([9, 5, 11])
    # the table has it beside what is compared
    beside = ranked.table(DATA, compare(DATA, 1, BASELINE, METRICS))
    assert sorted(beside.net_energy_per_token) == pytest.approx([5, 9, 11])
    assert sorted(beside.energy_per_token) == pytest.approx([6, 10, 12])
    assert at(compare(DATA, 1, BASELINE, METRICS, "measured"), "energy_per_token")[0] == 10
    assert at(compare(DATA, 1, BASELINE, METRICS), "estimated_share") == pytest.approx([0, 0, 0])
    guessed = DATA.copy(deep=True)
    guessed["energy"]["basis"][:] = BASIS.index("guess")
    found = compare(guessed, 1, BASELINE, METRICS, "measured")
    assert np.isnan(at(found, "energy_per_token")).all()
    assert at(found, "estimated_share") == pytest.approx([1, 1, 1])


def test_other_boards_and_disturbance_are_said():
    data = DATA.copy(deep=True)
    data["energy"]["host"].values[0, 0, 0, 1] = "elsewhere"
    data["energy"]["disturbed"].values[0, 0, 0, 2] = 0.5
    frame = ranked.table(data, compare(data, 0.7, BASELINE, METRICS))
    notes = frame.set_index("quantization")["note"]
    assert notes["half"] == ranked.OTHER_BOARD
    assert notes["low"] == ranked.DISTURBED
    assert notes["full"] == ""


def test_prefill_and_decode_by_hand():
    """20 J for 20 prompt tokens; the other 80 J of 100 for 10 − 4 tokens behind the first ones."""
    frame = ranked.table(DATA, compare(DATA, 0.7, BASELINE, METRICS))
    full = frame.set_index("quantization").loc["full"]
    assert full["energy_per_prompt_token"] == pytest.approx(1.0)
    assert full["energy_per_decoded_token"] == pytest.approx(80 / 6)


# ---------------------------------------------------------------- the decision
def test_the_probability_to_be_best_follows_the_sessions():
    """Of two cells with equal means each is best in half of the draws; one far ahead always is."""
    data = tree([[100, 100.2], [60, 62], [60, 62]], [0.8] * 3, [20] * 3)
    found = at(compare(data, 0.7, BASELINE, METRICS), "best_probability")
    assert found.sum() == pytest.approx(1)
    assert found[1:] == pytest.approx([0.5, 0.5], abs=0.06)
    alone = tree([[100], [60], [120]], [0.8] * 3, [20] * 3)
    assert np.isnan(at(compare(alone, 0.7, BASELINE, METRICS), "best_probability")).all()


def test_twins_of_the_baseline_are_best_as_often_as_the_baseline():
    """All errors have the baseline's in them: each was drawn beside a baseline that stood still, so
    that it was hardly ever the best of many twins.
    """
    scores, errors = np.zeros((1, 10)), np.array([[0, *[0.05] * 9]])
    freedoms = np.array([[np.nan, *[4.0] * 9]])
    found = decision.best_probability(scores, errors, freedoms)
    assert found == pytest.approx(np.full((1, 10), 0.1), abs=0.04)


def test_who_wins_at_which_weight_by_hand():
    """φ 0, 0.4, −0.2 and ρ 0, −0.175, 0.1: the third leads at w = 0, the second from where
    0.1 − 0.3·w = −0.175 + 0.575·w on, w = 0.275/0.875; the baseline never does.
    """
    found = compare(DATA, 0.7, BASELINE, METRICS)
    crossing = 0.275 / 0.875
    nan = np.nan
    assert at(found, "wins_from") == pytest.approx([nan, crossing, 0], nan_ok=True)
    assert at(found, "wins_to") == pytest.approx([nan, 1, crossing], nan_ok=True)


def test_winners_are_those_of_the_ranking_at_every_weight():
    random = np.random.default_rng(3)
    phi, rho = random.normal(size=(2, 4, 50))
    begins, ends = decision.winning_weights(phi, rho)
    for weight in np.linspace(0.001, 0.999, 97):
        best = (weight * phi + (1 - weight) * rho).argmax(axis=1)
        inside = (begins <= weight) & (weight <= ends)
        assert inside[range(4), best].all()


def test_what_does_not_meet_the_requirements_has_no_rank_and_says_why():
    found = compare(DATA, 0.7, BASELINE, METRICS, min_quality=0.9)
    assert at(found, "rank") == pytest.approx([1, np.nan, 2], nan_ok=True)
    notes = ranked.table(DATA, found).set_index("quantization")["note"]
    assert notes["half"] == ranked.NOT_MET
    assert notes["full"] == ""
    # 10 tokens in 2 s; 8 GB
    assert at(compare(DATA, 0.7, BASELINE, METRICS, min_tokens_per_s=5.1), "meets").sum() == 0
    assert at(compare(DATA, 0.7, BASELINE, METRICS, max_memory_gb=8), "meets").sum() == 3


def test_making_weights_pays_off_after_what_they_save():
    """2.5 J of making, 4 J saved per token; the one that saves nothing never pays off."""
    data = made_with([0, 2.5, 2.5])
    found = at(compare(data, 0.7, BASELINE, METRICS), "paid_off_after")
    assert found == pytest.approx([0, 2.5 / 4, np.inf])


@pytest.mark.parametrize(
    ("joules", "half"),
    [
        ([1000, 1002.5, 1002.5], 2.5 / 4),  # all of one training, of 1000 J
        ([1000, 2.5, 0], 0),
        ([np.nan, 2.5, 0], 2.5 / 4),  # a baseline that was made by others
        ([1000, np.nan, 0], np.nan),
    ],
)
def test_what_making_the_baseline_took_need_not_be_saved(joules, half):
    found = at(compare(made_with(joules), 0.7, BASELINE, METRICS), "paid_off_after")
    assert found[1:] == pytest.approx([half, np.inf], nan_ok=True)


def test_what_making_took_is_saved_out_of_all_that_generating_takes():
    """Above an idle machine the cell saves twice as much, which no making is paid from."""
    data = made_with([0, 2.5, 2.5])
    energy = data["energy"].to_dataset()
    idle = energy.idle_power.copy()
    idle.loc[{"quantization": "half"}] = 25.0
    data["energy"] = xr.DataTree(energy.assign(idle_power=idle))
    gross, net = (compare(data, 0.7, BASELINE, METRICS, net=which) for which in (False, True))
    assert at(net, "energy_per_token")[1] < at(gross, "energy_per_token")[1] - 4
    assert at(net, "paid_off_after")[:2] == pytest.approx([0, 2.5 / 4])


def made_with(joules):
    """The data, where making the weights of the three took so much."""
    data = DATA.copy(deep=True)
    weights = data["weights"].to_dataset()
    shape = weights.making_energy.shape
    weights["making_energy"] = weights.making_energy.copy(data=np.reshape(joules, shape))
    data["weights"] = xr.DataTree(weights)
    return data


def said(data, weight=0.7, **require):
    rows = ranked.table(data, compare(data, weight, BASELINE, METRICS, **require))
    return answer(rows, BASELINE, weight)


def test_the_answer_says_what_how_much_how_sure_and_what_would_change_it():
    text = said(DATA)
    assert text.startswith("Take half: it saves 40 % ± 5 of the energy at -17.5 % quality.")
    assert "It is best with" in text
    # w = 0.7 with quality twice: 0.7/1.3 = 0.54, above 0.31: still the same winner
    assert "would win" not in text
    assert "low would win if quality counted twice." in said(DATA, 0.4)


def test_the_answer_says_that_one_session_shows_no_interval():
    single = tree([[100], [60], [120]], [0.8] * 3, [20] * 3)
    assert said(single).startswith(
        "Take half: it saves 40 % of the energy at +0.0 % quality; its sessions are too few to "
        "show how sure that is."
    )
    assert "too few" not in said(DATA)


def test_the_answer_says_that_its_baseline_was_disturbed():
    data = DATA.copy(deep=True)
    data["energy"]["disturbed"].values[0, 0, 0, 0] = 1
    text = said(data)
    assert text.startswith("Take half")
    assert "disturbed while the baseline was measured" in text
    assert "disturbed" not in said(DATA)
    # of a baseline that is to be kept it is said once
    worse = tree([[100, 100], [150, 151], [160, 161]], [0.8] * 3, [20] * 3)
    worse["energy"]["disturbed"].values[0, 0, 0, 0] = 1
    assert said(worse).count("disturbed") == 1


def test_the_answer_does_not_claim_what_sessions_do_not_show():
    twins = tree([[100, 101], [99, 101], [98, 110]], [0.8] * 3, [20] * 3)
    assert "cannot be told apart from it" in said(twins)
    missing = tree([[np.nan, np.nan], [50, 50], [60, 60]], [0.8, 0.7, 0.7], [20, 21, 22])
    assert said(missing).startswith("No answer yet: oom; no energy of the baseline")
    worse = tree([[100, 100], [150, 151], [160, 161]], [0.8] * 3, [20] * 3)
    assert said(worse).startswith("Keep full, the baseline")


# ---------------------------------------------------------------- min-max, and more objectives
def test_min_max_by_hand():
    """60 J is the best and 120 J the worst: 1, 0 and (120 − 100)/60; accuracy 1, 0, 1 and
    perplexity 5/9, 0, 1 of the range from 25 to 16.
    """
    found = chosen_by(DATA, normalisation="min-max")
    assert at(found, "energy_term") == pytest.approx([1 / 3, 1, 0])
    assert at(found, "quality_term") == pytest.approx([7 / 9, 0, 1])
    assert at(found, "score") == pytest.approx([0.7 / 3 + 0.3 * 7 / 9, 0.7, 0.3])
    assert at(found, "rank") == pytest.approx([2, 1, 3])
    # what is saved and lost is said as ever
    relative = chosen_by(DATA)
    for name in ("efficiency", "quality", "energy_per_token", "efficiency_ci95"):
        assert at(found, name) == pytest.approx(at(relative, name))
    # R is 7/9 − 4/9·w, w and 1 − w: full and low cross at 0.4, full and half at 7/13
    assert at(found, "wins_from") == pytest.approx([0.4, 7 / 13, 0])
    assert at(found, "wins_to") == pytest.approx([7 / 13, 1, 0.4])


def test_min_max_scales_the_interval_as_it_scales_the_saving():
    """φ 0.4 and −0.2 become 1 and 0: every difference is divided by 0.6."""
    found, relative = chosen_by(DATA, normalisation="min-max"), chosen_by(DATA)
    wide = at(relative, "score_ci95") / 0.6
    assert at(found, "score_ci95") == pytest.approx(wide)
    twins = tree([[100, 100.2], [60, 62], [60, 62]], [0.8] * 3, [20] * 3)
    found = at(chosen_by(twins, normalisation="min-max"), "best_probability")
    assert found[1:] == pytest.approx([0.5, 0.5], abs=0.06)
    ranks = at(chosen_by(twins, normalisation="min-max"), "rank")
    assert ranks.tolist() == [3, 1, 1]


def test_min_max_is_of_a_place_and_of_what_is_there():
    both = two_machines()
    found = chosen_by(both, normalisation="min-max")
    for hardware in ("a100", "laptop"):
        terms = found.energy_term.sel(hardware=hardware).values.ravel()
        assert (terms.min(), terms.max()) == (0, 1)
    nan = np.nan
    gap = tree([[100, 100], [nan, nan], [50, 50]], [0.8, 0.1, 0.9], [20, 20, 20])
    found = chosen_by(gap, normalisation="min-max", metrics=["facts.acc"])
    # the quality of what does not run here is no part of the range
    assert at(found, "quality_term") == pytest.approx([0, nan, 1], nan_ok=True)
    same = chosen_by(gap, normalisation="min-max", metrics=["text.perplexity"])
    assert at(same, "quality_term") == pytest.approx([0, nan, 0], nan_ok=True)


def test_winners_by_min_max_are_those_of_its_ranking():
    random = np.random.default_rng(5)
    data = tree(random.uniform(50, 100, (3, 1)).repeat(2, 1), [0.5, 0.6, 0.7], [20, 30, 15])
    for weight in (0.1, 0.45, 0.8):
        found = chosen_by(data, weight, normalisation="min-max")
        best = int(np.argmax(at(found, "score")))
        assert at(found, "wins_from")[best] <= weight <= at(found, "wins_to")[best]


def test_the_front_over_more_objectives():
    """Low is worse than half in energy and quality, and is on the front for its memory alone."""
    data = tree([[100, 100], [60, 60], [120, 120]], [0.8, 0.8, 0.7], [20, 20, 30])
    data["energy"]["peak_memory"].values[:, :, :, 2] = 4e9
    two = chosen_by(data)
    assert at(two, "pareto") == pytest.approx([0, 1, 0])
    three = chosen_by(data, objectives=["energy", "quality", "memory"])
    assert at(three, "pareto") == pytest.approx([0, 1, 1])
    data["energy"]["duration"].values[:, :, :, 0] = 1.0
    four = chosen_by(data, objectives=["latency", "memory"])
    assert at(four, "pareto") == pytest.approx([1, 0, 1])


def test_the_front_of_many_is_what_comparing_each_with_each_gives():
    costs = np.random.default_rng(2).normal(size=(3, 2, 700)).round(1)
    found = decision.pareto_front(*costs)
    for place in range(2):
        one = costs[:, place]
        for cell in range(0, 700, 7):
            before = (one <= one[:, [cell]]).all(axis=0) & (one < one[:, [cell]]).any(axis=0)
            assert found[place, cell] == (not before.any())


def test_the_page_knows_what_its_score_is_made_of(monkeypatch):
    """Under min-max the script weighs the terms, which stand in the page."""
    monkeypatch.setattr("joulegrid.report.data.WEIGHTS", [0, 1])
    tree = DATA.copy(deep=True)
    tree["ranking"] = xr.DataTree(chosen_by(tree, normalisation="min-max"))
    tree["carbon"] = xr.DataTree(carbon.account(tree, {}, {"h": 1.0}))
    shown = page_data(tree, "study")
    assert shown["terms"] == ["energy_term", "quality_term"]
    energy, quality = (np.array(shown["values"][name]) for name in shown["terms"])
    assert shown["weights"] == [0, 0.7, 1]
    for weight, ranks in zip(shown["weights"], shown["ranks"], strict=True):
        best = np.argmax(weight * energy + (1 - weight) * quality)
        assert ranks[best] == 1
