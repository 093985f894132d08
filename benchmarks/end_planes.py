"""Print how good masks are towards the ends of objects, after one interaction.

python benchmarks/end_planes.py REPORT_FOLDER [REPORT_FOLDER ...]

Reads what `napari-sam2 evaluate --out` wrote; a row is a folder and a distance in
frames from the nearer end of an object, 0 being its first and last frame.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean

from evaluated import end_distance, end_name, model_objects


def main(folders: list[str]) -> None:
    """Print mean IoU, and the share of frames without any of the object found."""
    print("| data | frames from an end | IoU | missed |")
    print("| --- | --- | --- | --- |")
    for folder in map(Path, folders):
        by_distance: dict[int, list[float]] = defaultdict(list)
        for found in model_objects(folder):
            ious = found["rounds"][0]["iou"]
            for place, iou in enumerate(ious):
                by_distance[end_distance(place, len(ious))].append(iou)
        for end, ious in sorted(by_distance.items()):
            missed = mean(iou == 0 for iou in ious)
            print(
                f"| {folder.name} | {end_name(end)} | {mean(ious):.2f} | {missed:.0%} |"
            )


if __name__ == "__main__":
    main(sys.argv[1:])
