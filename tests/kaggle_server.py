"""A stand-in for Kaggle's API on this machine, and the settings that send the real `kaggle` command to it."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

# What Python runs at its start where it is on PYTHONPATH: the command's LOCALHOST is port 80, which only root may open.
REDIRECT = """
import kagglesdk.kaggle_env as kaggle
kaggle._env_to_endpoint[kaggle.KaggleEnv.LOCAL] = "http://localhost:{port}"
"""

MODIFIED = "Tue, 01 Nov 2022 00:00:00 GMT"


class Server(ThreadingHTTPServer):
    """Serves one archive; `status` other than 200 refuses it; the first answer ends after `cut` bytes.

    `pause` seconds lie between two pieces of it; `more` bytes are announced and never sent.
    """

    def __init__(
        self, archive: bytes, *, status: int = 200, cut: int | None = None, pause: float = 0, more: int = 0
    ) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.archive, self.status, self.cut, self.pause, self.more = archive, status, cut, pause, more
        self.ranges: list[str] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of lines that the client drops."""

    def settings(self, folder: Path) -> dict[str, str]:
        """Environment variables for the `kaggle` command; `folder` takes the redirection."""
        (folder / "sitecustomize.py").write_text(REDIRECT.format(port=self.server_port))
        return {"KAGGLE_API_ENVIRONMENT": "LOCALHOST", "PYTHONPATH": str(folder), "HOME": str(folder)}


class Handler(BaseHTTPRequestHandler):
    """Answers what `kaggle datasets download` asks."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        if "Range" not in self.headers:  # a resuming request announces the first one's body and sends none
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.endswith("/GetDatasetMetadata"):
            self._answer(200, "application/json", json.dumps({"info": {"licenses": []}}).encode())
        elif self.server.status != 200:
            message = {"code": self.server.status, "message": f"refused with {self.server.status}"}
            self._answer(self.server.status, "application/json", json.dumps(message).encode())
        else:
            self._send_archive()

    def _send_archive(self) -> None:
        start = 0
        if wanted := self.headers.get("Range"):
            self.server.ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").split("-")[0])
        whole = self.server.archive
        self.send_response(206 if start else 200)
        for name, value in (
            ("Content-Type", "application/zip"),
            ("Content-Length", str(len(whole) - start + self.server.more)),
            ("Accept-Ranges", "bytes"),
            ("Last-Modified", MODIFIED),
            ("ETag", '"one"'),
        ):
            self.send_header(name, value)
        self.end_headers()
        body = whole[start : self.server.cut]
        for place in range(0, len(body), max(1, len(body) // 8)):
            self.wfile.write(body[place : place + max(1, len(body) // 8)])
            time.sleep(self.server.pause)
        self.close_connection = self.server.cut is not None or self.server.more > 0
        self.server.cut = None

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(archive: bytes, **options: Any) -> Iterator[Server]:
    """Run a server for the length of a `with` block; options as of `Server`."""
    server = Server(archive, **options)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
