"""The record of an unfinished run: which objects are done on which frames.

It lies beside the labels, as ``labels.tif.track.jsonl``: a line that says what run it
is, then one for each frame written. A frame that is there twice counts as its last
line says, and a line that was cut off by a crash counts as none.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Self, TextIO

from napari_sam2.errors import ImageError
from napari_sam2.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from napari_sam2.inference.masks import FrameMasks


@dataclass(frozen=True, slots=True)
class FrameScores:
    """The objects that are done on a frame, and how sure the network is of each.

    Attributes
    ----------
    frame
        Its index.
    backward
        Whether the pass that wrote it went backward.
    object_ids
        The objects with a result.
    object_scores, predicted_iou
        One number each: the logit that the object is there, and the IoU expected.
    """

    frame: int
    backward: bool
    object_ids: tuple[int, ...]
    object_scores: tuple[float, ...]
    predicted_iou: tuple[float, ...]

    @classmethod
    def of(cls, masks: FrameMasks, *, backward: bool) -> FrameScores:
        """Take the scores of a frame's masks."""
        return cls(
            masks.frame,
            backward,
            masks.object_ids,
            tuple(masks.object_scores.tolist()),
            tuple(masks.predicted_iou.tolist()),
        )

    def keeping(self, earlier: FrameScores, object_ids: Iterable[int]) -> FrameScores:
        """Return it with the scores that some objects had earlier."""
        before = dict(
            zip(
                earlier.object_ids,
                zip(earlier.object_scores, earlier.predicted_iou, strict=True),
                strict=True,
            )
        )
        kept = before.keys() & set(object_ids)
        pairs = [
            before[i] if i in kept else (score, iou)
            for i, score, iou in zip(
                self.object_ids, self.object_scores, self.predicted_iou, strict=True
            )
        ]
        scores, ious = zip(*pairs, strict=True) if pairs else ((), ())
        return replace(self, object_scores=scores, predicted_iou=ious)


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What decides which masks a run gives; two runs of one identity can be joined."""

    image: str
    prompts: str
    network: str
    options: str

    def differences(self, other: RunIdentity) -> list[str]:
        """Return the parts in which the other run differs."""
        mine, theirs = asdict(self), asdict(other)
        return [part for part in mine if mine[part] != theirs[part]]


class TrackRecord:
    """The record beside a label file.

    Attributes
    ----------
    path
        Where it lies.
    identity
        The run that it is of.
    scores
        What is done, by frame, in the order of writing.
    """

    def __init__(
        self, path: Path, identity: RunIdentity, scores: dict[int, FrameScores]
    ) -> None:
        self.path = path
        self.identity = identity
        self.scores = dict(scores)
        self._file: TextIO | None = None

    @staticmethod
    def path_for(labels: Path) -> Path:
        """Return where the record of a label file lies."""
        return labels.with_name(labels.name + ".track.jsonl")

    @classmethod
    def load(cls, path: Path) -> TrackRecord | None:
        """Read a record; None if there is none that can be read."""
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            identity = RunIdentity(**json.loads(lines[0]))
        except (OSError, ValueError, LookupError, TypeError):
            return None
        scores: dict[int, FrameScores] = {}
        for line in lines[1:]:
            one = _scores(line)
            if one is not None:
                scores.pop(one.frame, None)
                scores[one.frame] = one
        return cls(path, identity, scores)

    def __enter__(self) -> Self:
        """Write the record anew, without what a crash cut off, and keep it open."""
        lines = [json.dumps(asdict(self.identity)) + "\n"]
        lines += [_line(one) for one in self.scores.values()]
        try:
            with whole_file(self.path) as temporary:
                temporary.write_text("".join(lines), encoding="utf-8")
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def add(self, scores: FrameScores) -> None:
        """Note that a frame is written."""
        if self._file is None:
            raise ValueError("the record is not open")
        self.scores.pop(scores.frame, None)
        self.scores[scores.frame] = scores
        try:
            self._file.write(_line(scores))
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from error

    def remove(self) -> None:
        """Delete the record: the labels are finished."""
        self._close()  # Windows deletes no open file
        self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _unwritable(self, error: OSError) -> ImageError:
        return ImageError(
            f"{self.path} cannot be written ({error.strerror or error}). Make room, or"
            " choose another folder for the labels."
        )


def _line(scores: FrameScores) -> str:
    return json.dumps(asdict(scores)) + "\n"


def _scores(line: str) -> FrameScores | None:
    """Read a line; None if it was cut off."""
    try:
        content = json.loads(line)
        return FrameScores(
            frame=int(content["frame"]),
            backward=bool(content["backward"]),
            object_ids=tuple(int(i) for i in content["object_ids"]),
            object_scores=tuple(float(s) for s in content["object_scores"]),
            predicted_iou=tuple(float(s) for s in content["predicted_iou"]),
        )
    except (ValueError, LookupError, TypeError):
        return None
