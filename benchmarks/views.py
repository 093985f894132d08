"""Compare whole frames with windows around objects, on large frames.

python benchmarks/views.py [STACKS] [SIZE]

Synthetic stacks that no training has seen, of SIZE x SIZE pixels (512) with objects of
18 to 60 pixels; the protocol of docs/evaluation.md on five objects of each.
"""

from __future__ import annotations

import sys
import time
from statistics import mean

import napari_sam2 as ns
from napari_sam2.errors import ImageError
from napari_sam2.evaluation import Protocol, evaluate_stack
from napari_sam2.training.synthetic import ClipGenerator, SyntheticParameters
from napari_sam2.training.synthetic.parameters import ObjectParameters

_FRAMES = 14
# Training draws the seeds of its clips below 2 ** 62.
_FIRST_SEED = 2**62 + 77


def main(stacks: int, size: int) -> None:
    """Print mean IoU after one and three interactions, and seconds, by view."""
    objects = ObjectParameters(diameter=(18.0, 60.0), count=(10, 60))
    generator = ClipGenerator(SyntheticParameters(objects=objects))
    model = ns.build_model(device="cpu")
    protocol = Protocol(interactions=3, most_objects=5)
    print("| view | stacks | IoU, 1 | IoU, 3 | seconds |")
    print("| --- | --- | --- | --- | --- |")
    for view in ("frame", "object"):
        predictor = ns.VideoPredictor(model, options=ns.PredictorOptions(view=view))
        began, scores = time.perf_counter(), []
        for number in range(stacks):
            clip = generator.generate(
                _FIRST_SEED + number,
                frames=_FRAMES,
                size=size,
                kind="t" if number % 2 else "z",
            )
            try:
                found = evaluate_stack(
                    predictor, clip.images, clip.labels, protocol=protocol
                )
            except ImageError:  # no object is long enough in the stack
                continue
            scores.append((found.mean_iou(1), found.mean_iou(3)))
        seconds = time.perf_counter() - began
        first, third = (mean(column) for column in zip(*scores, strict=True))
        print(
            f"| {view} | {len(scores)} | {first:.2f} | {third:.2f} | {seconds:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    main(*(given + [8, 512][len(given) :]))
