"""What must hold of predictions whatever the numbers: physics, and how belief grows."""

from dataclasses import replace

import numpy as np
import pytest

from helpers import published
from joulegrid.planning import formats, pilot, posterior, prediction, ranges
from joulegrid.planning.architecture import known_models
from joulegrid.planning.devices import devices, matching
from joulegrid.planning.factors import KERNELS
from joulegrid.planning.formats import HALF, Format
from joulegrid.planning.groups import group_of
from joulegrid.planning.posterior import Case, Row, defaults, expected, fit
from joulegrid.planning.prediction import Machine, Workload

DRAWS = 300
LLAMA = "Llama-3.1-8B"


def cases(seed=0):
    """Random cases: any model, board, engine, format and workload."""
    rng = np.random.default_rng(seed)
    models, boards = sorted(known_models()), [d for d in devices().values() if d.pcie]
    for _ in range(DRAWS):
        engine = str(rng.choice(["transformers", "vllm", "llamacpp"]))
        machine = Machine(boards[rng.integers(len(boards))], engine, int(rng.choice([1, 2, 4, 8])))
        work = Workload(
            requests=float(rng.integers(1, 1000)),
            tokens_in=float(rng.integers(1, 8000)),
            tokens_out=float(rng.integers(1, 4000)),
            at_once=float(rng.choice([1, 2, 7, 50, 300])),
            spread=float(rng.choice([0, 0.5, 1])),
            window_s=float(rng.choice([0, 0, 3600])),
        )
        kernel = str(rng.choice(sorted(KERNELS)))
        form = Format(float(rng.choice([3, 4, 8, 16])), kernel, "fp16")
        yield Case(work, published.architecture(str(rng.choice(models))), form, machine)


def costs(case):
    said = expected(case, defaults(case.machine, case.form.kernel))
    return np.array([said.seconds, said.joules])


def never_less(change):
    for case in cases():
        assert (costs(change(case)) >= costs(case) * (1 - 1e-9)).all(), case


def of_work(**changes):
    def change(case):
        new = {name: how(getattr(case.work, name)) for name, how in changes.items()}
        return case._replace(work=replace(case.work, **new))

    return change


@pytest.mark.parametrize("quantity", ["requests", "tokens_in", "tokens_out", "window_s"])
def test_more_work_never_costs_less(quantity):
    never_less(of_work(**{quantity: lambda value: value * 1.3 + 1}))


def test_a_longer_context_never_costs_less():
    never_less(of_work(tokens_in=lambda tokens: tokens + 20_000))


@pytest.mark.parametrize(
    "part",
    ["linear", "routed", "head", "kv_elements", "attention_width", "hidden", "state_bytes"],
)
def test_a_larger_model_never_costs_less(part):
    def larger(case):
        value = getattr(case.model, part)
        return case._replace(model=replace(case.model, **{part: value * 2}))

    never_less(larger)


def test_more_layers_never_cost_less():
    def deeper(case):
        model = case.model
        more = {
            name: getattr(model, name) * 2
            for name in ("linear", "routed", "layers", "attention_layers", "windowed_layers")
        }
        return case._replace(model=replace(model, **more, state_bytes=2 * model.state_bytes))

    never_less(deeper)


def test_more_bits_never_cost_less_with_one_kernel():
    never_less(lambda case: case._replace(form=replace(case.form, bits=case.form.bits * 1.5)))


def test_nf4_costs_more_than_16_bits_on_a_small_model_and_less_on_a_large_one():
    """Energy. Between kernels bits decide nothing (measured: docs/planning.md)."""
    machine = Machine(devices()["RTX4090"], "transformers")
    work = Workload(1, 10, 256)

    def relative(name):
        model = published.architecture(name)
        nf4 = costs(Case(work, model, Format(4.5, "bitsandbytes-4bit"), machine))
        return (nf4 / costs(Case(work, model, HALF["float16"], machine)))[1]

    assert relative("Qwen2.5-0.5B") > 1.2
    assert relative("Qwen2.5-7B") < 0.95


def test_power_lies_between_the_loaded_idle_board_and_its_limit():
    for case in cases():
        seconds, joules = costs(case)
        device, boards = case.machine.device, case.machine.gpus
        assert boards * device.loaded_idle_w * (1 - 1e-9) <= joules / seconds
        assert joules / seconds <= boards * device.limit_w * (1 + 1e-9)


def test_pacing_adds_the_idle_board():
    machine = Machine(devices()["A100-SXM4-80GB"], "transformers")
    case = Case(Workload(10, 20, 100), published.architecture(LLAMA), HALF["float16"], machine)
    paced = case._replace(work=replace(case.work, window_s=3600.0))
    busy, joules = costs(case)
    assert costs(paced) == pytest.approx([3600, joules + (3600 - busy) * 70])


