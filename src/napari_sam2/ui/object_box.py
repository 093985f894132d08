"""The table of objects, wired to the controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_sam2.ui.object_view import ObjectTableView
from napari_sam2.ui.question import ask_first
from napari_sam2.ui.records import Mark

if TYPE_CHECKING:
    from napari_sam2.ui.connections import Connections
    from napari_sam2.ui.controller import Controller


class ObjectBox(QWidget):
    """Shows the controller's objects and passes on what is done to them.

    Parameters
    ----------
    controller : Controller
        Of the viewer.
    """

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self._controller = controller
        self.table = ObjectTableView()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.table)
        model = self.table.objects
        self.table.object_chosen.connect(controller.select_object)
        self.table.go_wanted.connect(self.go_to_object)
        self.table.action_wanted.connect(self.act)
        model.renamed.connect(controller.rename)
        model.classified.connect(controller.set_category)
        model.visibility_wanted.connect(
            lambda object_id, shown: controller.set_visible((object_id,), shown)
        )

    def connect_controller(self, connections: Connections) -> None:
        """Follow the controller until the connections are released."""
        controller = self._controller
        connections.connect(controller.objects_changed, self.show_objects)
        connections.connect(controller.image_changed, self.show_objects)
        connections.connect(controller.selection_changed, self.table.set_current)
        self.show_objects()
        self.table.set_current(controller.selected)

    def show_objects(self, object_ids: tuple[int, ...] | None = None) -> None:
        """Show what is new of some objects, or of all."""
        controller, model = self._controller, self.table.objects
        if object_ids is not None and set(object_ids) <= set(model.object_ids):
            rows = (controller.row(object_id) for object_id in object_ids)
            model.update_rows(row for row in rows if row is not None)
            return
        facts = controller.facts
        model.set_rows(controller.objects, 0 if facts is None else facts.num_frames)
        self.table.set_current(controller.selected)

    def go_to_object(self, object_id: int) -> None:
        """Go to a prompted frame of an object, else to the first where it is found."""
        controller = self._controller
        timeline = controller.timeline
        if object_id not in timeline.object_ids:
            return
        row = timeline.object_ids.index(object_id)
        prompted = np.flatnonzero(timeline.marks[row] & Mark.PROMPTED)
        found = np.flatnonzero(np.isfinite(timeline.confidence[row]))
        frames = prompted if len(prompted) else found
        frame = int(frames[0]) if len(frames) else controller.frame
        controller.go_to(frame, object_id)

    def act(self, action: str, object_ids: tuple[int, ...]) -> None:
        """Do what the menu or a key of the table asks for."""
        controller = self._controller
        if action == "delete":
            self._delete(object_ids)
        elif action in ("hide", "show"):
            controller.set_visible(object_ids, action == "show")
        elif action in ("lock", "unlock"):
            controller.set_locked(object_ids, action == "lock")
        elif action == "rerun":
            controller.rerun(object_ids)
        else:
            raise ValueError(f"unknown action {action!r}")

    def _delete(self, object_ids: tuple[int, ...]) -> None:
        """Delete objects; ask first if much work would be lost."""
        rows = [self._controller.row(object_id) for object_id in object_ids]
        worked = [row for row in rows if row is not None and row.frames_done > 1]
        if not worked:
            self._controller.delete_objects(object_ids)
            return
        several = f"{len(object_ids)} objects"
        what = worked[0].name if len(object_ids) == 1 else several
        frames = sum(row.frames_done for row in worked)
        ask_first(
            self,
            "Delete objects",
            f"Delete {what} with the masks of {frames} frames?",
            lambda: self._controller.delete_objects(object_ids),
        )
