"""The line for ssh that parCorAnaWatch prints, typed on another host: the page is there, with its token alone."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import BIN
from effort import PATIENCE
from hosts import Hosts, missing

from parcorana import correlate

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
SERVER = """\
HostKey {folder}/host
AuthorizedKeysFile {folder}/key.pub
ListenAddress 10.77.0.1
StrictModes no
UsePAM no
PidFile none
"""
CLIENT = """\
IdentityFile {folder}/key
IdentitiesOnly yes
BatchMode yes
StrictHostKeyChecking no
UserKnownHostsFile /dev/null
LogLevel ERROR
"""
ASK = """\
import sys, time, urllib.error, urllib.request

def code(url):
    try:
        return urllib.request.urlopen(url).status
    except urllib.error.HTTPError as error:
        return error.code

until = time.monotonic() + float(sys.argv[1])
while True:  # until the tunnel is open
    try:
        print(*map(code, sys.argv[2:]))
        break
    except urllib.error.URLError:
        if time.monotonic() > until:
            raise
        time.sleep(0.05)
"""


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
@pytest.mark.skipif(SSHD is None or shutil.which("ssh") is None, reason="there is no sshd and ssh (openssh-server)")
def test_the_tunnel_that_is_printed(tmp_path):
    correlate(np.ones((9, 4, 4)), [1], output=tmp_path / "out.h5", progress=False)
    for name in ("host", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    (tmp_path / "server").write_text(SERVER.format(folder=tmp_path))
    (tmp_path / "client").write_text(CLIENT.format(folder=tmp_path))
    (tmp_path / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {tmp_path}/client "$@"\n')
    (tmp_path / "ssh").chmod(0o755)
    begun = []

    def begin(host, *command):
        command = ["timeout", "-k", "5", str(PATIENCE), *hosts.start(host), *map(str, command)]
        begun.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
        return begun[-1]

    def fetch(*urls):
        return begin("h2", sys.executable, "-c", ASK, PATIENCE / 2, *urls).communicate()[0].split()

    with Hosts(2, tmp_path) as hosts:
        try:
            page = begin("h1", BIN / "parCorAnaWatch", tmp_path / "out.h5")
            # in the namespace of mounts that it has to itself
            begin(
                "h1", "sh", "-c", f"mount -t tmpfs none /run && mkdir /run/sshd && exec {SSHD} -D -f {tmp_path}/server"
            )
            url, line = page.stdout.readline().strip(), page.stdout.readline()
            command = line.partition(": ")[2].partition("   ")[0]
            assert line.startswith("from another machine: ssh -N -L ") and command.endswith("@h1")
            begin("h2", "env", f"PATH={tmp_path}:/usr/bin:/bin", "sh", "-c", command)
            root = url.rsplit("/", 2)[0] + "/"
            assert fetch(url, root, f"{url[:-2]}/") == ["200", "403", "403"]
        finally:
            for each in reversed(begun):
                with each:
                    each.terminate()