def test_a_decode_step_by_hand():
    """Llama-3.1-8B on an A100-80 under vLLM, one sequence of 100 tokens in, 2 out: 2 bytes of 7.50
    billion parameters and 101 tokens in 32 layers × 2048 × 2 bytes at 80 % of 2.039 TB/s, plus
    2.015 ms of the host.
    """
    machine = Machine(devices()["A100-SXM4-80GB"], "vllm")
    case = Case(Workload(1, 100, 2), published.architecture(LLAMA), HALF["bfloat16"], machine)
    said = expected(case, defaults(machine, "dense"))
    bandwidth, rate = 0.8 * 2.039e12, 0.5 * 312e12
    linear = np.hypot(2 * 7.504924672e9 / bandwidth, 2 * 7.504924672e9 / rate)
    cache, looks = 101 * 32 * 2048 * 2 / bandwidth, 4 * 4096 * 32 * 101 / rate
    assert said.step_s == pytest.approx(linear + np.hypot(cache, looks) + 2.015e-3, rel=1e-6)


def test_a_prompt_is_multiplied_with_the_head_once():
    """Of its last token alone the next one is wanted: 1,000 tokens of Llama-3.1-8B pass the 6.98
    billion parameters of its blocks, and one the 0.53 of its head.
    """
    machine = Machine(devices()["A100-SXM4-80GB"], "vllm")
    model, work = published.architecture(LLAMA), Workload(1, 1000, 1)
    factors = defaults(machine, "dense").factors
    first = prediction.prefill(work, model, HALF["bfloat16"], machine, factors)
    rate, head = 0.5 * 312e12, 128256 * 4096
    flop = 2 * (1000 * (model.active - head) + head)
    read = 2 * model.active / (0.8 * 2.039e12)
    looks = 1000 * 4 * 4096 * 32 * 500 / rate
    assert first.seconds == pytest.approx(np.hypot(flop / rate, read) + looks, rel=1e-6)


@pytest.mark.parametrize("engine", ["transformers", "llamacpp"])
def test_engines_that_split_by_layers_gain_nothing_from_a_second_board(engine):
    """One board works, the other idles; vLLM shares each layer."""
    model, work = published.architecture("Llama-2-13B"), Workload(10, 100, 100)

    def said(engine, boards):
        machine = Machine(devices()["A100-SXM4-80GB"], engine, boards)
        return expected(Case(work, model, HALF["float16"], machine), defaults(machine, "dense"))

    one, two = said(engine, 1), said(engine, 2)
    assert two.seconds == pytest.approx(one.seconds)
    assert two.joules == pytest.approx(one.joules + one.seconds * 70)
    assert said("vllm", 2).seconds < 0.8 * said("vllm", 1).seconds


def test_bridges_between_boards_are_not_assumed():
    """NVLink joins all modules; of other boards bridges, if there are any, join pairs."""
    assert devices()["H100-SXM5-80GB"].bus == 450e9
    assert devices()["V100-SXM2-32GB"].bus == 150e9
    for name in ("A30", "A40", "A100-PCIe-80GB", "H100-NVL-94GB", "RTX3090", "L4"):
        assert devices()[name].bus <= 6e9


# ---------------------------------------------------------------- belief
@pytest.fixture(scope="module")
def measured():
    """Rows of one laboratory: v1 on its A40."""
    return [row for line, row in published.rows("mlenergy_v1") if line["gpu"] == "A40"][:24]


def test_without_rows_the_defaults_hold(measured):
    before = defaults(measured[0].case.machine, "dense")
    assert fit([], before) is before
    assert ranges.forecast(measured[0].case, before).rests_on == "defaults"


def test_one_row_says_nothing_of_what_it_does_not_touch(measured):
    before = defaults(measured[0].case.machine, "dense")
    after = fit(measured[:1], before)
    assert after.factors["experts"] == pytest.approx(before.factors["experts"])
    assert after.factors["bus"] == pytest.approx(before.factors["bus"])
    spread = np.diag(after.covariance)[: len(before.names)]
    assert (spread <= np.diag(before.covariance) * (1 + 1e-9)).all()


def test_rows_narrow_the_range_and_are_named(measured):
    case, before = measured[0].case, defaults(measured[0].case.machine, "dense")
    widths = []
    for count in (0, 1, 5, 20):
        said = ranges.forecast(case, fit(measured[1 : 1 + count], before))
        low, _, high = ranges.joules([said])
        widths.append(high / low)
    assert widths == sorted(widths, reverse=True)
    assert said.rests_on == "calibrated by 20 rows"


