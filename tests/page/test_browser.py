"""The page in a browser, beside a job that goes on."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import BIN
from effort import PATIENCE

from parcorana.events import simulated

CHROMIUM, CHROMEDRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
DATASET = "sim=brownian:shape=2x16x16:events=1000000:tau=20:colors=3:sase=0.3:hz=200:live"
CONFIG = f"""\
import parcorana
from parcorana.userg2 import G2IncrementalAccumulator

system_params = {{
    "dataset": {DATASET!r}, "mask": "mask.npy", "times": 101, "update": 100, "rate": 200.0,
    "delays": parcorana.make_delay_list(1, 100, 12), "user_class": G2IncrementalAccumulator, "h5output": "out.h5",
}}
user_params = {{"color": "color.npy", "normalization": "pixel", "frame_norm": "pulse"}}
"""
NAMED = "return Bokeh.documents[0].get_model_by_name(arguments[0])"
DEEP = """
    const found = []
    const look = (root) => root.querySelectorAll("*").forEach((each) => {
        if (each.matches(arguments[0])) found.push(each)
        if (each.shadowRoot) look(each.shadowRoot)
    })
    look(document)
    return found
"""


@pytest.fixture
def begun():
    """Starts programs, which end with the test."""
    started = []

    def begin(*command, cwd, **kwargs):
        env = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
        command = ["timeout", "-k", "5", str(PATIENCE), *map(str, command)]
        started.append(subprocess.Popen(command, cwd=cwd, env=env, text=True, **kwargs))
        return started[-1]

    yield begin
    for each in started:
        if each.poll() is None:
            each.terminate()
        each.communicate()


@pytest.fixture
def browser(tmp_path):
    if CHROMIUM is None or CHROMEDRIVER is None:
        pytest.skip("there is no chromium with chromedriver: .ci/system-packages chromium")
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    made = Chrome(options=options, service=ChromeService(CHROMEDRIVER))
    made.set_script_timeout(PATIENCE)
    yield made
    made.quit()


def wait_for(what, seconds=PATIENCE):
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until
        time.sleep(0.1)
    return found


def taken(browser, path, width):
    """Take a picture of the whole page, as wide as a screen; return how wide the page is."""
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    time.sleep(1)
    size["height"] = browser.execute_script("return document.documentElement.scrollHeight")
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    time.sleep(1)
    browser.save_screenshot(str(path))
    return browser.execute_script("return document.documentElement.scrollWidth")


def test_a_run_is_followed(tmp_path, begun, browser):
    """An update arrives by itself, a colour goes when it is clicked, an older update comes back, the end is said."""
    np.save(tmp_path / "mask.npy", np.ones((2, 16, 16), np.uint8))
    np.save(tmp_path / "color.npy", simulated.colors(DATASET))
    (tmp_path / "config.py").write_text(CONFIG, encoding="utf-8")
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        job = begun("mpiexec", "-n", 4, "parCorAnaDriver", "-c", "config.py", cwd=tmp_path, stdout=log, stderr=log)
    wait_for((tmp_path / "out.h5.inprogress").is_dir)
    page = begun(sys.executable, "-m", "parcorana.tools.watch", "out.h5", cwd=tmp_path, stdout=subprocess.PIPE)
    url = page.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", url)
    assert page.stdout.readline().startswith("from another machine: ssh -N -L ")

    def text(name):
        return browser.execute_script(f"{NAMED.replace('return', 'return (')})?.text ?? ''", name)

    def processed():
        return int((re.search(r">([\d,]+)</div>", text("numbers")) or [0, "0"])[1].replace(",", ""))

    browser.get(url)
    wait_for(lambda: browser.execute_script("return window.Bokeh?.documents?.length"))
    first = wait_for(processed)
    wait_for(lambda: processed() > first)
    assert "RUNNING" in text("state")
    boxes = wait_for(lambda: browser.execute_script(DEEP, "input[type=checkbox]"))
    assert len(boxes) == 3
    seen = f"{NAMED.replace('return', 'const dots =')}; return Array.from(dots.view.indices).length"
    every = browser.execute_script(seen, "dots")
    boxes[0].click()
    wait_for(lambda: browser.execute_script(seen, "dots") == every * 2 / 3)
    for width in (1600, 390):
        assert taken(browser, tmp_path / f"page-{width}.png", width) <= width
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map((each) => each.name)")
    assert loaded and all(name.startswith((url, "data:")) for name in loaded)
    assert not [each for each in browser.get_log("browser") if each["level"] == "SEVERE"]
    job.send_signal(signal.SIGTERM)
    wait_for(lambda: "STOPPED" in text("state"))
    assert "stopped by SIGTERM" in text("warnings")
