"""What a session does beside its windows, as plans count it; a test compares it with the meter."""

# A run whose requests come again and again is of three batches at least (one fills, one is full,
# one ends), and how much longer than asked it is made
BATCHES, LONGER = 3, 1.1
# A replay warms up with its first requests
WARM_UP_REQUESTS = 4
# Warming up ends after so many seconds, but not before two runs
WARM_UP_S, FEWEST_WARM_UP_RUNS = 180.0, 2
# Starting Python, and reading weights: assumed where only a run can tell
START_S, LOAD_BYTES_PER_S = 30.0, 1e9
IDLE_PHASES = 3  # before loading, loaded, at the end
SETTLE_S = 5.0  # of GPUs that have worked, before each of the two idle phases with a loaded model


def idle_s(protocol: dict[str, int], gpus: int) -> float:
    """Seconds of all idle phases of a session, on so many GPUs."""
    seconds = protocol["idle_seconds"]
    return IDLE_PHASES * seconds + (2 * SETTLE_S if gpus and seconds else 0.0)
