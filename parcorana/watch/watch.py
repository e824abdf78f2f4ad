"""Ranks look after each other, from a thread of their own: who is silent, which callback takes long.

Every rank sends a beat to the viewer, and the viewer one to all others, several
times within the limit `heartbeat`. The viewer judges all others, the others
judge the viewer. Whoever finds one silent says so and ends the job: of several,
one after the other, so that the first one speaks for all. A rank behind a link
that is cut so ends itself, though nobody can reach it.
"""

import logging
import os
import select
import selectors
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass, field

from parcorana._beat import FINISHED, FRAME, Beats
from parcorana.calculation.guard import OF_PROGRAM, ROLE_OF, RUNNING
from parcorana.forks import in_children
from parcorana.watch import start

log = logging.getLogger("parcorana")

_BEAT = 0.5  # s between two beats, at most
_PARENT = 0.5  # s between two looks whether mpiexec is there, before there are any beats
_SILENCE = 10.0  # s of silence, until the config says how much is too much
_OFTEN = 10  # beats within the limits
_LONG = 10.0  # s after which a callback is spoken of, where there is no limit to take that from
_GONE = 2.0  # s that mpiexec gets to end a job after one of its ranks is gone, or has said that it ends
_UNHEARD = 3  # looks after which it is spoken of
_ENDS = "the end of the run, which it has told"  # in a beat: the last one of a process that ends all
_TURN = 0.6  # s from rank to rank, until one of those who judge the viewer speaks: time to end the job
_TURNS = 5


@dataclass
class _Peer:
    """A rank that is watched, and what it said last."""

    rank: int
    role: str
    host: str
    link: socket.socket | None = None
    heard: float = 0.0
    data: bytearray = field(default_factory=bytearray)
    finished: bool = False
    gone: float | None = None
    at: str = ""
    callback: str = ""
    seconds: float = 0.0
    stale: float = 0.0
    spoken: float = 0.0  # seconds of the callback at which it was spoken of

    def __str__(self):
        if not self.host:
            return self.role
        return f"rank {self.rank} ({f'{self.role} ' if self.role else ''}on {self.host})"

    @property
    def last(self):
        """The last thing that it did, as far as is known."""
        return f"{_at(self)}{f', in {self.callback}' if self.callback else ''}"

    def take(self, frame):
        """Take in a beat."""
        kind, _, self.seconds, self.stale, callback, at = FRAME.unpack(frame)
        self.callback, self.at = (text.rstrip(b"\0").decode(errors="replace") for text in (callback, at))
        self.finished = kind == FINISHED


def end_without(parent, limit):
    """Have this process end, with exit status 1, when its parent does.

    MPI may wait for ever for a rank that does not come, and lets no other
    thread run meanwhile. So it has a limit, after which another program takes
    this one's place and tells.

    Parameters
    ----------
    parent : int
    limit : float
        Seconds until `or_else` is called again; 0: none.

    Returns
    -------
    Beats
        Stop it for this process to outlive its parent.
    """
    beats = Beats(RUNNING, parent, _PARENT)
    if limit:
        beats.or_else(limit, [os.fsencode(word) for word in (sys.executable, "-IS", start.__file__, f"{limit:g}")])
    return beats


