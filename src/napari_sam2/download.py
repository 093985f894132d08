"""Fetching one large file over HTTP: resumed, verified, and never half there."""

from __future__ import annotations

import errno
import hashlib
import logging
import re
import shutil
import time
from typing import TYPE_CHECKING

from napari_sam2.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import requests

    Progress = Callable[[int, int | None], None]

_log = logging.getLogger(__name__)

_CHUNK = 1 << 16  # bytes; what a cut connection loses at most
_REPORTED = 1 << 20  # bytes between two calls of the progress callback
_ATTEMPTS = 5  # in a row without a byte received
_PAUSE = 0.25  # seconds before a further attempt, doubled with each failure


class _Interrupted(Exception):
    """The connection failed in a way that may pass; what came is kept."""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(
    url: str,
    target: Path,
    *,
    sha256: str,
    size: int | None = None,
    progress: Progress | None = None,
    timeout: float = 30.0,
) -> None:
    """Fetch `url` into `target`, going on where an earlier call was cut off.

    The bytes gather in ``<target>.partial`` beside it; only a file of the right
    hash gets the name `target`. Processes that want the same file wait for each
    other, and those that waited find it there.

    Parameters
    ----------
    url : str
        An http or https address.
    target : Path
        Where the file shall be; its folder is made if need be.
    sha256 : str
        What the file must hash to, 64 hexadecimal digits.
    size : int, optional
        Length of the file in bytes, where it is known.
    progress : callable, optional
        Called as ``progress(done, total)`` in bytes about once per MiB; `total` is
        None as long as it is unknown. What it raises stops the download and is
        passed on; the next call goes on from there.
    timeout : float
        Seconds without an answer after which an attempt is given up.

    Raises
    ------
    CheckpointError
        If the server cannot be reached, does not have the file or sends another
        one, or if the file cannot be written.
    """
    from filelock import FileLock

    partial = target.with_name(target.name + ".partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(target.name + ".lock")):
            if target.is_file() and sha256_of(target) == sha256:
                return
            _fetch_verified(url, partial, sha256, size, progress, timeout)
            partial.replace(target)
    except OSError as error:
        raise _writing_failed(target, error) from error
    _log.info("downloaded %s to %s", url, target)


def _fetch_verified(
    url: str,
    partial: Path,
    sha256: str,
    size: int | None,
    progress: Progress | None,
    timeout: float,
) -> None:
    """Fill `partial`; start anew once if what an earlier call left spoils it."""
    resumed = partial.is_file() and partial.stat().st_size > 0
    _fetch_patiently(url, partial, size, progress, timeout)
    if sha256_of(partial) == sha256:
        return
    partial.unlink()
    if resumed:
        _log.warning("what was kept of %s did not fit; starting anew", url)
        _fetch_verified(url, partial, sha256, size, progress, timeout)
        return
    raise CheckpointError(
        f"{url} sent a file with another SHA-256 than {sha256}; it was thrown away. "
        "Try again later, or give the path of a file that you trust."
    )


def _fetch_patiently(
    url: str,
    partial: Path,
    size: int | None,
    progress: Progress | None,
    timeout: float,
) -> None:
    """Attempt until all bytes are there; an attempt that brought some is free."""
    failures = 0
    while True:
        before = _length(partial)
        try:
            _attempt(url, partial, size, progress, timeout)
            return
        except _Interrupted as error:
            failures = 0 if _length(partial) > before else failures + 1
            if failures >= _ATTEMPTS:
                raise CheckpointError(
                    f"Downloading {url} failed: {error}. {_kept(partial)}Check the "
                    "connection and try again, or give the path of a weights file."
                ) from error
            _log.debug("attempt %d at %s: %s", failures, url, error)
            time.sleep(_PAUSE * 2**failures)


def _attempt(
    url: str,
    partial: Path,
    size: int | None,
    progress: Progress | None,
    timeout: float,
) -> None:
    """Ask once for what is missing and append it to `partial`."""
    import requests

    have = _length(partial)
    if size is not None and have > size:
        partial.unlink()
        have = 0
    if have and have == size:
        return
    # Compressed transfer would make byte ranges mean something else.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as answer:
            if answer.status_code == 416:
                if _range_total(answer) == have:
                    return
                partial.unlink(missing_ok=True)
                raise _Interrupted("the server refused to resume")
            start = _first_byte(url, answer, have)
            total = _total(answer, start)
            if size is not None and total not in (None, size):
                raise CheckpointError(
                    f"{url} offers {total:,} bytes where {size:,} are expected: "
                    "not the published file. Try again later, or give the path of "
                    "a file that you trust."
                )
            total = size if total is None else total
            _check_space(partial, 0 if total is None else total - start)
            received = _append(answer, partial, start, total, progress)
    except requests.RequestException as error:
        raise _Interrupted(_short_reason(error)) from error
    if total is not None and received < total:
        raise _Interrupted(f"the connection ended after {received:,} bytes")


def _append(
    answer: requests.Response,
    partial: Path,
    start: int,
    total: int | None,
    progress: Progress | None,
) -> int:
    """Write the body from byte `start` on; return the length then reached."""
    received = reported = start
    with partial.open("ab" if start else "wb") as file:
        for chunk in answer.iter_content(_CHUNK):
            file.write(chunk)
            received += len(chunk)
            due = received - reported >= _REPORTED or received == total
            if progress is not None and due:
                reported = received
                progress(received, total)
    return received


def _first_byte(url: str, answer: requests.Response, have: int) -> int:
    """Return where the body starts in the file, refusing what is no such file."""
    status = answer.status_code
    if status == 429 or status >= 500:
        raise _Interrupted(f"the server answered {status} {answer.reason}")
    if status not in (200, 206):
        raise CheckpointError(
            f"{url} cannot be downloaded: the server answered {status} "
            f"{answer.reason}. Give the path of a weights file instead."
        )
    if answer.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise CheckpointError(
            f"{url} answered with a web page instead of a file: a proxy or a "
            "log-in page may be in between. Download the file in a browser and give "
            "its path."
        )
    if status == 200:
        return 0
    span = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    if span is None or int(span[1]) != have:
        raise CheckpointError(f"{url} answered with another part than asked for.")
    return have


def _total(answer: requests.Response, start: int) -> int | None:
    """Return the length of the whole file, if the server says it."""
    length = answer.headers.get("Content-Length", "")
    return start + int(length) if length.isdigit() else None


def _range_total(answer: requests.Response) -> int | None:
    """Return the length that a 416 answer states."""
    total = re.fullmatch(r"bytes \*/(\d+)", answer.headers.get("Content-Range", ""))
    return None if total is None else int(total[1])


def _length(path: Path) -> int:
    """Return the length of a file in bytes, 0 if it is not there."""
    return path.stat().st_size if path.is_file() else 0


def _kept(partial: Path) -> str:
    """Say what the next attempt will not have to fetch again."""
    have = _length(partial)
    return f"{have:,} bytes are kept and will be continued. " if have else ""


def _check_space(partial: Path, needed: int) -> None:
    """Refuse early what the disk cannot hold."""
    free = shutil.disk_usage(partial.parent).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed:,} bytes needed, {free:,} free")


def _short_reason(error: requests.RequestException) -> str:
    """Say in a few words why a connection failed."""
    import requests

    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate was not accepted"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was cut"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy refused"
    if isinstance(error, requests.ConnectionError):
        return "the server cannot be reached"
    return str(error)


def _writing_failed(target: Path, error: OSError) -> CheckpointError:
    """Say why a file cannot be written, and how to put it elsewhere."""
    reason = (
        "the disk is full"
        if error.errno == errno.ENOSPC
        else (error.strerror or str(error))
    )
    return CheckpointError(
        f"{target} cannot be written: {reason}. Make room or rights there, or set "
        "NAPARI_SAM2_CACHE to another folder."
    )
