"""Connections of the viewer with all other ranks, beside those of MPI: sockets, for beats only.

On one host they are sockets of the abstract namespace, and no port is opened.
To other hosts they are TCP, on the address from which that host is reached.
Whoever connects must know a random token, which travels over MPI, and on one
host be the same user; once all ranks have connected nobody else can.
"""

import errno
import fcntl
import os
import resource
import secrets
import selectors
import socket
import struct
import time
from contextlib import ExitStack, suppress

_SIOCGIFADDR = 0x8915
_HELLO = struct.Struct("=16sq")  # token, rank
_CREDENTIALS = struct.Struct("3i")  # process, user, group
_PATIENCE = 5.0  # s to connect
_OTHER_FILES = 512
_STRANGERS = 64  # who may knock before the ranks do


def connect(gather, rank, hosts):
    """Connect this rank with the viewer, or the viewer with all others; on all ranks together.

    Parameters
    ----------
    gather : callable
        Returns the values of all ranks for that of this one.
    rank : int
        Of this process; 0 is the viewer.
    hosts : list of str
        Of each rank.

    Returns
    -------
    links : dict of int to socket
        By rank, not blocking.
    missing : list of int
        Ranks that could not be connected with the viewer.
    """
    others = gather(_addresses() if hosts.count(hosts[0]) < len(hosts) else [])
    with ExitStack() as stack:
        listeners, offer = [], None
        if rank == 0:
            _make_room(len(hosts))
            token, name = secrets.token_bytes(16), f"\0parcorana-{secrets.token_hex(8)}"
            listeners = [stack.enter_context(each) for each in _listen(name, hosts, others)]
            offer = token, name, [each.getsockname()[:2] for each in listeners if each.family != socket.AF_UNIX]
        token, name, addresses = gather(offer)[0]
        links = {}
        if rank == 0:
            links = _accept(listeners, token, len(hosts) - 1)
        elif link := _reach(name if hosts[rank] == hosts[0] else None, addresses):
            try:
                link.sendall(_HELLO.pack(token, rank))
                links[0] = link
            except OSError:  # turned away already, where many knock
                link.close()
        connected = set(gather(sorted(links))[0])
    if rank and rank not in connected and links:
        links.pop(0).close()
    for link in links.values():
        link.setblocking(False)
    return links, [other for other in range(1, len(hosts)) if other not in connected]


def _make_room(ranks):
    """Allow this process to have that many sockets, and all other files that it needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ranks + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _addresses():
    """Return this host's addresses that others may reach: (family, address), the one of its name first."""
    found = []
    with suppress(OSError):
        known = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
        found += [(int(family), address[0]) for family, _, _, _, address in known]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            with suppress(OSError):
                answer = fcntl.ioctl(asked, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                found.append((int(socket.AF_INET), socket.inet_ntoa(answer[20:24])))
    useless = ("127.", "::1", "fe80:", "0.")
    return [each for each in dict.fromkeys(found) if not each[1].startswith(useless)]


def _listen(name, hosts, addresses):
    """Generate sockets that listen: one for this host, one for each address from which others are reached."""
    if hosts[0] in hosts[1:]:
        here = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with suppress(OSError):
            here.bind(name)
            here.listen(len(hosts) + _STRANGERS)
        yield here
    bound = set()
    for host in set(hosts) - {hosts[0]}:
        for family, address in addresses[hosts.index(host)]:
            mine = _address_towards(family, address)
            if mine in (None, address):  # two hosts may have the same address in networks of their own
                continue
            if mine not in bound:
                try:
                    there = socket.create_server((mine, 0), family=family, backlog=len(hosts) + _STRANGERS)
                except OSError:
                    continue
                bound.add(mine)
                yield there
            break


def _address_towards(family, address):
    """Return the address of this host from which another one is reached, None if it is not."""
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as asked:
        asked.connect((address, 9))  # sends nothing
        return asked.getsockname()[0]
    return None


def _reach(name, addresses):
    """Return a socket connected with the viewer, None if there is no way."""
    if name is not None:
        here = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        here.setblocking(False)
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            if (error := here.connect_ex(name)) == 0:
                here.settimeout(_PATIENCE)
                return here
            if error != errno.EAGAIN:  # nobody is there; else too many knock at once
                break
            time.sleep(5e-3)
        here.close()
        return None
    for address in addresses:
        with suppress(OSError):
            there = socket.create_connection(tuple(address), timeout=_PATIENCE / 2)
            there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return there
    return None


def _accept(listeners, token, count):
    """Return the sockets of so many ranks that know the token, as long as `_PATIENCE` allows."""
    links, until = {}, time.monotonic() + _PATIENCE
    with selectors.DefaultSelector() as selector:
        for listener in listeners:
            listener.setblocking(False)
            selector.register(listener, selectors.EVENT_READ)
        while len(links) < count and (left := until - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                if key.data is None:
                    _let_in(key.fileobj, selector, count + _STRANGERS)
                    continue
                link, said = key.fileobj, key.data
                if link.fileno() < 0:  # turned away meanwhile
                    continue
                with suppress(BlockingIOError):
                    try:
                        data = link.recv(_HELLO.size - len(said))
                    except ConnectionError:
                        data = b""
                    said += data
                    if data and len(said) < _HELLO.size:
                        continue
                    selector.unregister(link)
                    if data and secrets.compare_digest(bytes(said[:16]), token):
                        links[_HELLO.unpack(said)[1]] = link
                    else:
                        link.close()
        while _turn_away(selector):
            pass
    return links


def _let_in(listener, selector, most):
    """Accept a connection to hear its token, unless another user's; of too many who say nothing the first one goes."""
    try:
        link = listener.accept()[0]
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            _turn_away(selector)
        return
    if link.family == socket.AF_UNIX and _user_of(link) != os.geteuid():
        link.close()
        return
    if len(selector.get_map()) > most:
        _turn_away(selector)
    link.setblocking(False)
    selector.register(link, selectors.EVENT_READ, bytearray())


def _user_of(link):
    """Return the user whose process is at the other end of a socket of this host."""
    return _CREDENTIALS.unpack(link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[1]


def _turn_away(selector):
    """Close the connection that has waited longest without a token; tell whether there was one."""
    for key in selector.get_map().values():
        if key.data is not None:
            selector.unregister(key.fileobj)
            key.fileobj.close()
            return True
    return False
