"""The server of the page: who may ask, and that nothing but the page is answered."""

import errno
import hmac
import logging
import os
import re
import secrets
import socket
from concurrent.futures import ThreadPoolExecutor

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.web import RequestHandler

from parcorana.errors import ConfigError
from parcorana.page.document import Page

POLL = 2.0  # seconds from one look at the run to the next
_HOME = ("127.0.0.1", "localhost", "[::1]")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::\d{1,5})?")


class _Refused(RequestHandler):
    """The answer to whoever does not know the token."""

    def prepare(self):
        self.set_status(403)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish("403: this page wants the address that parCorAnaWatch has printed, with its token.\n")


class _Guarded(BokehTornado):
    """Bokeh's application, behind a token.

    Every path begins with the token: that of the page, of its scripts, and of the websocket. Whoever
    asks by another host name, or from another page, is refused, too: a page elsewhere may have a
    browser send requests here, and a name elsewhere may lead here.
    """

    def __init__(self, applications, token, hosts, **kwargs):
        self._token, self._hosts = token, hosts
        super().__init__(applications, prefix=token, extra_websocket_origins=["*"], **kwargs)

    def find_handler(self, request, **kwargs):
        """Return who answers a request."""
        if not self._may(request):
            return self.get_handler_delegate(request, _Refused)
        return super().find_handler(request, **kwargs)

    def _may(self, request):
        given = request.path.strip("/").partition("/")[0]
        known = hmac.compare_digest(given.encode(), self._token.encode())
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        found = _HOST.fullmatch(host)
        named = found is not None and found[1].lower() in self._hosts
        return known and named and origin in (None, f"http://{host}", f"https://{host}")

    def log_request(self, handler):
        """Keep no log: addresses have the token in them."""


class PageServer:
    """Serves the page of a run.

    Parameters
    ----------
    run : Follower
    address : str
    port : int
        0: any that is free.

    Attributes
    ----------
    port : int
    token : str

    Raises
    ------
    ConfigError
        The address is none of this machine, or the port is taken.
    """

    def __init__(self, run, address="127.0.0.1", port=0):
        logging.getLogger("bokeh").setLevel(logging.ERROR)
        logging.getLogger("tornado").setLevel(logging.ERROR)
        self._run, self._address = run, address
        self.token = secrets.token_urlsafe(24)
        self._pool = ThreadPoolExecutor(1, "page")  # one: HDF5 takes no more
        self._loop = IOLoop.current()
        listening = _listening(address, port)
        self.port = listening.getsockname()[1]
        application = Application(FunctionHandler(self._fill))
        tornado = _Guarded(
            {"/": application}, self.token, {*_HOME, *_names(address)}, keep_alive_milliseconds=20_000,
            check_unused_sessions_milliseconds=5_000, unused_session_lifetime_milliseconds=15_000,
            stats_log_frequency_milliseconds=3_600_000,
        )  # fmt: skip
        http = HTTPServer(tornado, max_buffer_size=1 << 22)
        http.add_socket(listening)
        self._server = BaseServer(self._loop, tornado, http)

    def _fill(self, document):
        Page(self._run, pool=self._pool).attach(document)

    @property
    def viewers(self):
        """How many pages are open."""
        return len(self._server.get_sessions("/"))

    @property
    def path(self):
        """What comes after host and port."""
        return f"/{self.token}/"

    async def _follow(self):
        """Look at the run, again and again, in the thread that reads."""
        await self._loop.run_in_executor(self._pool, self._run.poll)
        self._later()

    def _later(self):
        self._loop.call_later(POLL, lambda: self._loop.add_callback(self._follow))

    def start(self):
        """Begin to answer."""
        self._server.start()
        self._later()

    def serve(self):
        """Answer until the loop is stopped."""
        self.start()
        try:
            self._loop.start()
        finally:
            self.stop()

    def stop(self):
        """Answer no more."""
        self._server.unlisten()
        self._server.stop(wait=False)
        self._pool.shutdown(wait=False, cancel_futures=True)


def _listening(address, port):
    """Return the socket of an address."""
    try:
        if "\0" in address:
            raise ValueError
        address.encode("idna")
    except ValueError:
        raise ConfigError(f"--address {address}: no machine can have such a name") from None
    try:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = socket.create_server((address, port), family=family)
    except OSError as error:
        number = error.errno or 0
        if number < 0 or number == errno.EADDRNOTAVAIL:  # below 0: of a name that nobody knows
            raise ConfigError(f"--address {address}: this machine has no such address or name") from None
        why = os.strerror(number) if number else str(error)
        raise ConfigError(
            f"--port {port}: it is taken or may not be used ({why}); choose another one, or leave it out"
        ) from None
    made.setblocking(False)
    return made


def _names(address):
    """Return the names by which a server on an address may be called."""
    if address in ("127.0.0.1", "localhost", "::1"):
        return ()
    mine = {socket.gethostname(), socket.getfqdn()}
    if address in ("", "0.0.0.0", "::"):
        mine |= {each[4][0] for each in _addresses(socket.gethostname())}
    return {name.lower() if ":" not in name else f"[{name}]" for name in {address, *mine}}


def _addresses(name):
    try:
        return socket.getaddrinfo(name, None)
    except OSError:
        return []
