"""Time and energy of a workload from first principles: a decode step is a smooth maximum of the
bytes and the FLOPs that it needs, beside the time of the host; power lies between the idle board
with the model loaded and its limit.

    linear     W/q / (n·BW·eff_b)    ⊕  B·2·N_active / (n·peak·eff_c)       s per step
    attention  B·kv / (n·BW·eff_b)   ⊕  B·4·L·d·c / (n·peak·eff_c)         s per step
    t_gpu      linear + attention + all-reduces                            s per step
    t          vllm, llamacpp: t_gpu + t0 + tb·B      transformers: t_gpu ⊕ launch·L
    P          idle + (limit − idle) · min(1, a0 + am·u_mem + ac·u_comp)   W per GPU

with x ⊕ y = √(x² + y²); W bytes of linear layers, touched experts and head, q the kernel's share of
the bandwidth, kv bytes that a sequence has in the cache, B sequences in flight, u bytes and FLOP
per second against the data sheet. Requests in flight are length-biased: the mean one has c = tin +
tout·(1+CV²)/2 tokens in its cache (inspection paradox; Cox 1962, *Renewal Theory*, section 5.4).
All functions are pure; the factors are in factors.py.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from joulegrid.planning.architecture import Architecture
from joulegrid.planning.devices import Device
from joulegrid.planning.factors import KERNELS, Factors
from joulegrid.planning.formats import Format, fitted

KV_BYTES = 2.0  # of a number in the cache: 16 bits
ACTIVATION_BYTES = 2.0
PREFILL_TOKENS = 2048.0  # that engines read in one pass, of as many waiting prompts as that are
# Engines that give each board some layers, which run one after another: transformers by device_map,
# llama.cpp unless it is told to split rows
BY_LAYERS = ("transformers", "llamacpp")


@dataclass(frozen=True)
class Workload:
    """What is asked of an engine.

    Parameters
    ----------
    requests
        how many.
    tokens_in, tokens_out
        means per request.
    at_once
        mean number of requests that are decoded together.
    spread
        coefficient of variation of `tokens_out`; 0 of a fixed length, about 1 of chats.
    window_s
        of a paced workload: how long it lasts, whatever is done in it; 0 of one that runs at once.
    """

    requests: float
    tokens_in: float
    tokens_out: float
    at_once: float = 1.0
    spread: float = 0.0
    window_s: float = 0.0


def whole_batches(requests: float, most: float) -> float:
    """The mean number of requests that are under way together, where the next ones begin when all
    of a batch have ended: of nine, eight at a time, the last is alone.
    """
    return requests / math.ceil(requests / most)


@dataclass(frozen=True)
class Machine:
    """Boards, and what runs on them.

    Parameters
    ----------
    engine
        transformers, llamacpp or vllm.
    gpus
        how many boards the model is spread over.
    tensor_parallel
        how many of them share each layer; the others are stages of a pipeline or copies. 0: all.
    version
        of the engine, empty where it is not known.
    """

    device: Device
    engine: str
    gpus: int = 1
    tensor_parallel: int = 0
    version: str = ""

    @property
    def sharing(self) -> int:
        """Boards that work at one layer at a time."""
        return 1 if self.engine in BY_LAYERS else self.tensor_parallel or self.gpus

    @property
    def working(self) -> int:
        """Boards that work at the same time."""
        return 1 if self.engine in BY_LAYERS else self.gpus


class Phase(NamedTuple):
    """Prefill of one prompt, or one step of decoding: s, and W of all boards together."""

    seconds: float
    watts: float


class Prediction(NamedTuple):
    """What a workload takes: s, J of the boards (idle power included), s of prefill and of a step,
    and s that the boards are busy.
    """

    seconds: float
    joules: float
    prefill_s: float
    step_s: float
    busy_s: float


def predict(
    work: Workload, model: Architecture, form: Format, machine: Machine, factors: Factors
) -> Prediction:
    """Time and energy of a workload.

    Energy is that of the GPUs from the first prompt to the last token. Loading is not in it.
    """
    first = prefill(work, model, form, machine, factors)
    step = decode_step(work, model, form, machine, factors)
    steps = work.requests * work.tokens_out / work.at_once
    busy = work.requests * first.seconds + steps * step.seconds
    joules = work.requests * first.seconds * first.watts + steps * step.seconds * step.watts
    seconds = max(busy, work.window_s)
    joules += (seconds - busy) * idle_watts(machine, factors)
    return Prediction(seconds, joules, first.seconds, step.seconds, busy)


def decode_step(
    work: Workload, model: Architecture, form: Format, machine: Machine, factors: Factors
) -> Phase:
    """One token for every request in flight."""
    batch, length = work.at_once, looked_back_on(work)
    cache = batch * cache_bytes(model, length)
    load = _load(batch, batch, cache, length, model, form, factors)
    gpu_s = _gpu_seconds(load, form, machine, factors)
    gpu_s += all_reduces(model, batch, machine, factors)
    seconds = _with_host(gpu_s, batch, model, machine, factors) * factors["slowness"]
    return Phase(seconds, watts(load, seconds, form, machine, factors))


def looked_back_on(work: Workload) -> float:
    """Tokens of the mean request in flight that are there already."""
    return work.tokens_in + work.tokens_out * (1 + work.spread**2) / 2


def prefill(
    work: Workload, model: Architecture, form: Format, machine: Machine, factors: Factors
) -> Phase:
    """One prompt: its tokens pass all layers at once, beside those of other waiting prompts. The
    output head sees its last one.
    """
    together = max(min(work.at_once, PREFILL_TOKENS / max(work.tokens_in, 1.0)), 1.0)
    tokens = work.tokens_in * together
    load = _load(tokens, together, 0.0, work.tokens_in / 2, model, form, factors)
    gpu_s = _gpu_seconds(load, form, machine, factors)
    gpu_s += all_reduces(model, tokens, machine, factors)
    seconds = max(gpu_s, host_seconds(model, machine, factors)) * factors["slowness"]
    return Phase(seconds / together, watts(load, seconds, form, machine, factors))


class Load(NamedTuple):
    """What one pass needs: bytes of weights (as many as a 16-bit kernel would read in the time),
    bytes that unpacking them moves, bytes of caches, FLOP of linear layers and of the attention.
    """

    weights: float
    unpacked: float
    cache: float
    linear: float
    attention: float


def _load(
    tokens: float,
    heads: float,
    cache: float,
    length: float,
    model: Architecture,
    form: Format,
    factors: Factors,
) -> Load:
    """A pass of so many tokens that look back on `length` others; of `heads` the next is wanted."""
    return Load(
        weights_read(model, form, tokens, factors),
        unpacked(model, form, tokens),
        cache,
        2 * (tokens * (model.active - model.head) + heads * model.head),
        tokens * attention_flop(model, length),
    )


def _gpu_seconds(load: Load, form: Format, machine: Machine, factors: Factors) -> float:
    """Linear layers and attention are kernels that follow each other: each is bound by bytes or by
    FLOP.
    """
    device, boards = machine.device, machine.working
    bandwidth = boards * device.bandwidth * factors["bandwidth"]
    rate = boards * device.peak_in(form.dtype) * factors["compute"]
    rate_16 = boards * device.peak_in("bf16") * factors["compute"]
    linear = _smooth_maximum(load.weights / bandwidth, load.linear / rate)
    attention = _smooth_maximum(load.cache / bandwidth, load.attention / rate_16)
    return linear + load.unpacked / bandwidth + attention


def weights_read(model: Architecture, form: Format, tokens: float, factors: Factors) -> float:
    """Bytes that a 16-bit kernel would read in the time that this one reads the weights for a pass
    of so many tokens.
    """
    form = fitted(form, model)
    linear = model.linear * form.bits / 8
    routed = model.routed_read(tokens) * form.bits / 8
    head = model.head * form.head_bits / 8
    return (linear + routed / factors["experts"]) / factors["kernel"] + head


def unpacked(model: Architecture, form: Format, tokens: float) -> float:
    """Bytes that are written and read again where weights are unpacked to 16 bits first."""
    if tokens <= 1 or not KERNELS[form.kernel].unpacks:
        return 0.0
    return 2 * ACTIVATION_BYTES * (model.linear + model.routed_read(tokens))


def cache_bytes(model: Architecture, length: float) -> float:
    """Bytes that one sequence of `length` tokens has read in a step: keys, values and state."""
    return model.kv_tokens(length) * model.kv_elements * KV_BYTES + 2 * model.state_bytes


def attention_flop(model: Architecture, length: float) -> float:
    """FLOP of one token that looks back on `length` others: 4 per layer, width and token (Kaplan et
    al. 2020, arXiv 2001.08361, table 1; 2 per active parameter come on top).
    """
    return 4 * model.attention_width * model.kv_tokens(length)


def all_reduces(model: Architecture, tokens: float, machine: Machine, factors: Factors) -> float:
    """Seconds of the two all-reduces of every layer, as rings: 2(n−1)/n of the data pass each link
    (Patarasuk and Yuan 2009).
    """
    n = machine.sharing
    if n == 1:
        return 0.0
    sent = tokens * model.hidden * ACTIVATION_BYTES * 2 * (n - 1) / n
    each = factors["all_reduce_s"] + sent / (machine.device.bus * factors["bus"])
    return 2 * model.layers * each


def host_seconds(model: Architecture, machine: Machine, factors: Factors) -> float:
    """What the host needs to launch one pass of all layers, s."""
    if machine.engine == "transformers":
        return factors["launch_s"] * factors["kernel_launch"] * model.layers
    return 0.0


def _with_host(
    gpu_s: float, batch: float, model: Architecture, machine: Machine, factors: Factors
) -> float:
    """With transformers the host launches while the GPU works; other schedulers come on top."""
    if machine.engine == "transformers":
        return _smooth_maximum(gpu_s, host_seconds(model, machine, factors))
    return gpu_s + factors["step_s"] + factors.get("sequence_s", 0.0) * batch


def watts(load: Load, seconds: float, form: Format, machine: Machine, factors: Factors) -> float:
    """Power of all boards while a pass takes `seconds`, W: by bytes and FLOP per second against the
    data sheet. A kernel that is slowed by unpacking is as busy as one that reads 16 bits.
    """
    device, boards = machine.device, machine.working
    moved = load.weights + load.unpacked + load.cache
    memory = moved / (seconds * boards * device.bandwidth)
    compute = (
        load.linear / device.peak_in(form.dtype) + load.attention / device.peak_in("bf16")
    ) / (seconds * boards)
    level = (
        factors["power_floor"]
        + factors["power_memory"] * memory
        + factors["power_compute"] * compute
    )
    idle = device.loaded_idle_w * factors["idle"]
    active = idle + max(device.limit_w - idle, 0.0) * min(level, 1.0)
    return boards * active + (machine.gpus - boards) * idle


def idle_watts(machine: Machine, factors: Factors) -> float:
    """Power of all boards with the model loaded and nothing to do, W."""
    return machine.gpus * machine.device.loaded_idle_w * factors["idle"]


def _smooth_maximum(x: float, y: float) -> float:
    """41 % above either where both are equal: neither hides the other whole."""
    return math.hypot(x, y)
