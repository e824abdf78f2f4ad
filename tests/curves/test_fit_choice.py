"""Which fit is asked for: forms of it that are the same, and wrong ones, each with its sentence."""

import json
import math

import numpy as np
import pytest
from conftest import status_of

from parcorana.curves.fitchoice import Choice, choice_in, choice_of
from parcorana.errors import ConfigError
from parcorana.tools import merge, plot

pytest.importorskip("scipy")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("single", "single"),
        ("stretched,baseline=1,tau=10:500", {"fixed": {"baseline": 1}, "bounds": {"tau": (10, 500)}}),
        ("double,tau=:20,tau_slow=20:", {"bounds": {"tau": (None, 20), "tau_slow": [20, math.inf]}}),
        ("stretched,exponent~0.7,delays=2:", {"start": {"exponent": np.float32(0.7)}, "delays": (2, None)}),
        (" single , contrast = 0.1 ", {"fixed": {"contrast": 0.1}, "bounds": None, "delays": None}),
        ("single,tau=1:30,tau~3,delays=1:100", {"bounds": {"tau": (1, 30)}, "start": {"tau": 3}, "delays": [1, 100]}),
    ],
)
def test_forms_of_the_same(text, plain):
    choice = choice_in(text)
    asked = plain if isinstance(plain, str) else {"kind": text.split(",")[0].strip(), **plain}
    other = choice_of(asked)
    assert choice.free == other.free and choice.delays == other.delays and choice.bounds == other.bounds
    assert choice.start == pytest.approx(other.start)
    assert choice_in(choice.text) == choice == choice_of(json.loads(json.dumps(choice.plain)))
    assert choice_of(None) is None and choice_of(False) is None and choice_of(choice) is choice


def test_delays():
    delays = np.array([0, 1, 2, 5, 10])
    assert choice_in("single,delays=0:5").takes(delays).tolist() == [False, True, True, True, False]
    choice_of("double").check_delays(delays)  # nobody has left any out
    choice_in("single,baseline=1,delays=2:").check_delays(delays)
    with pytest.raises(
        ConfigError, match=r"fit: its delays 2: leave 3 of the run's 5, and 3 parameters take 4 or more"
    ):
        choice_in("single,delays=2:").check_delays(delays)
    assert Choice("single").takes_all


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("singel", "fit must be one of single, stretched, double, a dict with such a kind, or None, not 'singel'; did"),
        ({"fixed": {"baseline": 1}}, "a dict with such a kind, or None, not {'fixed': {'baseline': 1}}"),
        (5, "fit must be one of"),
        (
            {"kind": "single", "fixd": {}},
            "fit has kind, fixed, bounds, start, delays, not 'fixd'; did you mean 'fixed'?",
        ),
        (
            {"kind": "single", "fixed": {"exponent": 1}},
            "a single exponential has baseline, contrast, tau, not 'exponent'",
        ),
        ({"kind": "double", "start": {"tau_slwo": 9}}, "not 'tau_slwo'; did you mean 'tau_slow'?"),
        ({"kind": "single", "fixed": "baseline"}, "fit fixed must be a dict, as {'baseline': value}, not 'baseline'"),
        ({"kind": "single", "bounds": [1, 2]}, "fit bounds must be a dict, as {'baseline': (low, high)}, not [1, 2]"),
        ({"kind": "single", "fixed": {"tau": "9"}}, "fit fixed tau must be a number above 0, not '9'"),
        ({"kind": "single", "fixed": {"tau": 0}}, "fit fixed tau must be a number above 0, not 0"),
        ({"kind": "single", "fixed": {"baseline": True}}, "fit fixed baseline must be a number, not True"),
        ({"kind": "single", "start": {"baseline": math.nan}}, "fit start baseline must be a number, not nan"),
        ({"kind": "single", "bounds": {"tau": 5}}, "fit bounds tau must be two numbers, low and high, not 5"),
        (
            {"kind": "single", "bounds": {"tau": (9, 1)}},
            "fit bounds tau must be low and high, in this order, not (9, 1)",
        ),
        ({"kind": "single", "bounds": {"tau": (-9, 0)}}, "fit bounds tau: it is above 0, and must be below 0"),
        ({"kind": "single", "fixed": {"tau": 1}, "bounds": {"tau": (1, 2)}}, "tau is fixed, and has bounds"),
        ({"kind": "single", "fixed": {"tau": 1}, "start": {"tau": 2}}, "tau is fixed, and has a start"),
        ({"kind": "single", "bounds": {"tau": (1, 2)}, "start": {"tau": 3}}, "tau starts at 3, beyond its bounds 1:2"),
        ({"kind": "single", "delays": 5}, "fit delays must be two numbers"),
        ({"kind": "single", "delays": (1, 10**400)}, "fit delays must be a number, not 1000"),
        ({"kind": "single", "fixed": dict.fromkeys(("baseline", "contrast", "tau"), 1)}, "leave one of them free"),
        ({"kind": "double", "fixed": {"tau": 9, "tau_slow": 3}}, "must be below tau_slow"),
    ],
)
def test_wrong_ones(asked, sentence):
    with pytest.raises(ConfigError) as error:
        choice_of(asked)
    assert sentence in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("singel", "fit must be one of single, stretched, double, not 'singel'; did you mean 'single'?"),
        ("", "not ''"),
        ("single,tau", "'tau' in 'single,tau' is not name=value, name=low:high or name~start, as single"),
        ("single,tau=1:2:3", "is not name=value"),
        ("single,tau~1:2", "is not name=value"),
        ("single,tau=", "fit fixed tau must be a number above 0"),
        ("single,tau=x", "'x' in 'single,tau=x' is not a number"),
        ("single,delays=5", "delays are a first and a last one, as delays=1:1000"),
        ("single,tau=5,tau=6", "tau is in 'single,tau=5,tau=6' twice"),
        ("single,taw=5", "not 'taw'; did you mean 'tau'?"),
    ],
)
def test_wrong_texts(text, sentence, capsys):
    for main, *more in ((plot.main,), (merge.main, "-o", "out.h5")):
        assert status_of(main, "none.h5", *more, "--fit", text) == 2
        said = capsys.readouterr().err
        assert "argument --fit: " in said and sentence in said and "Traceback" not in said
