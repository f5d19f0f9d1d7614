"""What making weights took, where the meter cannot say it: the weights are kept."""

import time

import pytest

from joulegrid.errors import InputError
from joulegrid.metering import cost, stopwatch
from joulegrid.metering.meter import Meter
from joulegrid.metering.replay import Recording
from joulegrid.metering.samples import Equipment, Host, Sample

CPU = {"device": "cpu"}


class Failing(Recording):
    """Sensors that are lost once work has begun."""

    def read(self, quick=False):
        if len(self.reads) >= self.reads_before:
            raise InputError("the GPU answers no more")
        self.reads.append(quick)
        return super().read(quick)


@pytest.fixture
def failing(monkeypatch):
    """A meter whose sensors answer so many times."""

    def of(reads):
        idle = Host(0.0, 0.0, 0.0)
        sensors = Failing(Equipment(1, 1), [Sample(float(t), idle) for t in range(1000)])
        sensors.reads, sensors.reads_before = [], reads
        meter = Meter("machine", CPU, sensors)
        monkeypatch.setattr(cost, "Meter", lambda *_: meter)
        return meter

    return of


def test_weights_are_kept_where_the_meter_fails(failing, capsys):
    """Hours of quantizing were thrown away with a board that was lost, or a job that slept."""
    failing(1)
    made, took = cost.metered(CPU, lambda: time.sleep(0.2) or "weights")
    assert made == "weights"
    assert took["seconds"] >= 0.2
    assert took["energy_j"] == {}
    assert took["wrong"] == took["disturbed"] == ["not metered: the GPU answers no more"]
    assert capsys.readouterr().out == "not metered: the GPU answers no more\n"


def test_weights_are_made_where_there_is_no_meter(monkeypatch):
    def refused(*_):
        raise InputError("of a board that is divided by MIG energy can be read for the whole only")

    monkeypatch.setattr(cost, "Meter", refused)
    made, took = cost.metered(CPU, lambda: "weights")
    assert made == "weights"
    assert took["wrong"][0].startswith("not metered: of a board that is divided by MIG")


def test_work_that_fails_has_no_cost(failing):
    def work():
        raise ValueError("no such layer")

    failing(1000)
    with pytest.raises(ValueError, match="no such layer"):
        cost.metered(CPU, work)


def test_epochs_are_kept_where_the_meter_fails(failing):
    watch = stopwatch.Stopwatch(failing(1))
    watch.start()
    took = watch.stop()
    assert took["energy_j"] == {}
    assert took["wrong"] == ["not metered: the GPU answers no more"]
    assert took["basis"]["gpu"] == "absent"
    loss, took = watch.measure(lambda: 0.5)
    assert (loss, took["energy_j"]) == (0.5, {})
    watch.close()


def test_samples_of_earlier_epochs_are_let_go(failing):
    watch = stopwatch.Stopwatch(failing(1000))
    for _ in range(3):
        watch.start()
        watch.stop()
    assert len(watch.meter.recorded) == 2
    watch.close()