def test_rows_of_a_strange_machine_teach_what_it_is():
    """Made with factors far from the defaults, some cases tell of others."""
    machine, model = Machine(devices()["A100-SXM4-80GB"], "vllm"), published.architecture(LLAMA)
    before = defaults(machine, "dense")
    true = {**before.factors, "bandwidth": 0.55, "sequence_s": 150e-6, "compute": 0.7}

    def made(at_once, tokens_in):
        case = Case(Workload(100, tokens_in, 300, at_once), model, HALF["bfloat16"], machine)
        said = prediction.predict(*case, true)
        return Row(case, said.seconds, said.joules)

    belief = fit([made(n, length) for n in (1, 64, 512) for length in (50, 4000)], before)
    for row in (made(8, 500), made(200, 1000)):
        told, untold = expected(row.case, belief), expected(row.case, before)
        assert told.seconds == pytest.approx(row.seconds, rel=0.06)
        assert told.joules == pytest.approx(row.joules, rel=0.06)
        assert untold.seconds < 0.9 * row.seconds


def test_rows_left_out_are_predicted_by_the_others(measured):
    """As if they had been fitted without, also where several are left out together."""
    before = defaults(measured[0].case.machine, "dense")
    rows = measured[:6]
    found = posterior.leave_one_out([[row] for row in rows], fit(rows, before))
    assert found.shape == (6, 2)
    assert off_by(rows[2:3], fit([*rows[:2], *rows[3:]], before)) == pytest.approx(
        found[2:3], rel=0.02
    )
    found = posterior.leave_one_out([rows[:2], rows[2:]], fit(rows, before))
    assert off_by(rows[:2], fit(rows[2:], before)) == pytest.approx(found[:2], rel=0.04)


def off_by(rows, belief):
    """Measured over predicted seconds and joules."""
    said = [expected(row.case, belief) for row in rows]
    return np.array(
        [(r.seconds / e.seconds, r.joules / e.joules) for r, e in zip(rows, said, strict=True)]
    )


def test_a_model_that_is_slower_than_the_others_is_known_as_such():
    """Of two models one takes 1.4 times as long: a row of each says which, and of a third, of which
    there is none, no more than what both have in common.
    """
    machine = Machine(devices()["A100-SXM4-80GB"], "vllm")
    before = defaults(machine, "dense")
    slow, usual, other = (
        Case(Workload(100, 200, 300, 16), published.architecture(name), HALF["bfloat16"], machine)
        for name in (LLAMA, "Mistral-7B-v0.3", "Llama-2-13B")
    )

    def row(case, times):
        said = expected(case, before)
        return Row(case, times * said.seconds, said.joules)

    belief = fit([row(slow, 1.4), row(usual, 1.0)], before)
    times = {
        case: expected(case, belief).seconds / expected(case, before).seconds
        for case in (slow, usual, other)
    }
    assert times[slow] > 1.2
    assert times[usual] < 1.15
    assert times[usual] < times[other] < times[slow]
    widths = {case: ranges.seconds([ranges.forecast(case, belief)]) for case in (usual, other)}
    narrow, wide = (widths[case].high / widths[case].low for case in (usual, other))
    assert narrow < wide


def test_a_pilot_narrows_the_plan_more_than_as_many_other_cells(measured):
    before = defaults(measured[0].case.machine, "dense")
    plan = [row.case for row in measured]
    first = pilot.chosen(plan, before, 3)
    assert len(set(first)) == 3

    def width(rows):
        belief = fit(rows, before)
        low, _, high = ranges.joules([ranges.forecast(case, belief) for case in plan])
        return high / low

    others = [width(measured[i : i + 3]) for i in range(0, 21, 3)]
    assert width([measured[i] for i in first]) <= np.median(others)


def test_ranges_of_a_sum():
    """Cells that rest on one belief err together; of two beliefs, independently."""
    model, work = published.architecture(LLAMA), Workload(10, 100, 100)
    machines = [Machine(devices()[name], "transformers") for name in ("A40", "A30")]
    said = []
    for machine in machines:
        case = Case(work, model, HALF["float16"], machine)
        said.append(ranges.forecast(case, defaults(machine, "dense")))
    one, twice = ranges.joules(said[:1]), ranges.joules([said[0], said[0]])
    assert twice == pytest.approx(tuple(2 * value for value in one))
    both, other = ranges.joules(said), ranges.joules(said[1:])
    assert both.median == pytest.approx(one.median + other.median)
    assert one.low + other.low < both.low < both.median < both.high < one.high + other.high


