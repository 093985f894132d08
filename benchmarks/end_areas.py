"""Print how large masks are towards the ends of objects, over what is true.

python benchmarks/end_areas.py IMAGE.tif LABELS.tif

One click on every suitable object, as by `napari-sam2 evaluate`. A row is a distance in
frames from the nearer end of an object, 0 being its first and last frame; the areas of
found masks over true ones, as quartiles over the frames that show any.
"""

from __future__ import annotations

import sys
from collections import defaultdict

import numpy as np
import tifffile
from evaluated import end_distance, end_name

import napari_sam2 as ns
from napari_sam2.data.source import as_frame_source
from napari_sam2.evaluation.annotator import first_interaction
from napari_sam2.evaluation.objects import suitable_objects
from napari_sam2.evaluation.protocol import Protocol
from napari_sam2.evaluation.stack import as_labels


def main(image: str, labels: str) -> None:
    """Click on every object of a stack, track all of them, and compare areas."""
    stack, truth = tifffile.imread(image), tifffile.imread(labels)
    objects = suitable_objects(as_labels(truth), as_frame_source(stack), Protocol())
    predictor = ns.VideoPredictor(ns.build_model(device="cpu"))
    session = predictor.start(stack)
    ratios = defaultdict(list)
    for one in objects:
        click = first_interaction(
            one.middle, truth[one.middle] == one.object_id, "point"
        )
        predictor.add_prompt(
            session,
            frame=one.middle,
            object_id=one.object_id,
            prompt=click.added_to(None),
        )
    first = min(one.frames[0] for one in objects)
    last = max(one.frames[-1] for one in objects)
    for _ in predictor.propagate(session, frames=(first, last), direction="both"):
        pass
    for one in objects:
        for place, frame in enumerate(one.frames):
            (found,) = session.masks(frame, one.object_id).each_mask()
            end = end_distance(place, len(one.frames))
            true = np.count_nonzero(truth[frame] == one.object_id)
            ratios[end].append(np.count_nonzero(found) / true)
    print("| frames from an end | found area over true area | missed |")
    print("| --- | --- | --- |")
    for end, values in sorted(ratios.items()):
        shown = [value for value in values if value] or [0.0]  # all missed
        quartiles = ", ".join(f"{q:.1f}" for q in np.quantile(shown, [0.25, 0.5, 0.75]))
        missed = values.count(0) / len(values)
        print(f"| {end_name(end)} | {quartiles} | {missed:.0%} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
