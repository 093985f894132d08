"""``python -m napari_sam2.training CONFIG --out DIR [--resume]``."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from napari_sam2.errors import Sam2Error
from napari_sam2.training.run import train


def main() -> int:
    """Train as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m napari_sam2.training")
    parser.add_argument("config", type=Path, help="YAML of the run")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on with a run")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        train(
            given.config,
            out=given.out,
            resume=given.resume,
            device=given.device,
            precision=given.precision,
        )
    except Sam2Error as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