def test_kernels_of_a_board_share_what_is_not_known_of_it():
    """Of a sum over two kernels on one board no more than the kernels themselves average out; what
    was measured is each kernel's own.
    """
    machine, model = Machine(devices()["A30"], "transformers"), published.architecture(LLAMA)
    work = Workload(10, 100, 100)

    def width(*said):
        low, _, high = ranges.joules(said)
        return np.log(high / low)

    def said(machine, form, *rows):
        before = defaults(machine, form.kernel)
        return ranges.forecast(Case(work, model, form, machine), fit(rows, before))

    dense, packed = HALF["float16"], Format(4.5, "bitsandbytes-4bit")
    elsewhere = Machine(devices()["A40"], "transformers")
    here = [said(machine, form) for form in (dense, packed)]
    apart = [said(machine, dense), said(elsewhere, packed)]
    assert width(*here) > 1.15 * width(*apart)
    assert width(*here) < max(map(width, here))
    row = Row(here_case := Case(work, model, dense, machine), *costs(here_case))
    measured = said(machine, dense, row)
    assert width(measured, here[1]) < width(*here)


# ---------------------------------------------------------------- boards and formats
def test_boards_are_found_by_the_words_of_a_study():
    assert [d.name for d in matching("A30")] == ["A30"]
    assert [d.name for d in matching("A10")] == ["A10"]
    assert [d.name for d in matching("A100", 80)] == ["A100-PCIe-80GB", "A100-SXM4-80GB"]
    assert [d.name for d in matching("NVIDIA A100-SXM4-40GB")] == ["A100-SXM4-40GB"]
    assert matching("Quadro") == []


def test_every_board_can_be_computed_with():
    for device in devices().values():
        assert device.memory > 0
        assert device.bandwidth > 0
        assert device.peak["fp16"] > 0
        assert 0 < device.idle_w <= device.loaded_idle_w < device.limit_w
        assert {device.idle_is, device.loaded_idle_is} <= {"measured", "assumed"}


GGUF = {"method": "gguf", "type": "Q4_K_M"}


@pytest.mark.parametrize(
    ("entry", "engine", "capability", "bits", "kernel"),
    [
        ({"method": "cast", "dtype": "float32"}, "transformers", (8, 0), 32, "dense-32"),
        ({"method": "bitsandbytes-4bit"}, "transformers", (8, 0), 4.5, "bitsandbytes-4bit"),
        ({"method": "gptq", "bits": 4, "group_size": 128}, "vllm", (8, 0), 4.156, "marlin"),
        ({"method": "gptq", "bits": 3, "group_size": 128}, "transformers", (8, 0), 3.148, "gptq"),
        ({"method": "awq", "group_size": 128}, "vllm", (7, 5), 4.156, "awq"),
        ({"method": "fp8"}, "vllm", (9, 0), 8, "fp8"),
        ({"method": "fp8"}, "vllm", (8, 0), 8, "marlin"),
        ({"method": "fp8"}, "transformers", (8, 0), 16, "emulated"),
        ({"method": "gguf", "type": "Q4_K_M"}, "llamacpp", None, 4.793, "k-quants"),
        (GGUF | {"compute_dtype": "float32"}, "transformers", (8, 0), 32, "dense-32"),
        (GGUF | {"compute_dtype": "bfloat16"}, "transformers", (8, 0), 16, "dense"),
        (GGUF | {"compute_dtype": "bfloat16"}, "transformers", (7, 0), 16, "emulated-16"),
        ({"method": "gguf", "type": "Q8_0"}, "llamacpp", None, 8.5, "gguf"),
    ],
)
def test_bits_and_kernels_of_formats(entry, engine, capability, bits, kernel):
    found = formats.of(entry, engine, capability)
    assert found.bits == pytest.approx(bits, abs=1e-3)
    assert found.kernel == kernel


def test_gguf_errs_with_what_runs_it():
    """llama.cpp is told no type to compute in; transformers unpacks to what a cast is, too."""
    entry = GGUF | {"compute_dtype": "float32"}

    def kernel(engine, entry):
        form = formats.of(entry, engine, (8, 0))
        return group_of("a100", {"method": engine}, entry, form)[2]

    assert kernel("llamacpp", entry) == "k-quants"
    cast = {"method": "cast", "dtype": "float32"}
    assert kernel("transformers", entry) == kernel("transformers", cast)


def test_every_format_has_a_kernel_that_is_known():
    assert {form.kernel for form in published.FORMATS.values()} <= set(KERNELS)
