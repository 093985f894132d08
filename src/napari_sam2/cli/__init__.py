"""The command line: the same engine without a screen."""

from __future__ import annotations

from napari_sam2.cli.app import main

__all__ = ["main"]
