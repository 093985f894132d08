"""Downloads against a real HTTP server on loopback."""

from __future__ import annotations

import hashlib
import http.server
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from napari_sam2 import checkpoints, download
from napari_sam2.checkpoints import RegisteredModel
from napari_sam2.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = bytes(range(256)) * 12_000  # 3 MB: several chunks
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """What the server does, and what it was asked for."""

    address: str = ""
    content: bytes = CONTENT
    kind: str = "application/octet-stream"
    status: int = 0
    ranges: bool = True
    length: bool = True
    cut_after: list[int] = field(default_factory=list)
    asked: list[str | None] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.address}/weights.pt"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "_PAUSE", 0.001)
    served = Server()

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            served.asked.append(asked)
            if served.status:
                self.send_error(served.status)
                return
            start = 0
            if asked and served.ranges:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
                if start >= len(served.content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(served.content)}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
            body = served.content[start:]
            self.send_response(206 if start else 200)
            if start:
                span = f"bytes {start}-{len(served.content) - 1}/{len(served.content)}"
                self.send_header("Content-Range", span)
            self.send_header("Content-Type", served.kind)
            if served.length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if served.cut_after:
                body = body[: served.cut_after.pop(0)]
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test output clean."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as http_server:
        served.address = f"http://127.0.0.1:{http_server.server_address[1]}"
        thread = threading.Thread(target=http_server.serve_forever, args=(0.01,))
        thread.start()
        yield served
        http_server.shutdown()
        thread.join()


def fetch(server: Server, target: Path, **options: object) -> None:
    options = {"sha256": DIGEST, "timeout": 5.0} | options
    download.download(server.url, target, **options)  # type: ignore[arg-type]


def test_a_file_arrives_with_progress(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "weights.pt"
    seen: list[tuple[int, int | None]] = []
    fetch(server, target, progress=lambda done, total: seen.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert not target.with_name("weights.pt.partial").exists()


def test_an_intact_file_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "weights.pt"
    target.write_bytes(CONTENT)
    fetch(server, target)
    assert server.asked == []


def test_a_damaged_file_is_replaced(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "weights.pt"
    target.write_bytes(b"damaged")
    fetch(server, target)
    assert target.read_bytes() == CONTENT


def test_a_cut_connection_is_resumed(server: Server, tmp_path: Path) -> None:
    server.cut_after = [1_200_000, 700_000]
    fetch(server, tmp_path / "weights.pt")
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT
    first, second = (int(str(asked)[6:-1]) for asked in server.asked[1:])
    assert 1_100_000 < first <= 1_200_000
    assert 600_000 < second - first <= 700_000


def test_a_later_call_goes_on_where_a_stop_left_it(
    server: Server, tmp_path: Path
) -> None:
    class StopHereError(Exception):
        pass

    def stop(done: int, total: int | None) -> None:
        if done > 1_500_000:
            raise StopHereError

    target = tmp_path / "weights.pt"
    with pytest.raises(StopHereError):
        fetch(server, target, progress=stop)
    kept = target.with_name("weights.pt.partial").stat().st_size
    assert kept > 1_500_000
    assert not target.exists()
    fetch(server, target)
    assert target.read_bytes() == CONTENT
    assert server.asked[-1] == f"bytes={kept}-"


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
@pytest.mark.parametrize(
    "left",
    [CONTENT[:1000], b"x" * 1000, CONTENT, CONTENT + b"more", b"x" * len(CONTENT)],
    ids=["start", "wrong start", "all", "too much", "all wrong"],
)
@pytest.mark.parametrize("size", [len(CONTENT), None], ids=["size", "no size"])
def test_whatever_was_left_the_file_is_right(
    server: Server, tmp_path: Path, left: bytes, ranges: bool, size: int | None
) -> None:
    server.ranges = ranges
    target = tmp_path / "weights.pt"
    target.with_name("weights.pt.partial").write_bytes(left)
    fetch(server, target, size=size)
    assert target.read_bytes() == CONTENT


def test_a_server_that_tells_no_length(server: Server, tmp_path: Path) -> None:
    server.length = False
    server.cut_after = [5000]
    fetch(server, tmp_path / "weights.pt", size=len(CONTENT))
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT


def test_processes_that_want_the_same_file_fetch_it_once(
    server: Server, tmp_path: Path
) -> None:
    target = tmp_path / "weights.pt"
    threads = [threading.Thread(target=fetch, args=(server, target)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == CONTENT
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ({"content": b"y" * 1000}, "another SHA-256"),
        ({"content": b"<html>", "kind": "text/html; charset=utf-8"}, "web page"),
        ({"status": 404}, "404"),
        ({"status": 403}, "403"),
        ({"status": 503}, "503"),
        ({"cut_after": [0] * 50}, "connection"),
    ],
    ids=["hash", "html", "404", "403", "503", "cut"],
)
def test_what_goes_wrong_is_said_and_leaves_no_file(
    server: Server, tmp_path: Path, behaviour: dict[str, object], message: str
) -> None:
    for name, value in behaviour.items():
        setattr(server, name, value)
    with pytest.raises(CheckpointError, match=message) as raised:
        fetch(server, tmp_path / "weights.pt")
    assert server.url in str(raised.value)
    assert not list(tmp_path.glob("*.pt"))
    assert not any(p.stat().st_size for p in tmp_path.glob("*.partial"))


def test_another_length_than_published_is_not_even_fetched(
    server: Server, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="3,072,000 bytes where 17 are expected"):
        fetch(server, tmp_path / "weights.pt", size=17)
    assert not list(tmp_path.glob("*.pt*[!k]"))


def test_nobody_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    # Port 9 discards, and is closed on a usual machine.
    with pytest.raises(CheckpointError, match=r"cannot be reached.*Check the"):
        download.download("http://127.0.0.1:9/w.pt", tmp_path / "w.pt", sha256=DIGEST)


def test_no_room_or_rights(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"cannot be written.*NAPARI_SAM2_CACHE"):
        fetch(server, tmp_path / "file" / "weights.pt")


def test_a_full_disk(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        download.shutil, "disk_usage", lambda path: type("", (), {"free": 10})
    )
    with pytest.raises(CheckpointError, match="the disk is full"):
        fetch(server, tmp_path / "weights.pt")


@pytest.fixture
def model(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("NAPARI_SAM2_CACHE", str(tmp_path / "cache"))
    return RegisteredModel("loopback", "2.1", server.url, DIGEST, len(CONTENT))


def test_the_life_of_a_model_in_the_cache(
    model: RegisteredModel, server: Server, tmp_path: Path
) -> None:
    assert not checkpoints.is_downloaded(model)
    assert not checkpoints.remove(model)
    with pytest.raises(CheckpointError, match="not downloaded"):
        checkpoints.verify(model)
    path = checkpoints.ensure_downloaded(model)
    assert path == tmp_path / "cache" / "loopback.pt"
    assert checkpoints.is_downloaded(model)
    assert checkpoints.verify(model) == path
    assert checkpoints.ensure_downloaded(model) == path
    assert len(server.asked) == 1

    path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoints.verify(model)
    assert checkpoints.ensure_downloaded(model) == path
    assert path.read_bytes() == CONTENT

    assert checkpoints.remove(model)
    assert not checkpoints.is_downloaded(model)
    assert list((tmp_path / "cache").iterdir()) == []
