"""Everything about one image: its layers, objects, prompts, and approvals."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_sam2.errors import PromptError
from napari_sam2.ui.drawn import CroppedMask, Drawn
from napari_sam2.ui.labels_layer import ResultLayer
from napari_sam2.ui.object_table import ObjectTable
from napari_sam2.ui.prompt_layers import PromptLayers, TakenPrompts
from napari_sam2.ui.records import Mark, Message, Severity
from napari_sam2.ui.session_link import SessionLink
from napari_sam2.ui.told import (
    Approval,
    Inheritance,
    ToldPrompts,
    by_frame,
    crop_places,
    forget_objects,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_sam2.ui.drawn import Where
    from napari_sam2.ui.engine import FrameAnswer, Predictor, RowAnswer
    from napari_sam2.ui.frames import LayerFrames
    from napari_sam2.ui.jobs import Lane
    from napari_sam2.ui.labels_layer import BrushEdit
    from napari_sam2.ui.labels_source import LabelsSource

# Prompts of many objects on one frame go together, but a click need not wait for all.
_TOGETHER = 16


class Workspace:
    """One image in work.

    What is drawn is compared with what the session was told, and the difference is
    sent: so moving, deleting and undoing need no code of their own, and a session can
    be started anew at any time.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layers are.
    frames : LayerFrames
        The image.
    lane : Lane
        Where jobs run.

    Attributes
    ----------
    link : SessionLink
        The session that works on it.
    rows_changed : Signal(tuple of int or None)
        Objects that changed; None: any may have.
    frame_changed : Signal(int)
        A frame was computed.
    selection_changed : Signal(int)
        The current object.
    message : Signal(Message)
        A sentence for the user.
    drawn_aside : Signal(str)
        A prompt was given, but no session is to be told: the image, of that name,
        was left. It counts once the image is in work again.
    """

    rows_changed = Signal(object)
    frame_changed = Signal(int)
    selection_changed = Signal(int)
    message = Signal(Message)
    drawn_aside = Signal(str)

    def __init__(self, viewer: ViewerModel, frames: LayerFrames, lane: Lane) -> None:
        self.frames = frames
        self.table = ObjectTable(frames.num_frames)
        self.selected = 1
        self.negative = False
        self.link = SessionLink(lane, lambda: frames.current_frame(viewer))
        self._viewer = viewer
        self._painted: dict[Where, Drawn] = {}
        self._stroked: set[Where] = set()
        # What a first stroke took the place of: the mask on screen, and the prompts.
        self._displaced: dict[Where, tuple[CroppedMask, TakenPrompts]] = {}
        self._told = ToldPrompts()
        self._inheritance = Inheritance()
        self._opened: list[Where] = []
        self._refused: dict[Where, Drawn | None] = {}
        # Frames that look otherwise once objects are unlocked.
        self._withheld: set[int] = set()
        self._left = False
        self._shown: list[Layer] = []
        self._open_reads = 0
        self._when_read: list[Callable[[], None]] = []
        self.result = ResultLayer(
            viewer,
            frames,
            edited=self._take_brush,
            selected=self.select,
            recolored=lambda: self.rows_changed.emit(None),
            refused=self._warn,
        )
        self.prompts = PromptLayers(
            viewer,
            frames,
            changed=self._on_drawn,
            refused=self._warn,
            may_change=lambda object_id: object_id not in self.table.locked(),
        )
        self.link.frame_answered.connect(self._on_frame)
        self.link.row_answered.connect(self._on_row)
        self.link.settled.connect(self._on_settled)
        self.link.message.connect(self._on_message)

    def attach(self) -> None:
        """Show the layers."""
        self._left = False
        self.result.attach()
        self.prompts.attach()
        self.select(self.selected)

    def detach(self) -> None:
        """Take the layers out of the viewer."""
        layers = self._viewer.layers
        for layer in (self.prompts.points, self.prompts.shapes, self.result.layer):
            if layer in layers:
                layers.remove(layer)

    def set_visible(self, visible: bool) -> None:
        """Hide the layers, or show those again that were shown before."""
        if not visible:
            layers = self.prompts.points, self.prompts.shapes, self.result.layer
            self._shown = [layer for layer in layers if layer.visible]
        for layer in self._shown:
            layer.visible = visible

    def move(self) -> None:
        """Let the layers lie where the image layer lies."""
        self.result.move()
        self.prompts.move()

    def close(self) -> None:
        """Listen no more."""
        self.stop()
        self.result.close()
        self.prompts.close()

    def stop(self) -> None:
        """Let the session go, and the layers stay; `attach` and `start` go on."""
        self._left = True
        self.link.stop()

    def start(self, predictor: Predictor) -> None:
        """Start a session; prompts, corrected and approved masks come along."""
        frames, stack = self.frames, self.result.stack
        self._inheritance.gather(self.table, stack, self._told.under_way.keys())
        self.link.start(predictor, frames.source, frames.contrast, self._on_started)

    def sync(self, *, anew: bool = False) -> None:
        """Tell the session what was drawn, moved or removed since it was told last.

        Changes of locked objects wait until they are unlocked, unless the session is
        told of everything `anew`.
        """
        wanted = self._wanted()
        changed, gone = self._told.news(wanted)
        locked = self.table.locked()
        known = len(self.table)
        for object_id, _ in sorted(changed):
            self.table.add(object_id)
        if len(self.table) != known:
            if self.table.hidden():
                self.result.set_hidden(self.table.hidden(), self.table.object_ids)
            self.rows_changed.emit(None)
        if self.link.engine is None:
            return
        news: defaultdict[int, dict[int, Drawn | None]] = defaultdict(dict)
        for object_id, frame in sorted(changed | gone):
            where, drawn = (object_id, frame), wanted.get((object_id, frame))
            if object_id in locked and not anew:
                self._refuse(where, drawn)
                continue
            self._refused.pop(where, None)
            approved = frame in self.table.frames_marked(object_id, Mark.APPROVED)
            if approved and where not in self._told.failed:
                self._opened.append(where)
            if not anew and self._corrects(where, drawn):
                self._inheritance.corrections.add(where)
                if self._is_old(where):
                    found = crop_places(self.result.stack, [where])
                    self._hand_on(found, list(found), approve=False)
            news[frame][object_id] = drawn
        if not self._open_reads:
            self._tell_opened()
        for frame, prompts in news.items():
            for object_id, one in prompts.items():
                self._told.note_sent((object_id, frame), one)
                if not anew:
                    self._inheritance.note_prompt((object_id, frame), one)
                if one is None:
                    self.table.forget_earlier([object_id], frame)
            items = list(prompts.items())
            for first in range(0, len(items), _TOGETHER):
                some = dict(items[first : first + _TOGETHER])
                self.link.set_prompts(
                    frame,
                    some,
                    self.frames.frame_shape,
                    then=partial(self._told.note_answered, frame, some, failed=False),
                    otherwise=partial(
                        self._told.note_answered, frame, some, failed=True
                    ),
                )

    def select(self, object_id: int) -> None:
        """Make an object the current one."""
        changed = object_id != self.selected
        self.selected = object_id
        self.result.select(object_id)
        self.prompts.set_current(object_id, negative=self.negative)
        if changed:
            self.selection_changed.emit(object_id)

    def set_negative(self, negative: bool) -> None:
        """Let the next clicks lie beside the object, or on it."""
        self.negative = negative
        self.prompts.set_current(self.selected, negative=negative)

    def new_object(self) -> int:
        """Make a fresh id the current object."""
        fresh = max(self.table.fresh_id(), max(self.link.removed, default=0) + 1)
        self.select(fresh)
        return fresh

    def delete(self, object_ids: Iterable[int]) -> None:
        """Delete objects but locked ones."""
        locked = self.table.locked()
        ids = [i for i in object_ids if i in self.table and i not in locked]
        if not ids:
            return
        self.prompts.remove(ids)
        forget_objects(self._painted, ids)
        forget_objects(self._displaced, ids)
        self._told.forget(ids)
        self._inheritance.forget(ids)
        known = {f for i in ids for f in self.table.frames_shown(i)}
        hidden = self.table.hidden()
        self.table.remove(ids)
        if hidden.intersection(ids):
            self._hide()
        self.rows_changed.emit(None)
        if not self.link.remove_objects(ids, known):
            for frame in known:
                self.result.erase(frame, ids)
            self.result.refresh(now=True)

    def clear_prompts(self, object_id: int, frame: int) -> None:
        """Take back what is drawn and painted for an object on a frame."""
        if object_id in self.table.locked():
            self._warn(f"Object {object_id} is locked: unlock it to change it.")
            return
        self.prompts.remove([object_id], frame)
        self._painted.pop((object_id, frame), None)
        self._displaced.pop((object_id, frame), None)
        self.sync()

    def is_prompted(self, object_id: int, frame: int) -> bool:
        """Return whether anything is drawn or painted for an object on a frame."""
        return (object_id, frame) in self._wanted()

    def use_labels(self, source: LabelsSource, frames: Iterable[int]) -> None:
        """Take the labels of another layer on frames as mask prompts."""
        found: set[int] = set()
        before = set(self.table.object_ids)
        pending = list(frames)
        self._open_reads += len(pending)

        def taken(frame: int, masks: dict[int, CroppedMask]) -> None:
            free = masks.keys() - self.table.locked()
            for object_id in free:
                self._painted[object_id, frame] = Drawn(mask=masks[object_id])
            self.prompts.remove(free, frame)
            found.update(masks)
            self.sync()
            ended()

        def ended() -> None:
            self._open_reads -= 1
            pending.pop()
            if not pending and not found:
                self._warn(
                    f"{source.name!r} has no labels where these frames lie: both "
                    "layers need the same place and scale."
                )
            if not pending and (both := sorted(found & before)):
                ids = ", ".join(map(str, both[:3])) + (", ..." if both[3:] else "")
                self._warn(
                    f"Labels went to objects of the same number that were there "
                    f"before: {ids}. Number labels anew if they are other objects."
                )
            if not self._open_reads:
                self._tell_opened()
                waiting, self._when_read = self._when_read, []
                for call in waiting:
                    call()

        for frame in tuple(pending):
            self.link.run(
                partial(_read_masks, source, frame), partial(taken, frame), ended
            )

    def _tell_opened(self) -> None:
        """Say which approvals changes of the user have made void."""
        opened, self._opened = self._opened, []
        if opened:
            object_id, frame = opened[0]
            more = f" (and {len(opened) - 1} more)" if len(opened) > 1 else ""
            self.message.emit(
                Message(
                    f"Frame {frame} of object {object_id}{more} was approved; your "
                    "change opens it again."
                )
            )

    def when_read(self, call: Callable[[], None]) -> None:
        """Call once no labels are being read: at once, or later."""
        if self._open_reads:
            self._when_read.append(call)
        else:
            call()

    def approve(self, frames: Iterable[int], object_ids: Iterable[int]) -> None:
        """Approve masks of objects on frames."""
        if self.link.engine is None:
            self._warn("There is nothing to approve yet.")
            return
        approval = Approval(tuple(frames), tuple(object_ids), back=False)
        earlier = [where for where in approval.places() if self._is_old(where)]
        if earlier:
            self._approve_earlier(earlier)
        if len(earlier) < len(approval.frames) * len(approval.object_ids):
            self._ask(approval)

    def _approve_earlier(self, places: Iterable[Where]) -> None:
        """Approve masks on screen that an earlier session found."""
        masks = self._inheritance.approved
        found = crop_places(self.result.stack, places)
        masks.update(found)
        self._hand_on(masks, found, approve=True)

    def _is_old(self, where: Where) -> bool:
        """Return whether what is on screen is of an earlier session, and stays so."""
        return self.table.is_earlier(*where) and where not in self._told.under_way

    def unapprove(self, frames: Iterable[int], object_ids: Iterable[int]) -> None:
        """Take approvals back."""
        if self.link.engine is None:
            self._warn("There is nothing to take back yet.")
        else:
            self._ask(Approval(tuple(frames), tuple(object_ids), back=True))

    def _ask(self, approval: Approval) -> None:
        """Have masks approved, by the next session if this one ends before."""
        self._inheritance.ask(approval)
        self.link.approve(
            approval.frames,
            approval.object_ids,
            back=approval.back,
            over=partial(self._inheritance.note_answered, approval),
        )

    def _hide(self) -> None:
        """Do not show labels and prompts of the objects that the table hides."""
        hidden = self.table.hidden()
        self.result.set_hidden(hidden, self.table.object_ids)
        self.prompts.set_hidden(hidden)

    def update_look(self) -> None:
        """Show and lock objects as the table says; what waited for that is sent."""
        unlocked = self.result.locked - self.table.locked()
        self._hide()
        self.result.set_locked(self.table.locked())
        self.rows_changed.emit(None)
        self.sync()
        if unlocked:
            withheld, self._withheld = self._withheld, set()
            self.link.repaint(withheld)

    def _wanted(self) -> dict[Where, Drawn]:
        """Return what is drawn and painted."""
        wanted = dict(self._painted)
        for where, drawn in self.prompts.read().items():
            painted = wanted.get(where, drawn)
            wanted[where] = replace(drawn, mask=painted.mask)
        return wanted

    def _corrects(self, where: Where, drawn: Drawn | None) -> bool:
        """Return whether what is drawn corrects a mask that is there."""
        if drawn is None or drawn.mask is not None or drawn.outlines:
            return False
        found = self.table.is_known(*where) or self._is_old(where)
        return where not in self._told.sent and found

    def _drop_orphans(self) -> None:
        """Take labels of an earlier session away that nothing will compute again.

        They are of objects without a prompt or an approved frame.
        """
        if not self.table.any_earlier():
            return
        held = {object_id for object_id, _ in self._wanted()}
        held |= self._inheritance.owners() | self.table.locked()
        orphans = {
            i
            for i in self.table.object_ids
            if i not in held and not self.table.frames_marked(i, Mark.APPROVED)
        }
        self.link.repaint(self.table.forget_earlier(orphans))

    def _hand_on(
        self,
        masks: dict[Where, CroppedMask],
        places: Iterable[Where],
        *,
        approve: bool,
    ) -> None:
        """Give the session masks of one before; those taken over are dropped."""

        def taken(frame: int, object_ids: Iterable[int]) -> None:
            for object_id in object_ids:
                masks.pop((object_id, frame), None)

        for frame, some in by_frame({w: masks[w] for w in places}).items():
            then = partial(taken, frame, some)
            self.link.take_masks(frame, some, approve=approve, then=then)

    def _take_brush(self, edit: BrushEdit) -> None:
        """Make what was painted the prompt of its objects, in place of earlier ones.

        Undo brings back pixels of other objects too; those the session still has.
        """
        places = {(object_id, edit.frame) for object_id in edit.object_ids}
        if edit.undone:
            places &= self._stroked
        else:
            # A painted mask stays as it was, unless it is told what it lost.
            lost = np.unique(edit.before[edit.before != edit.labels]).tolist()
            places |= {(i, edit.frame) for i in lost} & self._painted.keys()
        self._stroked |= places
        for where in places:
            object_id = where[0]
            mask = CroppedMask.crop(edit.labels == object_id)
            taken = self.prompts.take(*where)
            if not edit.undone and where not in self._painted:
                before = CroppedMask.crop(edit.before == object_id)
                self._displaced[where] = before, taken
            origin = self._displaced.get(where)
            if edit.undone and (mask.empty or (origin and mask.same_pixels(origin[0]))):
                self._painted.pop(where, None)
                if origin is not None:
                    self.prompts.put_back(origin[1])
            else:
                self._painted[where] = Drawn(mask=mask)
        self._on_drawn()

    def _on_drawn(self) -> None:
        """Tell the session what the user drew, or say why that must wait."""
        self.sync()
        if self._left:
            self.drawn_aside.emit(self.frames.layer.name)

    def _on_started(self) -> None:
        """Tell a new session of everything."""
        again = self._inheritance.hand_over(self._wanted(), self._told)
        self._told.clear()
        self._withheld.clear()
        self.table.clear_results()
        self.rows_changed.emit(None)
        corrected, approved = self._inheritance.corrected, self._inheritance.approved
        self._hand_on(corrected, corrected, approve=False)
        self.sync(anew=True)
        self._hand_on(approved, approved, approve=True)
        for object_id, frame in again:
            self.approve([frame], [object_id])
        self._drop_orphans()

    def _on_frame(self, answer: FrameAnswer) -> None:
        """Paint a frame."""
        frame = answer.frame
        self.table.update_frame(answer)
        self.result.attach()
        left = self.table.earlier(frame)
        if self.result.paint(frame, answer.labels, keep=left):
            self._withheld.add(frame)
        self.frame_changed.emit(frame)

    def _on_row(self, answer: RowAnswer) -> None:
        self.table.update_row(answer)

    def _on_settled(self) -> None:
        self._drop_orphans()
        self.result.refresh(now=True)
        self.rows_changed.emit(None)

    def _on_message(self, message: Message) -> None:
        self.message.emit(message)

    def _refuse(self, where: Where, drawn: Drawn | None) -> None:
        """Say once that a locked object was not changed."""
        if where not in self._refused or self._refused[where] != drawn:
            self._refused[where] = drawn
            self._warn(f"Object {where[0]} is locked: unlock it to change it.")

    def _warn(self, sentence: str) -> None:
        self.message.emit(Message(sentence, Severity.WARNING))


def _read_masks(source: LabelsSource, frame: int) -> dict[int, CroppedMask]:
    """Return the mask of each label above 0 on a frame.

    Raises
    ------
    PromptError
        If a label is below 0.
    """
    labels = source.read(frame)
    found = [int(i) for i in np.unique(labels) if i != 0]
    if found and found[0] < 0:
        raise PromptError(
            f"The labels hold {found[0]}: labels are whole numbers from 1, and 0 for "
            "the background."
        )
    return CroppedMask.crop_each(labels, found)
