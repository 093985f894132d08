"""Makes the picture of the user guide: a real session in a real window.

    python scripts/screenshot.py [--out docs/images/plugin.png] [--theme dark]

Needs a display; ``xvfb-run -s "-screen 0 1600x1000x24"`` gives a virtual one. With
PySide6 the thumbnails of napari's layer list are sound, with PyQt6 they may not be.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam2.ui.widget import Sam2Widget

_PATIENCE = 300.0  # s
_OBJECTS = 6


def main() -> None:
    """Run the session and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images/plugin.png"))
    parser.add_argument("--theme", default="dark", choices=("dark", "light"))
    parser.add_argument("--size", type=int, nargs=2, default=(1440, 860))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # The user's own settings would show.
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "settings.yaml")
        picture(arguments.out, arguments.theme, tuple(arguments.size))


def picture(out: Path, theme: str, size: tuple[int, int]) -> None:
    """Segment the sample in a window of that size and save what it shows."""
    import napari
    from napari.utils.io import imsave

    from napari_sam2.training.synthetic import sample_zstack
    from napari_sam2.ui.widget import TITLE

    viewer = napari.Viewer()
    viewer.theme = theme
    viewer.window.resize(*size)
    (image,) = viewer.open_sample("napari-sam2", "zstack")
    _, widget = viewer.window.add_plugin_dock_widget("napari-sam2", TITLE)
    wait_until(lambda: widget.controller.model.stage == "ready")
    wait_until(lambda: widget.controller.image is image)
    viewer.reset_view()
    segment(widget, sample_zstack().labels)
    shown = viewer.screenshot(canvas_only=False, flash=False)
    out.parent.mkdir(parents=True, exist_ok=True)
    imsave(str(out), shown)
    viewer.close()


def segment(widget: Sam2Widget, truth: np.ndarray) -> None:
    """Click on the largest objects of the middle frame, propagate and review."""
    controller = widget.controller
    middle = len(truth) // 2
    controller.go_to(middle)
    ids, areas = np.unique(truth[middle][truth[middle] > 0], return_counts=True)
    for object_id in ids[np.argsort(-areas)][:_OBJECTS]:
        y, x = (float(c.mean()) for c in np.nonzero(truth[middle] == object_id))
        current = controller.new_object()
        controller.add_point(y, x)
        wait_until(lambda current=current: has_mask(widget, current))
    controller.propagate("both")
    total = len(truth)
    wait_until(lambda: all(row.frames_done == total for row in controller.objects))
    wait_until(lambda: controller.activity == "idle")
    controller.select_object(controller.objects[0].object_id)
    controller.go_to(middle + 3)
    controller.approve(middle + 1, middle + 6)
    wait_until(lambda: controller.objects[0].approved > 0)
    wait(1.0)


def has_mask(widget: Sam2Widget, object_id: int) -> bool:
    """Return whether an object has its first mask."""
    row = widget.controller.row(object_id)
    return row is not None and row.frames_done > 0


def wait_until(condition: Callable[[], bool]) -> None:
    """Let the window live until something has happened."""
    end = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the session does not come to its end")
        wait(0.02)


def wait(seconds: float) -> None:
    """Let the window live for a while."""
    from qtpy.QtTest import QTest

    QTest.qWait(round(1000 * seconds))


if __name__ == "__main__":
    main()
