"""psana of LCLS-I: the calls that are made, on a stand-in that proves their shapes only; and fiducials."""

import sys
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parcorana.errors import ConfigError, EventError
from parcorana.events.dataset import parse_dataset
from parcorana.events.fiducials import HZ, WRAP, FiducialClock
from parcorana.events.open import open_source
from parcorana.events.protocol import Share

PULSES = [131_030 + 3 * k for k in range(20)]  # the counter begins again on the way


class EventId:
    def __init__(self, pulse):
        self._pulse = pulse

    def time(self):
        jitter = 40_000 * (self._pulse % 7)
        return 1_400_000_000 + self._pulse // HZ, self._pulse % HZ * 10**9 // HZ + jitter

    def fiducials(self):
        return self._pulse % WRAP


class Evt:
    def __init__(self, pulse):
        self.pulse = pulse

    def get(self, what):
        assert what is EventId
        return EventId(self.pulse)


class Run:
    def events(self):
        return iter([Evt(pulse) for pulse in PULSES])

    def times(self):
        return [("time", pulse) for pulse in PULSES]

    def event(self, time):
        assert time[0] == "time"
        return None if time[1] == PULSES[4] else Evt(time[1])


class Detector:
    def __init__(self, name):
        if name not in ("cspad", "DetInfo(XppGon.0:Cspad.0)"):
            raise KeyError(f"unknown detector {name}")

    def raw(self, evt):
        return None if evt.pulse == PULSES[3] else np.full((2, 3), evt.pulse, np.int32)

    calib = raw
    shape = (2, 3)


@pytest.fixture
def psana(monkeypatch):
    module = types.ModuleType("psana")
    module.asked = []

    class DataSource:
        def __init__(self, text):
            module.asked.append(text)

        def runs(self):
            return iter([Run(), Run()])

    module.DataSource, module.Detector, module.EventId = DataSource, Detector, EventId
    monkeypatch.setitem(sys.modules, "psana", module)
    return module


def opened(text, src="cspad", type_=None, **share):
    return open_source(parse_dataset(text), src=src, type_=type_, share=Share(block=4, **share), log=lambda line: None)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("exp=xpptut15:run=54", "exp=xpptut15:run=54:smd"),
        ("exp=xpp/xpptut15:run=54-56,60:smd:dir=/d", "exp=xpp/xpptut15:run=54,55,56,60:dir=/d:smd"),
        ("exp=xpptut15:run=54:idx:stream=0-2", "exp=xpptut15:run=54:stream=0,1,2:idx"),
        ("exp=xpptut15:run=54:live", "exp=xpptut15:run=54:smd:live"),
        ("shmem=psana.0", "shmem=psana.0"),
    ],
)
def test_dataset(psana, text, asked):
    opened(text)
    assert psana.asked == [asked]


@pytest.mark.parametrize("mode", ["smd", "idx"])
@pytest.mark.parametrize("servers", [1, 2])
@pytest.mark.parametrize("numevents", [0, 25])
def test_events(psana, mode, servers, numevents):
    """Each event is read by one server; times are whole pulses although the clock jitters and the counter wraps."""
    found = {}
    for server in range(servers):
        share = {"server": server, "servers": servers, "numevents": numevents}
        source = opened(f"exp=a:run=1:{mode}", "DetInfo(XppGon.0:Cspad.0)", "calib", **share)
        assert (source.stamps, source.live) == ("ns", False)
        for number, block in enumerate(source.blocks()):
            for k, event in enumerate(block):
                found[(number * servers + server) * 4 + k] = event
                pulse = PULSES[((number * servers + server) * 4 + k) % 20]
                if mode == "idx" and pulse == PULSES[4]:
                    with pytest.raises(EventError, match="psana cannot read it"):
                        event.data()
                    continue
                data = event.data()
                assert data is None if pulse == PULSES[3] else (data == pulse).all()
                assert event.evt.pulse == pulse
    assert sorted(found) == list(range(numevents or 40))
    assert [found[k].run for k in sorted(found)] == ([0] * 20 + [1] * 20)[: numevents or 40]
    stamps = [found[k].stamp for k in range(20) if not (mode == "idx" and k == 4)]
    pulses = [p for k, p in enumerate(PULSES) if not (mode == "idx" and k == 4)]
    assert [round((stamp - stamps[0]) * HZ / 1e9) for stamp in stamps] == [pulse - PULSES[0] for pulse in pulses]
    assert max(abs((s - stamps[0]) * HZ - (p - PULSES[0]) * 10**9) for s, p in zip(stamps, pulses, strict=True)) <= HZ


def test_live(psana):
    events = [event for event in opened("exp=a:run=1:live").events() if event is not None]
    assert len(events) == 40 and events[0].data().shape == (2, 3)


@pytest.mark.parametrize(
    ("text", "what", "words"),
    [
        ("exp=a:run=1:live", {"servers": 2}, "with one server: numservers=1"),
        ("shmem=a", {"servers": 3}, "with one server"),
        ("exp=a:run=1", {"src": "epix"}, "src 'epix': psana: .*unknown detector epix"),
        ("exp=a:run=1", {"type_": "row"}, "type 'row': detector 'cspad' has these: calib, raw, shape"),
        ("exp=a:run=1", {"type_": "shape"}, "type 'shape'"),
        ("file=a.xtc2", {}, "'file=' is for xtc2"),
    ],
)
def test_refused(psana, text, what, words):
    with pytest.raises(ConfigError, match=words):
        opened(text, **what)


def test_it_says_that_it_was_never_tried(psana):
    lines = []
    open_source(parse_dataset("exp=a:run=1"), src="cspad", share=Share(), log=lines.append)
    assert len(lines) == 1 and "never run on real data" in lines[0]


@settings(max_examples=200, deadline=None)
@given(
    first=st.integers(0, 10**9),
    steps=st.lists(st.integers(-1000, 10**8), min_size=1, max_size=20),
    jitter=st.lists(st.integers(-(10**11), 10**11), min_size=21, max_size=21),
)
def test_fiducials(first, steps, jitter):
    """The pulse is found whatever the clock does, up to a fraction of the six minutes between two wraps."""
    clock, pulses = FiducialClock(), np.cumsum([first, *steps]).tolist()
    for k, pulse in enumerate(pulses):
        time = 10**18 + pulse * 10**9 // HZ + (jitter[k] if k else 0)
        stamp = clock.stamp(time // 10**9, time % 10**9, pulse % WRAP)
        start = 10**18 + first * 10**9 // HZ
        assert abs((stamp - start) * HZ - (pulse - first) * 10**9) <= HZ
