"""What a user can do next, in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam2.ui.records import Activity, ModelStage, ObjectStatus

if TYPE_CHECKING:
    from napari_sam2.ui.controller import Controller


def next_step(controller: Controller) -> str:
    """Return a hint that fits what there is so far."""
    if controller.image is None and controller.images():
        return "Choose an image above."
    if controller.image is None:
        return "Open an image, or File > Open Sample > SAM 2."
    stage = controller.model.stage
    if stage in (ModelStage.LOADING, ModelStage.DOWNLOADING):
        return "The model is on its way. You can click on objects already."
    if stage in (ModelStage.NONE, ModelStage.FAILED):
        return "Load a model above."
    if controller.activity == Activity.PROPAGATING:
        return "You can look around and correct while it runs."
    if controller.activity == Activity.PAUSED:
        return "Paused. 'Go on' continues where it stands."
    rows = [row for row in controller.objects if row.prompts and not row.locked]
    if not rows and not controller.armed:
        return "Press Points, then click on an object in the image."
    if not rows:
        return "Click on an object in the image."
    if any(row.status == ObjectStatus.STALE for row in rows):
        return "Propagate: only the striped frames are computed."
    if any(row.status != ObjectStatus.DONE for row in rows):
        return "Refine, start a new object, or propagate."
    if controller.facts is not None and controller.facts.num_frames == 1:
        return "Refine, start a new object, or save the labels."
    return "Look at doubtful frames; click there to correct."
