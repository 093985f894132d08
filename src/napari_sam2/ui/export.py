"""Writing the result to a file that other programs read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_sam2.errors import ImageError
from napari_sam2.ui.frames import layer_frames

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_sam2.ui.frames import LayerFrames


@dataclass(frozen=True, slots=True, eq=False)
class Export:
    """Labels on their way to a file.

    Attributes
    ----------
    path : Path
        ``.tif`` (OME-TIFF) or ``.zarr`` (OME-Zarr).
    labels : ndarray
        ``(T, H, W)``.
    axes : str
        ``"ZYX"`` or ``"TYX"``.
    scale, units : tuple
        Physical size of a step along the axes, and its unit or None.
    overwrite : bool
        Replace what has that name.
    """

    path: Path
    labels: NDArray[np.unsignedinteger] = field(repr=False)
    axes: str
    scale: tuple[float, float, float]
    units: tuple[str | None, str | None, str | None]
    overwrite: bool

    def write(self) -> Path:
        """Write the file, frame by frame; return its path.

        Raises
        ------
        ImageError
            If it exists, cannot be written, or its name ends otherwise. Then there is
            what was there before.
        """
        # zarr takes long to import, and most windows are opened to export nothing.
        from napari_sam2.data.labels import LabelWriter

        frames, height, width = self.labels.shape
        highest = max(int(frame.max(initial=0)) for frame in self.labels)
        writer = LabelWriter.open(
            self.path,
            shape=(frames, height, width),
            max_id=highest,
            axes=self.axes,
            scale=self.scale,
            units=self.units,
            overwrite=self.overwrite,
        )
        try:
            for number in range(frames):
                writer.write(number, self.labels[number])
            writer.close()
        except BaseException as error:
            writer.discard()
            if not isinstance(error, ImageError):
                raise
            reason = getattr(error.__cause__, "strerror", None) or error
            raise ImageError(
                f"{self.path} could not be written ({reason}). Nothing is left of it:"
                " make room, or choose another folder, and save again."
            ) from error
        return self.path


def export_of(
    labels: NDArray[np.unsignedinteger],
    frames: LayerFrames,
    path: Path,
    *,
    overwrite: bool,
) -> Export:
    """Describe the export of labels ``(T, H, W)`` that lie on frames."""
    # The scale may have been set after work began.
    source = layer_frames(frames.layer, frames.choice).source
    scale, units = source.scale, source.units
    return Export(
        path,
        labels,
        source.axes,
        (scale[0], scale[1], scale[2]),
        (units[0], units[1], units[2]),
        overwrite,
    )