class Watch:
    """The watch of one process.

    Parameters
    ----------
    start_limit : float
        Seconds that one step of the start may take, as the reading of the config; 0: any.
    ranks : list of (int, str, str)
        Rank, role and host of every rank; no roles as long as nobody knows them.
    rank : int or None
        Of this process; None: all are in this one.
    links : dict of int to socket
        By rank, as `parcorana.watch.links.connect` makes them.
    end : callable
        Called with the reason why the run must end, and whether mpiexec is about to do so; does not return.
    """

    def __init__(self, start_limit, ranks, rank, links, end):
        self._end = end
        self._limit(_SILENCE, start_limit, "--start-limit")
        self._roles = ()
        self._text = ""
        self._unheard = 0  # looks since a signal came that nobody has heard
        self._parent = os.getppid()
        self._finished = -_GONE  # when a rank last said that it ends
        self._peers = {other: _Peer(*ranks[other], link) for other, link in links.items()}
        self._own = _Peer(*(ranks[rank] if rank is not None else (0, "the run", "")))
        # without a link the viewer knows nothing of this one's callbacks
        self._judges_own = not rank or not links
        self._turn = _TURN * min(rank or 0, _TURNS)
        self._quit, self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="parcorana watch", daemon=True)
        self._beats = Beats(RUNNING, 0, self.interval)
        for link in links.values():
            self._beats.add(link.fileno(), self.interval)
        in_children(self._let_go)

    def _limit(self, silence, callback, name):
        self.limit, self.callback_limit, self._name = silence, callback, name
        limits = [limit for limit in (silence, callback) if limit]
        self.interval = min([_BEAT, *(limit / _OFTEN for limit in limits)])
        self._long = silence or _LONG

    def _let_go(self):
        """Leave the sockets to the process that beats: when it goes they are to close."""
        for peer in self._peers.values():
            peer.link.close()
        self._quit.close()
        self._wake.close()

    def start(self):
        """Begin to watch."""
        self._thread.start()
        return self

    def know(self, config, ranks):
        """Take the limits of a config, `heartbeat` and `callback_limit`, and the roles of all ranks."""
        for peer in (self._own, *self._peers.values()):
            if peer.host:
                peer.role = ranks[peer.rank][1]
        self._begin_anew()
        self._limit(config.heartbeat, config.callback_limit, "callback_limit")
        self._beats.pace(self.interval)

    def follow(self, roles):
        """Tell with the beats what these roles do: their attribute `at`."""
        self._roles = roles
        self._say()

    def does(self, text):
        """Tell with the beats what this process does while it has no roles."""
        self._text = text
        self._say()

    def close(self):
        """Say to the others that this rank has finished, and end the watch."""
        self._wake.send(b"q")
        if self._thread.is_alive():
            self._thread.join()
        self._beats.stop()
        for peer in self._peers.values():
            peer.link.close()
        self._quit.close()
        self._wake.close()

    def lost(self, seconds):
        """Return what to say of a rank that has gone, waiting so long for it; empty if none has, or one has told why.

        For the main thread, which MPI may tell first that something is wrong, but not with whom.
        """
        links = {peer.link.fileno(): peer for peer in self._peers.values() if not peer.finished}
        poll = select.poll()
        for link in links:
            poll.register(link, select.POLLRDHUP)
        gone = [links[link] for link, _ in poll.poll(1e3 * seconds)]
        return _ended(gone) if gone and time.monotonic() - self._finished > _GONE else ""

    # -- the thread -------------------------------------------------------------

    def _run(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are for the main thread
        with selectors.DefaultSelector() as selector:
            selector.register(self._quit, selectors.EVENT_READ)
            for peer in self._peers.values():
                selector.register(peer.link, selectors.EVENT_READ, peer)
            self._begin_anew()
            before = time.monotonic()
            while True:
                ready = selector.select(self._patience())
                if any(key.data is None for key, _ in ready):
                    return
                now = time.monotonic()
                for key, _ in ready:
                    self._hear(key.data, now, selector)
                self._say()
                if now - before > self.interval + self._long / 4:
                    # this process was stopped itself, or its interpreter was held: it knows nothing of the others
                    self._begin_anew()
                else:
                    self._judge(now)
                before = now
                # many beats at once are one reason to judge, and many ranks beat all the time
                if (rest := now + self.interval / 4 - time.monotonic()) > 0 and self._is_over(rest):
                    return

    def _is_over(self, seconds):
        """Sleep, but no longer than until a rank goes; tell whether the watch was closed meanwhile."""
        poll = select.poll()
        poll.register(self._quit, select.POLLIN)
        for peer in self._peers.values():
            if peer.gone is None:
                poll.register(peer.link, select.POLLRDHUP)
        return self._quit.fileno() in dict(poll.poll(1e3 * seconds))

    def _begin_anew(self):
        now = time.monotonic()
        for peer in self._peers.values():
            peer.heard = now

    def _patience(self):
        """Return how long to wait for beats: not beyond the moment at which a rank has been silent for too long."""
        now = time.monotonic()
        ends = [peer.heard + self.limit + self._turn - now for peer in self._peers.values() if not peer.finished]
        return max(min([self.interval, *ends]), self.interval / 4) if self.limit else self.interval

    def _say(self):
        """Note, and send, what this process does."""
        own, roles = self._own, self._roles
        own.callback, own.seconds = self._beats.look()
        if own.callback and not own.host:  # all roles are in this process
            own.role = ROLE_OF.get(own.callback) or "the run"
            roles = [role for role in roles if type(role).__name__.lower() == own.role]
        own.at = roles[0].at if len(roles) == 1 else self._text
        self._beats.say(own.at)
        self._speak_of_stop()

    def _speak_of_stop(self):
        """Answer a signal that stops the run while a callback keeps this process from looking."""
        job = getattr(self._roles[0], "job", None) if self._roles else None
        if job is None or not job.stop.unheard or not self._own.callback:
            self._unheard = 0
            return
        self._unheard += 1
        if self._unheard == _UNHEARD:
            what = self._own.callback
            log.warning("%s: as soon as %s returns, which runs since %.0f s", job.stop.unheard, what, self._own.seconds)

    def _hear(self, peer, now, selector):
        """Read what has come from a peer."""
        while True:
            try:
                data = peer.link.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                peer.gone = now
                selector.unregister(peer.link)
                return
            peer.heard = now
            peer.data += data
            while len(peer.data) >= FRAME.size:
                peer.take(bytes(peer.data[: FRAME.size]))
                del peer.data[: FRAME.size]
                if peer.finished or peer.at == _ENDS:
                    self._finished = now

    # -- judging ------------------------------------------------------------------

    def _judge(self, now):
        watched = [peer for peer in self._peers.values() if not peer.finished]
        late = self._turn + (0 if self._judges_own else 2 * self.interval)  # the viewer judges its callbacks itself
        gone = [peer for peer in watched if peer.gone is not None and now - peer.gone >= self._grace(peer, now)]
        if gone:
            self._end_all(_ended(gone), now - gone[0].gone < _GONE)
        silent = [peer for peer in watched if peer.gone is None and now - peer.heard > self.limit + self._turn]
        if self.limit and silent:
            peer = silent[0]
            self._end_all(
                f"{peer} has been silent for {now - peer.heard:.0f} s (heartbeat={self.limit:g}): its process is "
                f"stopped, or its host or the link to it is down; the last heard of it: {peer.last}{_more(silent)}"
            )
        if self._judges_own:
            watched.append(self._own)
        over = [peer for peer in watched if peer.callback and peer.seconds > (self.callback_limit or 1e99) + late]
        if over:
            peer = over[0]
            self._end_all(
                f"{peer}: {peer.callback} has run for {peer.seconds:.0f} s, longer than {self._name}="
                f"{self.callback_limit:g}, {_at(peer)}{_more(over)}"
            )
        if self._judges_own:
            self._speak_of_long(watched)

    def _grace(self, peer, now):
        """Return how long after the end of a rank it is spoken of.

        mpiexec is about to kill all others, and its status may then be 0: so at once, by one rank. But not where
        another rank has told why, or mpiexec has gone, for these take all along.
        """
        told = now - self._finished < _GONE or os.getppid() != self._parent
        speaks = self._own.rank == 0 or (self._own.rank == 1 and peer.link.family == socket.AF_UNIX)
        return 0.0 if speaks and not told else _GONE + self._turn

    def _end_all(self, reason, at_once=False):
        """End the run; those who see this process go are to know that all has been told."""
        self._beats.say(_ENDS)
        self._beats.pace(self.interval)  # sends it now
        time.sleep(1e-3)
        self._end(reason, at_once)

    def _speak_of_long(self, watched):
        """Log what takes long, at growing intervals, once for all ranks that do the same."""
        for peer in watched:
            if max(peer.seconds if peer.callback else 0, peer.stale) < peer.spoken:
                peer.spoken = 0.0
        for what in ("callback", "stale"):
            busy = {}
            for peer in watched:
                seconds, name = (peer.seconds, peer.callback) if what == "callback" else (peer.stale, "")
                if (peer.callback != "") == (what == "callback") and seconds >= self._long / 2:
                    busy.setdefault(name, []).append((seconds, peer))
            for name, ranks in busy.items():
                if not any(seconds >= max(self._long, 2 * peer.spoken) for seconds, peer in ranks):
                    continue
                for seconds, peer in ranks:
                    peer.spoken = seconds
                seconds, peer = max(ranks, key=lambda each: each[0])
                where = f"{peer}, {_at(peer)}"
                doing = (
                    f"{name} runs" if name else "compiled code holds the interpreter (a library that reads or writes?)"
                )
                # a machine that is busy, or much to calculate, is no fault
                level = logging.INFO if name.startswith(OF_PROGRAM) else logging.WARNING
                log.log(level, "%s: %s since %.0f s%s", where, doing, seconds, _more(ranks))


def _ended(gone):
    return f"{gone[0]} has ended without a word; the last heard of it: {gone[0].last}{_more(gone)}"


def _more(ranks):
    return f"; and {len(ranks) - 1} more like it" if len(ranks) > 1 else ""


def _at(peer):
    return f"{'' if peer.at.startswith(('before', 'after')) else 'at '}{peer.at or 'the start'}"
