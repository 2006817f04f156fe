"""The explorer as an app in the browser, without a notebook: what `fedet review` opens.

A server on this machine alone (tornado, on which Jupyter runs as well) sends one page with the explorer's own
JavaScript. A WebSocket carries the messages that Jupyter carries between a kernel and a widget: each is a
length (4 bytes), JSON of that length with the sizes of its buffers, and the buffers. Only pages that hold
the token, first in the address and then in a cookie, are answered.
"""

import asyncio
import hmac
import html
import json
import secrets
import signal
import struct
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import comm.base_comm
import tornado.httpserver
import tornado.netutil
import tornado.web
import tornado.websocket

from fedet.errors import InputError
from fedet.explorer.html_page import script, style
from fedet.explorer.messages import SETTINGS
from fedet.explorer.widget import Explorer

HOST = "127.0.0.1"
COOKIE = "fedet-review"
FIRST_PORT, PORTS = 20000, 10000  # from which a review has its own
LARGEST = 64 * 2**20  # bytes of one message
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class BrowserComm(comm.base_comm.BaseComm):
    """A widget's connection to the open pages, instead of that to a notebook."""

    def __init__(self, **options):
        self.pages: set[tornado.websocket.WebSocketHandler] = set()
        self.loop: asyncio.AbstractEventLoop | None = None
        super().__init__(**options)

    def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys) -> None:
        """Sends the widget's data to every page; from any thread."""
        if self.loop is not None and self.pages and data and data.get("method") in ("update", "custom"):
            self.loop.call_soon_threadsafe(self._send, packed(data, buffers or []))

    def _send(self, message: bytes) -> None:
        for page in list(self.pages):
            page.write_message(message, binary=True)


def packed(data: dict, buffers: list) -> bytes:
    """A message as bytes."""
    parts = [bytes(buffer) for buffer in buffers]
    head = json.dumps({"data": data, "sizes": [len(part) for part in parts]}).encode()
    return b"".join([struct.pack("<I", len(head)), head, *parts])


def serve(
    explorer: Explorer,
    *,
    port: int | None = None,
    on_ready: Callable[[str], None] = print,
) -> None:
    """Shows an explorer in the browser until Ctrl-C, or until the page's button Finish.

    Args:
        explorer: Closed at the end.
        port: Of the address. None: the same for the same review, so that the browser knows again what it
            could not send the last time, or any that is free if that one is taken.
        on_ready: Called with the address of the page, which holds the token.

    Raises:
        InputError: The port is taken.
    """
    try:
        asyncio.run(_serve(explorer, port, on_ready))
    finally:
        explorer.close()


def _bind(explorer: Explorer, port: int | None) -> list:
    """The sockets of the server."""
    if port is not None:
        try:
            return tornado.netutil.bind_sockets(port, HOST)
        except OSError as error:
            raise InputError(
                f"--port {port}: {error.strerror or error}; leave it out for one that is free"
            ) from error
    own = (
        FIRST_PORT
        + int.from_bytes(blake2b(str(explorer.review.path).encode(), digest_size=4).digest()) % PORTS
    )
    try:
        return tornado.netutil.bind_sockets(own, HOST)
    except OSError:
        return tornado.netutil.bind_sockets(0, HOST)


async def _serve(explorer: Explorer, port: int | None, on_ready: Callable[[str], None]) -> None:
    token, finished = secrets.token_urlsafe(24), asyncio.Event()
    link = BrowserComm()
    link.loop = asyncio.get_running_loop()
    explorer.comm = link
    sockets = _bind(explorer, port)
    facts = {"explorer": explorer, "link": link, "token": token, "finished": finished}
    site = tornado.web.Application(
        [("/", _Page, facts), ("/link", _Link, facts)],
        websocket_max_message_size=LARGEST,
        log_function=lambda handler: None,  # addresses hold the token
    )
    server = tornado.httpserver.HTTPServer(site)
    server.add_sockets(sockets)
    for number in (signal.SIGINT, signal.SIGTERM):
        # Windows, or not the main thread: KeyboardInterrupt ends it
        with suppress(NotImplementedError, RuntimeError, ValueError):
            link.loop.add_signal_handler(number, finished.set)
    on_ready(f"http://{HOST}:{sockets[0].getsockname()[1]}/?token={token}")
    await finished.wait()
    server.stop()
    for page in list(link.pages):
        page.close(1001, "finished")
    await server.close_all_connections()


class _Guarded(tornado.web.RequestHandler):
    """A request of this machine's browser that knows the token."""

    def initialize(self, explorer: Explorer, link: BrowserComm, token: str, finished: asyncio.Event) -> None:
        self.explorer, self.link, self.token, self.finished = explorer, link, token, finished

    def prepare(self) -> None:
        name = self.request.host.rpartition(":")[0]
        if name not in (HOST, "localhost"):  # a page elsewhere that took over this address's name
            raise tornado.web.HTTPError(403)
        given = self.get_query_argument("token", "") or self.get_cookie(self._cookie) or ""
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            raise tornado.web.HTTPError(403)

    @property
    def _cookie(self) -> str:
        return f"{COOKIE}-{self.request.host.rpartition(':')[2]}"

    def write_error(self, status_code: int, **details) -> None:
        self.finish("fedet: open the whole address that the terminal shows, with its token\n")


class _Page(_Guarded):
    def get(self) -> None:
        if self.get_query_argument("token", ""):
            self.set_cookie(self._cookie, self.token, httponly=True, samesite="Strict")
            self.redirect("/")
            return
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.write(page(self.explorer))


class _Link(_Guarded, tornado.websocket.WebSocketHandler):
    def open(self, *args: str, **kwargs: str) -> None:
        self.set_nodelay(True)
        self.link.pages.add(self)
        state = {name: getattr(self.explorer, name) for name in _traits(self.explorer)}
        self.write_message(packed({"method": "update", "state": state}, []), binary=True)

    def on_message(self, message: str | bytes) -> None:
        data = json.loads(message)
        if data.get("method") == "finish":
            self.finished.set()
        elif data.get("method") == "update":
            known = {k: v for k, v in data["state"].items() if k in _traits(self.explorer)}
            self.link.handle_msg({"content": {"data": data | {"state": known}}, "buffers": []})
            for other in self.link.pages - {self}:
                other.write_message(packed({"method": "update", "state": known}, []), binary=True)
        elif data.get("method") == "custom":
            self.link.handle_msg({"content": {"data": data}, "buffers": []})

    def on_close(self) -> None:
        self.link.pages.discard(self)


def _traits(explorer: Explorer) -> list[str]:
    """The settings that the page and the explorer share."""
    return [name for name in explorer.keys if name in ("frame", "selected", *SETTINGS)]


def page(explorer: Explorer) -> str:
    """The page of an explorer; all else comes through the WebSocket."""
    name = html.escape(explorer.lanes.name)
    journal = explorer.review.path
    place = html.escape(str(Path(journal).resolve())) if journal else ""
    saved = f"Every decision is saved at once in {place}." if place else "Decisions are not saved."
    code = script().replace("export default { render };", "const widget = { render };")
    connect = Path(__file__).with_suffix(".js").read_text("utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{name} - fedet review</title>\n<style>{style()}</style>\n</head>\n"
        '<body class="fx-page fx-app">\n'
        f'<header><h1>{name}</h1><p title="{place}">{saved}</p>'
        '<button type="button" id="finish">Finish</button></header>\n'
        '<p id="lost" role="alert" hidden></p>\n<main id="explorer"></main>\n'
        f'<script type="module">\n{code}\n{connect}</script>\n</body>\n</html>\n'
    )
