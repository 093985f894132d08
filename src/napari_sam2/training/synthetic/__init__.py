"""Synthetic microscopy: clips of images and instances, by seed, without any data."""

from __future__ import annotations

from napari_sam2.training.synthetic.clip import Clip, Kind
from napari_sam2.training.synthetic.families import FAMILIES
from napari_sam2.training.synthetic.generator import ClipGenerator
from napari_sam2.training.synthetic.parameters import (
    CameraParameters,
    FamilyWeights,
    MotionParameters,
    ObjectParameters,
    OpticsParameters,
    SyntheticParameters,
)
from napari_sam2.training.synthetic.samples import sample_timelapse, sample_zstack

__all__ = [
    "FAMILIES",
    "CameraParameters",
    "Clip",
    "ClipGenerator",
    "FamilyWeights",
    "Kind",
    "MotionParameters",
    "ObjectParameters",
    "OpticsParameters",
    "SyntheticParameters",
    "sample_timelapse",
    "sample_zstack",
]
