"""SEG and TRA of the Cell Tracking Challenge, computed by py-ctcmetrics."""

from __future__ import annotations

import io
import shutil
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import tifffile

from napari_sam2.errors import ConfigError, ImageError
from napari_sam2.evaluation.records import TrackingScores

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Labels = NDArray[np.integer]

_MOST_TRACKS = 2**16 - 1


def can_score_tracks() -> bool:
    """Return whether py-ctcmetrics is installed."""
    return find_spec("ctc_metrics") is not None


def require_ctcmetrics() -> None:
    """Raise `ConfigError` if py-ctcmetrics is not installed."""
    if not can_score_tracks():
        raise ConfigError(
            "SEG and TRA are computed by the package py-ctcmetrics, which is not"
            " installed: pip install 'napari-sam2[evaluation]'."
        )


def score_tracks(
    true: Iterable[Labels], found: Iterable[Labels], *, interactions: int
) -> TrackingScores:
    """Compare tracks of whole time-lapses.

    An object that is gone for some frames goes on as the only daughter of what it
    was, as the challenge has it. Divisions are not known from labels: daughters count
    as new objects in both.

    Parameters
    ----------
    true, found : iterable of ndarray
        Label frames ``(H, W)`` of integers, as many of each.
    interactions : int
        What the found ones took.

    Raises
    ------
    ConfigError
        If py-ctcmetrics is not installed.
    ImageError
        If there are more tracks than the challenge's format holds.
    """
    require_ctcmetrics()
    from ctc_metrics import evaluate_sequence  # type: ignore[import-untyped]

    with TemporaryDirectory(prefix="napari-sam2-") as name:
        folder = Path(name)
        reference, result = folder / "GT", folder / "RES"
        frames = _write_tracks(true, reference / "TRA", "man_track")
        _write_tracks(found, result, "mask", record="res_track.txt")
        if not (result / "res_track.txt").stat().st_size:
            # Nothing is right, and the library refuses results without a track.
            return TrackingScores(interactions, seg=0.0, tra=0.0)
        (reference / "SEG").mkdir()
        for frame in range(frames):
            source = reference / "TRA" / f"man_track{frame:06d}.tif"
            shutil.copyfile(source, reference / "SEG" / f"man_seg{frame:06d}.tif")
        # It reports by print; its worker processes would outlive an interruption.
        with redirect_stdout(io.StringIO()):
            scores = evaluate_sequence(
                str(result), str(reference), ["SEG", "TRA"], threads=1
            )
    return TrackingScores(interactions, float(scores["SEG"]), float(scores["TRA"]))


def _write_tracks(
    frames: Iterable[Labels],
    folder: Path,
    prefix: str,
    *,
    record: str = "man_track.txt",
) -> int:
    """Write frames and their tracks as the challenge has them; return how many."""
    folder.mkdir(parents=True)
    # Label, first frame, last frame, parent.
    tracks: list[list[int]] = []
    current: dict[int, int] = {}
    count = 0
    for frame, labels in enumerate(frames):
        ids, compact = np.unique(labels, return_inverse=True)
        numbers = np.zeros(len(ids), np.uint16)
        for place, object_id in enumerate(ids.tolist()):
            if object_id:
                numbers[place] = _track_on(frame, object_id, current, tracks)
        # A margin, because the library takes the lowest value for background.
        pixels = np.pad(numbers[compact].reshape(labels.shape), 1)
        tifffile.imwrite(
            folder / f"{prefix}{frame:06d}.tif", pixels, compression="zlib"
        )
        count += 1
    lines = [" ".join(map(str, track)) + "\n" for track in tracks]
    (folder / record).write_text("".join(lines), encoding="ascii")
    return count


def _track_on(
    frame: int, object_id: int, current: dict[int, int], tracks: list[list[int]]
) -> int:
    """Return the track of an object on a frame, a new one after a gap."""
    number = current.get(object_id, 0)
    if number and tracks[number - 1][2] == frame - 1:
        tracks[number - 1][2] = frame
        return number
    if len(tracks) == _MOST_TRACKS:
        raise ImageError(
            f"There are more than {_MOST_TRACKS} tracks, which the format of the Cell"
            " Tracking Challenge cannot hold: evaluate fewer objects."
        )
    tracks.append([len(tracks) + 1, frame, frame, number])
    current[object_id] = len(tracks)
    return len(tracks)
