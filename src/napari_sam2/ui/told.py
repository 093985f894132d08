"""What a session was told of prompts and approvals, and what the next one inherits."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_sam2.ui.drawn import CroppedMask
from napari_sam2.ui.records import Mark

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from napari_sam2.ui.drawn import Drawn, Where
    from napari_sam2.ui.object_table import ObjectTable


class ToldPrompts:
    """The prompts that a session was told of.

    Attributes
    ----------
    sent : dict
        What was sent last, by object and frame.
    under_way : dict
        Of that, what the session has not answered; None: it was taken back.
    failed : set
        Objects on frames whose prompt came to nothing, to be sent again.
    """

    def __init__(self) -> None:
        self.sent: dict[Where, Drawn] = {}
        self.under_way: dict[Where, Drawn | None] = {}
        self.failed: set[Where] = set()

    def news(self, wanted: Mapping[Where, Drawn]) -> tuple[set[Where], set[Where]]:
        """Return what is to be sent to have what is wanted, and what to be taken back.

        Changes count from what was sent last, answered or not.
        """
        # Most are the very same; comparing them would take long for many objects.
        changed = {
            where
            for where, drawn in wanted.items()
            if (sent := self.sent.get(where)) is not drawn and sent != drawn
        }
        gone = (self.sent.keys() | self.failed) - wanted.keys()
        return changed | (self.failed & wanted.keys()), gone

    def note_sent(self, where: Where, drawn: Drawn | None) -> None:
        """Note that a prompt is on its way, or that it is taken back."""
        self.failed.discard(where)
        self.under_way[where] = drawn
        if drawn is None:
            self.sent.pop(where, None)
        else:
            self.sent[where] = drawn

    def note_answered(
        self, frame: int, drawn: Mapping[int, Drawn | None], *, failed: bool
    ) -> None:
        """Note that prompts on a frame, by object, were computed or came to nothing."""
        for object_id, one in drawn.items():
            where = object_id, frame
            if where in self.under_way and self.under_way[where] is one:
                del self.under_way[where]
                if failed:
                    self.failed.add(where)

    def forget(self, object_ids: Collection[int]) -> None:
        """Forget objects."""
        forget_objects(self.sent, object_ids)
        self.failed = {w for w in self.failed if w[0] not in object_ids}

    def clear(self) -> None:
        """Begin anew, as for another session."""
        self.sent.clear()
        self.under_way.clear()
        self.failed.clear()


@dataclass(frozen=True, slots=True, eq=False)
class Approval:
    """Masks of objects on frames to approve, or to approve no more."""

    frames: tuple[int, ...]
    object_ids: tuple[int, ...]
    back: bool

    def places(self) -> Iterator[Where]:
        """Yield the objects on frames that it is about."""
        for object_id in self.object_ids:
            for frame in self.frames:
                yield object_id, frame


class Inheritance:
    """The masks that the next session of an image inherits.

    Attributes
    ----------
    corrections : set
        Objects on frames whose prompt was given where the object was found already.
    corrected, approved : dict
        Masks that the session in work, or to come, has not taken over yet: what
        corrections refine, and what the user approved.
    """

    def __init__(self) -> None:
        self.corrections: set[Where] = set()
        self.corrected: dict[Where, CroppedMask] = {}
        self.approved: dict[Where, CroppedMask] = {}
        # Of each object and frame the last one that is not answered yet.
        self._asked: dict[Where, Approval] = {}

    def ask(self, approval: Approval) -> None:
        """Note an approval that the session has to do yet."""
        self._asked.update(dict.fromkeys(approval.places(), approval))

    def note_answered(self, approval: Approval) -> None:
        """Note that it is done, or refused."""
        for where in approval.places():
            if self._asked.get(where) is approval:
                del self._asked[where]

    def note_prompt(self, where: Where, drawn: Drawn | None) -> None:
        """Note that a prompt is given, which voids approvals before it."""
        self._asked.pop(where, None)
        self.approved.pop(where, None)
        if drawn is None:
            self.corrections.discard(where)

    def owners(self) -> set[int]:
        """Return the objects of which something is approved, or is to be."""
        return {object_id for object_id, _ in (*self.approved, *self._asked)}

    def forget(self, object_ids: Collection[int]) -> None:
        """Forget objects."""
        forget_objects(self.corrected, object_ids)
        forget_objects(self.approved, object_ids)
        forget_objects(self._asked, object_ids)
        self.corrections = {w for w in self.corrections if w[0] not in object_ids}

    def gather(
        self,
        table: ObjectTable,
        stack: NDArray[np.unsignedinteger],
        under_way: Collection[Where],
    ) -> None:
        """Take corrected and approved masks from the screen.

        Parameters
        ----------
        table : ObjectTable
            What the session knows and has approved.
        stack : ndarray
            ``(T, H, W)`` labels.
        under_way : collection
            Where a prompt is going to take the place of what is on screen.
        """
        known = {w for w in self.corrections if table.is_known(*w)}
        approved = {
            (object_id, frame)
            for object_id in table.object_ids
            for frame in table.frames_marked(object_id, Mark.APPROVED)
        }
        approved.difference_update(under_way)
        for where, asked in self._asked.items():
            if asked.back:
                approved.discard(where)
                self.approved.pop(where, None)
            elif where not in under_way and table.is_known(*where):
                approved.add(where)
        self.corrected.update(crop_places(stack, known - approved))
        self.approved.update(crop_places(stack, approved))

    def hand_over(
        self, wanted: Mapping[Where, Drawn], told: ToldPrompts
    ) -> list[Where]:
        """Forget masks whose prompts were changed meanwhile, and what was asked for.

        Returns where approvals were asked for that are to be asked for again, since
        the prompts before them were not answered.
        """
        self.corrections &= wanted.keys()
        for masks in (self.corrected, self.approved):
            for where in tuple(masks):
                if wanted.get(where) != told.sent.get(where):
                    del masks[where]
        again = [
            where
            for where, asked in self._asked.items()
            if where in told.under_way
            and not asked.back
            and wanted.get(where) == told.under_way[where]
        ]
        self._asked.clear()
        return again


def forget_objects(kept: dict[Where, Any], object_ids: Collection[int]) -> None:
    """Drop what is kept of objects on all frames."""
    for where in [w for w in kept if w[0] in object_ids]:
        del kept[where]


def crop_places(
    stack: NDArray[np.unsignedinteger], places: Iterable[Where]
) -> dict[Where, CroppedMask]:
    """Return the masks of objects on frames of labels ``(T, H, W)``."""
    return {
        (object_id, frame): mask
        for frame, ids in _by_frame(places).items()
        for object_id, mask in CroppedMask.crop_each(stack[frame], ids).items()
    }


def by_frame(masks: Mapping[Where, CroppedMask]) -> dict[int, dict[int, CroppedMask]]:
    """Sort masks by frame, then by object."""
    return {
        frame: {object_id: masks[object_id, frame] for object_id in ids}
        for frame, ids in _by_frame(masks).items()
    }


def _by_frame(places: Iterable[Where]) -> dict[int, list[int]]:
    """Sort objects by frame."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    for object_id, frame in places:
        found[frame].append(object_id)
    return found
