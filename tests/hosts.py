"""Several hosts on one machine: network namespaces with hostnames of their own, joined by a switch.

Nothing of the machine's own network is touched, and nothing of it can be reached from inside.
"""

import os
import shutil
import subprocess
import time
from functools import cache
from pathlib import Path

from effort import PATIENCE

ENTER = """\
#!/bin/sh
# What mpiexec calls in place of ssh: a host, and what to run there. Options are meant for ssh.
while [ "${{1#-}}" != "$1" ]; do shift; done
host=$1
shift
exec ip netns exec "{prefix}$host" unshare --uts sh -c "hostname $host; $*"
"""


def _run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")


@cache
def missing():
    """Return why this machine cannot have hosts of ours, None if it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "unshare"):
        if shutil.which(tool) is None:
            return f"there is no {tool} (iproute2, util-linux)"
    name = f"pca{os.getpid()}try"
    try:
        _run("ip", "netns", "add", name)
        try:
            _run("ip", "netns", "exec", name, "unshare", "--uts", "hostname", "try")
        finally:
            _run("ip", "netns", "del", name)
    except OSError as error:
        return f"network namespaces are not allowed here ({error})"
    return None


class Hosts:
    """Hosts h1, h2, ...: a context manager.

    Parameters
    ----------
    number : int
    folder : Path
        For the launcher's script and host file.

    Attributes
    ----------
    names : list of str
    """

    def __init__(self, number, folder):
        self.names = [f"h{k + 1}" for k in range(number)]
        self.folder = Path(folder)
        # names of interfaces, which the switch's are made of, have at most 15 letters
        self._prefix = f"p{os.getpid() % 0xFFFFF:x}{id(self) >> 4 & 0xFFF:x}"
        self._switch = f"{self._prefix}sw"

    def _of(self, host):
        return f"{self._prefix}{host}"

    def __enter__(self):
        try:
            _run("ip", "netns", "add", self._switch)
            _run("ip", "-n", self._switch, "link", "add", "br0", "type", "bridge")
            _run("ip", "-n", self._switch, "link", "set", "br0", "up")
            table = "127.0.0.1 localhost\n" + "".join(f"10.77.0.{k + 1} {h}\n" for k, h in enumerate(self.names))
            for k, host in enumerate(self.names):
                space = self._of(host)
                _run("ip", "netns", "add", space)
                etc = Path("/etc/netns") / space  # what `ip netns exec` puts over /etc
                etc.mkdir(parents=True)
                (etc / "hosts").write_text(table)
                _run("ip", "link", "add", "eth0", "netns", space, "type", "veth", "peer", host, "netns", self._switch)
                _run("ip", "-n", self._switch, "link", "set", host, "master", "br0")
                _run("ip", "-n", self._switch, "link", "set", host, "up")
                _run("ip", "-n", space, "addr", "add", f"10.77.0.{k + 1}/24", "dev", "eth0")
                for device in ("eth0", "lo"):
                    _run("ip", "-n", space, "link", "set", device, "up")
            self._wait_until_up()
        except BaseException:
            self.__exit__()
            raise
        script = self.folder / "enter"
        script.write_text(ENTER.format(prefix=self._prefix))
        script.chmod(0o755)
        return self

    def _wait_until_up(self):
        """The kernel takes up to a second to call a link up."""
        for host in self.names:
            end = time.monotonic() + PATIENCE
            command = ["ip", "netns", "exec", self._of(host), "cat", "/sys/class/net/eth0/operstate"]
            while subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() != "up":
                if time.monotonic() > end:
                    raise OSError(f"the link of {host} does not come up")
                time.sleep(0.05)

    def __exit__(self, *_):
        for space in (*map(self._of, self.names), self._switch):
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)
            shutil.rmtree(Path("/etc/netns") / space, ignore_errors=True)

    def start(self, host="h1"):
        """Return the beginning of a command that runs on a host."""
        named = f'hostname {host}; exec "$@"'
        return ["ip", "netns", "exec", self._of(host), "unshare", "--uts", "sh", "-c", named, "sh"]

    def environment(self, *ranks, mpi="mpich"):
        """Return what tells mpiexec to start so many ranks on each host, and MPI to use the network between them."""
        listed = self.folder / "hostfile"
        slots = "{} slots={}\n" if mpi == "openmpi" else "{}:{}\n"
        listed.write_text("".join(slots.format(host, n) for host, n in zip(self.names, ranks, strict=True) if n))
        if mpi == "openmpi":
            return {
                "PRTE_MCA_plm_ssh_agent": str(self.folder / "enter"),
                "PRTE_MCA_prte_default_hostfile": str(listed),
                "PRTE_MCA_prte_if_include": "eth0",
                "PRTE_MCA_hwloc_default_binding_policy": "none",  # there may be more ranks than cores
                "OMPI_MCA_btl": "tcp,self",
                "OMPI_MCA_btl_tcp_if_include": "eth0",
            }
        return {
            "HYDRA_LAUNCHER": "ssh",
            "HYDRA_LAUNCHER_EXEC": str(self.folder / "enter"),
            "HYDRA_HOST_FILE": str(listed),
            "UCX_TLS": "tcp,self",
            "UCX_NET_DEVICES": "eth0",
        }

    def received(self, host):
        """Return the bytes that came to a host over the network."""
        command = [*self.start(host), "cat", "/sys/class/net/eth0/statistics/rx_bytes"]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    def cut(self, host):
        """Take a host's link down."""
        _run("ip", "-n", self._of(host), "link", "set", "eth0", "down")
