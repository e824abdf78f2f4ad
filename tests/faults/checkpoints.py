"""Checkpoint files, damaged by chance or changed by somebody who then makes the checksums right."""

import io
import json
import os
import shutil
import zlib
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from faults import parsers
from faults.stacks import in_child
from parcorana.tools.compare import compare
from parcorana.tools.driver import main

FOLDER = "out.h5.inprogress"
ODD = [None, -1, 0, 1, 2**31, 2**63, 1e308, float("nan"), "", "x", "\x1b[2J\n", [], [[]], {}, True, "C", "<f4", "|O"]


def begin(setup):
    """Write a config into the folder of a `conftest.Setup`; run it to its end, and into an error after a checkpoint."""
    setup.write("G2IncrementalAccumulator", checkpoint=40, overwrite=False)
    config = setup.folder / "config.py"
    config.write_text(
        config.read_text(encoding="utf-8").replace("from parcorana import userg2", "import keepers as userg2")
    )
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    assert setup.drive("-o", "whole.h5", env=env).returncode == 0
    assert setup.drive(env=env | {"STRIKE": "raise:server:170"}).returncode == 1
    assert list((setup.folder / FOLDER).glob("checkpoint_*.json"))


def signed(about):
    """Return a manifest."""
    text = json.dumps(about).encode()
    return b"%08x\n" % zlib.crc32(text) + text


def changed(random, value):
    """Return JSON with one thing changed, at any depth."""
    if isinstance(value, dict | list) and value and random.random() < 0.8:
        value = value.copy()
        key = random.choice(list(value) if isinstance(value, dict) else range(len(value)))
        if random.random() < 0.1:
            del value[key]
        else:
            value[key] = changed(random, value[key])
        return value
    return random.choice(ODD)


def change_part(random, part, about):
    """Change the description at the beginning of a worker's file; make the manifest right."""
    data = part.read_bytes()
    begin = data.index(b"\n") + 1
    end = begin + 8 + int.from_bytes(data[begin : begin + 8], "little")
    head = json.loads(data[begin + 8 : end])
    for _ in range(random.randint(1, 2)):
        head = changed(random, head)
    text = json.dumps(head).encode()
    data = data[:begin] + len(text).to_bytes(8, "little") + text + data[end:]
    part.write_bytes(data)
    return about | {"parts": [[len(data), zlib.crc32(data)]]}


def resume(folder, forged):
    """Go on with the run, as a user does."""
    os.chdir(folder)
    with redirect_stderr(io.StringIO()) as said, redirect_stdout(io.StringIO()):
        status = main(["-c", "config.py", "--resume"])
    lines = [line for line in said.getvalue().splitlines() if line.startswith("parCorAnaDriver: ")]
    assert "Traceback" not in said.getvalue(), said.getvalue()
    if status:
        assert len(lines) == 1 and lines[0].isprintable(), said.getvalue()
        assert status == 2 or forged, said.getvalue()
        assert any(word in lines[0] for word in ("checkpoint", "--resume", ".setState: ")), lines[0]
        return "refused"
    if not forged:
        assert compare("out.h5", "whole.h5") == []
    return "read"


def checkpoint(random, folder, begun):
    """One set of files, damaged or forged."""
    for path in (*folder.glob("*.h5"), folder / FOLDER):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for path in begun.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    shutil.copytree(begun / FOLDER, folder / FOLDER)
    (manifest,), (part,) = (sorted((folder / FOLDER).glob(f"checkpoint_*{end}")) for end in (".json", "_0*.part"))
    forged = random.random() < 0.6
    if forged:
        about = json.loads(manifest.read_bytes().split(b"\n", 1)[1])
        about = changed(random, about) if random.random() < 0.5 else change_part(random, part, about)
        manifest.write_bytes(signed(about))
    else:
        path = random.choice((manifest, part))
        path.write_bytes(parsers.damaged(path.read_bytes(), random, 4))
    said = in_child(resume, folder, forged)
    assert said in ("read", "refused"), said
    return said
