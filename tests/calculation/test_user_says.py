"""What a class says of itself: nearly a callback's name, parameters, history; and data that nothing would use."""

import numpy as np
import pytest
from test_user_class import DELAYS, SHIPPED, Derived, Own, Reduces, run_class

from parcorana import ConfigError, RunError
from parcorana.calculation.says import needs_history
from parcorana.userg2 import G2atEnd


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("finaldataArray", "finalDataArray"),
        ("event_ok", "eventOk"),
        ("evtOk", "eventOk"),
        ("ADJUSTDATA", "adjustData"),
        ("worker_reduce", "workerReduce"),
        ("viewerPublishReduce", "viewerPublishReduced"),
        ("keep_history", "keeps_history"),
        ("storageOrder", "storage_order"),
        ("takeParams", "takes_params"),
    ],
)
@pytest.mark.parametrize("inherited", [False, True])
def test_what_is_nearly_a_callback_is_said(tmp_path, caplog, name, meant, inherited):
    Mine = type("Base" if inherited else "Mine", (Own,), {name: lambda self: None})
    run_class(tmp_path, type("Mine", (Mine,), {}) if inherited else Mine)
    assert f"user_class Mine: {name!r} is no callback; did you mean {meant!r}?" in caplog.text


@pytest.mark.parametrize("kind", [Own, Derived, *SHIPPED])
def test_a_class_says_which_parameters_it_takes(tmp_path, kind, caplog):
    class First(kind):
        takes_params = ("width",)

    class Second(First):
        takes_params = ["height"]

    user = {"width": 1, "height": 2, "widht": 3} | ({"notzero": 1} if kind in SHIPPED else {})
    run_class(tmp_path, Second, user=user)
    said = [record.message for record in caplog.records if "means nothing to" in record.message]
    assert said == ["user_params['widht'] means nothing to Second; did you mean 'width'?"]
    caplog.clear()
    run_class(tmp_path, kind, user=user)
    said = [record.message for record in caplog.records if "means nothing to" in record.message]
    assert len(said) == (3 if kind in SHIPPED else 0)  # a class that says nothing takes anything


def test_a_class_says_that_its_history_is_its_own():
    assert needs_history(Own) and needs_history(Derived) and all(map(needs_history, SHIPPED))
    assert not needs_history(type("Mine", (Own,), {"keeps_history": True}))


@pytest.mark.parametrize("value", ["all", 2, None, [True], "Last"])
@pytest.mark.parametrize("kind", [Reduces, G2atEnd])
def test_save_arrays_is_checked_for_all_that_reduce(tmp_path, kind, value):
    with pytest.raises(ConfigError, match=r"^user_params\['save_arrays'\] must be 'last', True or False, not "):
        run_class(tmp_path, kind, user={"save_arrays": value})
    run_class(tmp_path, Own, user={"save_arrays": value})  # to whom it may mean anything


@pytest.mark.parametrize(("value", "times"), [(1, 6), (np.True_, 6), ("last", 2), (0, 0), (np.False_, 0)])
def test_what_stands_for_true_is_true(tmp_path, value, times):
    called = []
    Mine = type("Mine", (Reduces,), {"viewerPublishArray": lambda self, *args: called.append(args[1])})
    run_class(tmp_path, Mine, user={"save_arrays": value})
    assert called == DELAYS * (times // 2)


# -- data -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Own, *SHIPPED])
def test_adjustdata_that_returns_a_new_array_is_refused(tmp_path, kind):
    for change in (lambda self, data: data - 1, lambda self, data: np.maximum(data, 3)):
        with pytest.raises(RunError, match=r"^Mine\.adjustData returns an array, which nothing uses: it must change"):
            run_class(tmp_path, type("Mine", (kind,), {"adjustData": change}))
    for fine in (lambda self, data: np.maximum(data, 3, out=data), lambda self, data: data[:], lambda self, data: 5):
        run_class(tmp_path, type("Mine", (kind,), {"adjustData": fine}))


@pytest.mark.parametrize("kind", [Own, G2atEnd])
def test_a_masked_array_is_no_event(tmp_path, kind, caplog):
    """Its mask would be lost on the way, and what it hides be correlated."""
    Mine = type("Mine", (kind,), {"finalDataArray": lambda self, data, evt: np.ma.masked_greater(data, 5)})
    roles = run_class(tmp_path, Mine)
    assert roles[0].finished["bad"] == 27
    assert "after Mine.finalDataArray it is a masked array, whose mask nothing reads" in caplog.text
