"""Interactive segmentation of z-stacks and time-lapses with SAM 2.

Importing the package loads neither torch nor Qt: the public names below are
resolved on first use.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_sam2.errors import (
    CheckpointError,
    ConfigError,
    ImageError,
    PromptError,
    Sam2Error,
)

if TYPE_CHECKING:
    from napari_sam2.build import build_model
    from napari_sam2.data.source import FrameSource
    from napari_sam2.inference.masks import FrameMasks
    from napari_sam2.inference.options import PredictorOptions
    from napari_sam2.inference.predictor import VideoPredictor
    from napari_sam2.inference.prompt import Prompt
    from napari_sam2.inference.session import Session

__version__ = "0.1.0"

# torch's threads (libgomp) spin for milliseconds until all are done. Where another
# program takes a core, each of the hundreds of waits of a frame can last as long: five
# objects in the window took minutes in place of 20 s, on two cores. Read when torch is
# loaded, so it has no effect after `import torch`; what the user sets goes before it.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")

_LAZY = {
    "FrameMasks": "napari_sam2.inference.masks",
    "FrameSource": "napari_sam2.data.source",
    "PredictorOptions": "napari_sam2.inference.options",
    "Prompt": "napari_sam2.inference.prompt",
    "Session": "napari_sam2.inference.session",
    "VideoPredictor": "napari_sam2.inference.predictor",
    "build_model": "napari_sam2.build",
}

__all__ = [
    "CheckpointError",
    "ConfigError",
    "FrameMasks",
    "FrameSource",
    "ImageError",
    "PredictorOptions",
    "Prompt",
    "PromptError",
    "Sam2Error",
    "Session",
    "VideoPredictor",
    "__version__",
    "build_model",
]


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return sorted(__all__)
