"""Times what a user of the built-in model waits for: clicks, and frames tracked.

python benchmarks/nano_speed.py [THREADS]
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
import torch

import napari_sam2 as ns
from napari_sam2.training.synthetic import sample_zstack

_FRAME = 20


def main(threads: int) -> None:
    """Print milliseconds a click and frames a second for 1 and 16 objects."""
    torch.set_num_threads(threads)
    clip = sample_zstack()
    predictor = ns.VideoPredictor(ns.build_model(device="cpu"))
    plane = clip.labels[_FRAME]
    for count in (1, 1, 16):  # the first is to warm up
        session = predictor.start(clip.images)
        clicks = []
        for number, label in enumerate(np.resize(np.unique(plane)[1:], count)):
            y, x = np.argwhere(plane == label).mean(0)
            began = time.perf_counter()
            predictor.add_prompt(
                session,
                frame=_FRAME,
                object_id=number + 1,
                prompt=ns.Prompt(points=[[x, y]], labels=[1]),
            )
            clicks.append(1e3 * (time.perf_counter() - began))
        began = time.perf_counter()
        frames = sum(1 for _ in predictor.propagate(session, direction="both"))
        rate = frames / (time.perf_counter() - began)
        later = (
            f", the next ones {statistics.median(clicks[1:]):.0f}" if count > 1 else ""
        )
        print(
            f"{count:2} objects, {threads} threads: first click {clicks[0]:.0f} ms"
            f"{later}; {rate:.1f} frames a second"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else torch.get_num_threads())
