"""A small server on loopback that speaks as much of the Hugging Face hub's protocol as a download
needs, and that can be gated, missing, busy, slow, lying, or cut off in the middle of a file.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pytest

HUB_ID = "abisee/cnn_dailymail"
REVISION = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_secret"


@dataclass
class Hub:
    """What the server has, how it misbehaves, and what it was asked."""

    files: dict[str, bytes]
    hub_id: str = HUB_ID
    kind: Literal["dataset", "model"] = "dataset"
    gated: bool | Literal["files"] = False
    """Everything needs the token, or only the files do, as the hub has it."""
    missing: bool = False
    page: str = ""
    """Answer every request with this HTML instead."""
    status: int = 0
    """Answer every request with this instead."""
    cut_at: int | None = None
    """Break the connection off at this byte of each file; what lies behind it never comes."""
    stall_s: float = 0.0
    """Wait this long in the middle of a file."""
    sized: bool = True
    """Say the size and the digest of each file."""
    large_from: int = 0
    """Files of fewer bytes are not in large-file storage, and so have no SHA-256."""
    damaged: bool = False
    """Send other bytes of the large files than those that were announced."""
    ranges: list[str | None] = field(default_factory=list)
    """The Range header of each request for a file."""
    asked: list[str] = field(default_factory=list)
    """The name of each file that was asked for."""
    num_requests: int = 0


@contextmanager
def serve(hub: Hub) -> Iterator[str]:
    """Serve `hub`; gives its address."""

    class Handler(_Handler):
        shown = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def point_at(address: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT and HF_HUB_CACHE do before the library is imported; and no token."""
    from huggingface_hub import constants

    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{")
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", "".join([address, *template[1:]]))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "no-token"))
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 0)  # put back after a download set it
    monkeypatch.delenv("HF_TOKEN", raising=False)


def write_split(folder: Path, split: str, num_rows: int, num_files: int = 1) -> dict[str, bytes]:
    """A split in parquet files like the hub's, written to `folder` too; bytes by path."""
    pyarrow = importlib.import_module("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    files: dict[str, bytes] = {}
    step = -(-num_rows // num_files)
    for number in range(num_files):
        rows = range(number * step, min((number + 1) * step, num_rows))
        table = pyarrow.table(
            {
                "article": [f"Article {i} of {split}, with “quotes”." for i in rows],
                "highlights": [f"Highlight {i} .\nSecond line ." for i in rows],
                "id": [hashlib.sha1(f"{split}{i}".encode()).hexdigest() for i in rows],
            }
        )
        name = f"3.0.0/{split}-{number:05d}-of-{num_files:05d}.parquet"
        (folder / "3.0.0").mkdir(parents=True, exist_ok=True)
        parquet.write_table(table, folder / name)
        files[name] = (folder / name).read_bytes()
    return files


class _Handler(BaseHTTPRequestHandler):
    shown: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        asked = self._asked()
        if asked is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        content = self.shown.files[asked]
        headers = {
            "X-Repo-Commit": REVISION,
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Linked-Size": str(len(content)),
        }
        self._send(200, content, headers)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._send_json(200, self._tree(), {})  # of "paths-info", whatever paths are asked for

    def do_GET(self) -> None:
        hub = self.shown
        hub.num_requests += 1
        path = self.path.partition("?")[0]
        if hub.page:
            self._send(200, hub.page.encode(), {"Content-Type": "text/html"})
        elif hub.status:
            self._send_json(hub.status, {"error": "busy"}, {})
        elif self._is_gated() and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            status = 403 if self.headers.get("Authorization") else 401
            self._send_json(status, {"error": "gated"}, {"X-Error-Code": "GatedRepo"})
        elif hub.missing:
            self._send_json(404, {"error": "missing"}, {"X-Error-Code": "RepoNotFound"})
        elif path in (info := f"/api/{hub.kind}s/{hub.hub_id}", f"{info}/revision/{REVISION}"):
            self._send_json(200, self._info(), {})
        elif path.startswith(f"{info}/revision/"):
            self._send_json(404, {"error": "revision"}, {"X-Error-Code": "RevisionNotFound"})
        elif path.startswith(f"{info}/tree/{REVISION}"):
            self._send_json(200, self._tree(), {})
        elif self._asked() is not None:
            self._send_file(str(self._asked()))
        else:
            self._send_json(404, {"error": path}, {"X-Error-Code": "EntryNotFound"})

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a test reads `Hub.ranges` instead."""

    def _is_gated(self) -> bool:
        gated = self.shown.gated
        return gated is True or (gated == "files" and self._asked() is not None)

    def _is_large(self, name: str) -> bool:
        return len(self.shown.files[name]) >= self.shown.large_from

    def _info(self) -> dict[str, Any]:
        siblings: list[dict[str, Any]] = [
            {
                "rfilename": name,
                "size": len(content),
                "blobId": hashlib.sha1(content).hexdigest(),
            }
            for name, content in self.shown.files.items()
        ]
        for each in siblings:
            if self._is_large(each["rfilename"]):
                content = self.shown.files[each["rfilename"]]
                sha256 = hashlib.sha256(content).hexdigest()
                each["lfs"] = {"size": len(content), "sha256": sha256, "pointerSize": 133}
        if not self.shown.sized:
            siblings = [{"rfilename": each["rfilename"]} for each in siblings]
        return {
            "id": self.shown.hub_id,
            "sha": REVISION,
            "private": False,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": siblings,
        }

    def _tree(self) -> list[dict[str, Any]]:
        files = [
            {
                "type": "file",
                "path": each["rfilename"],
                "size": each["size"],
                "oid": each["blobId"],
                "lfs": {"oid": each["lfs"]["sha256"], **each["lfs"]},
            }
            for each in self._info()["siblings"]
        ]
        folders = {Path(each["path"]).parent.as_posix() for each in files} - {"."}
        return files + [{"type": "directory", "path": each, "oid": "0"} for each in folders]

    def _asked(self) -> str | None:
        """The file that the address names, None when there is no such file."""
        prefix, _, rest = self.path.partition("/resolve/")
        name = rest.partition("/")[2]
        folder = "/datasets/" if self.shown.kind == "dataset" else "/"
        known = prefix == f"{folder}{self.shown.hub_id}" and name in self.shown.files
        return name if known else None

    def _send_file(self, name: str) -> None:
        hub = self.shown
        wanted = self.headers.get("Range")
        hub.ranges.append(wanted)
        hub.asked.append(name)
        content = hub.files[name]
        if hub.damaged and self._is_large(name):
            content = bytes(len(content))
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        body = content[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body)))
        if wanted:
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.send_header("Content-Range", span)
        self.end_headers()
        if hub.stall_s:
            self.wfile.write(body[: len(body) // 2])
            threading.Event().wait(hub.stall_s)
            body = body[len(body) // 2 :]
        if hub.cut_at is not None:
            body = content[start : hub.cut_at]
            self.close_connection = True
        self.wfile.write(body)

    def _send_json(self, status: int, body: object, headers: dict[str, str]) -> None:
        self._send(status, json.dumps(body).encode(), headers)

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
