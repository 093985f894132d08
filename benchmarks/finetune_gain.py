"""Print what fine-tuning `nano` on six synthetic stacks is worth on four others.

python benchmarks/finetune_gain.py [STEPS [PRECISION]]

All stacks are as of one microscope: first such as the model was trained on, then
noisier, with labels that reach far beyond the stain. One click on the middle frame of
up to 12 objects of each stack; six to ten minutes for each kind on a core, by default
250 steps. The precision is that of training ("auto"); scores are taken in float32.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean

import tifffile
import torch

from napari_sam2 import VideoPredictor, build_model
from napari_sam2.evaluation import Protocol, evaluate_stack
from napari_sam2.training.finetune import FinetuneSettings, finetune
from napari_sam2.training.synthetic import ClipGenerator, SyntheticParameters

_SHOWN, _HELD_BACK = range(600, 606), range(610, 614)


def main(steps: int, precision: str) -> None:
    """Print mean IoU before and after, for both kinds of stacks."""
    torch.set_num_threads(1)
    alike = _alike()
    unlike = replace(
        alike,
        objects=replace(alike.objects, generosity=(2.5, 2.6), least_cut=(0.1, 0.11)),
        camera=replace(alike.camera, contrast_to_noise=(1.0, 1.1)),
    )
    print("| stacks | objects | before | after |")
    print("| --- | --- | --- | --- |")
    for name, scenes, first in (("alike", alike, 0), ("unlike", unlike, 100)):
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "data"
            data.mkdir()
            for seed in _SHOWN:
                images, labels = _stack(scenes, seed + first)
                tifffile.imwrite(data / f"{seed}.tif", images)
                tifffile.imwrite(data / f"{seed}_labels.tif", labels)
            stacks = [_stack(scenes, seed + first) for seed in _HELD_BACK]
            before = _scores("auto", stacks)
            settings = FinetuneSettings(data=data, steps=steps, held_out=0.0)
            out = Path(folder) / "tuned"
            tuned = finetune(settings, out=out, device="cpu", precision=precision)
            after = _scores(str(tuned.weights), stacks)
        print(f"| {name} | {len(after)} | {mean(before):.2f} | {mean(after):.2f} |")


def _alike() -> SyntheticParameters:
    """Return nuclei whose knobs hardly vary, within what the model was trained on."""
    usual = SyntheticParameters()
    return replace(
        usual,
        objects=replace(
            usual.objects,
            diameter=(18, 20),
            count=(10, 14),
            planes=(11, 12),
            touching=(0.3, 0.4),
            roughness=(0.05, 0.06),
            least_cut=(0.02, 0.021),
            generosity=(0.5, 0.51),
        ),
        optics=replace(
            usual.optics,
            upscaled_share=0.0,
            blur=(1.2, 1.3),
            axial_blur=(0.15, 0.16),
            haze_share=0.0,
            clutter_share=0.0,
            debris_share=0.0,
        ),
        camera=replace(
            usual.camera,
            contrast_to_noise=(4, 5),
            background=(0.1, 0.12),
            hot_pixel_share=0.0,
            stripe_share=0.0,
            salt_share=0.0,
            inverted_share=0.0,
        ),
    )


def _stack(scenes: SyntheticParameters, seed: int):
    """Return images and labels ``(20, 160, 160)``."""
    clip = ClipGenerator(scenes).generate(
        seed, frames=20, size=160, family="nuclei", kind="z"
    )
    return clip.images, clip.labels


def _scores(checkpoint: str, stacks) -> list[float]:
    """Return the mean IoU of each object after one click."""
    model = build_model("nano", checkpoint=checkpoint, device="cpu")
    predictor = VideoPredictor(model)
    protocol = Protocol(interactions=1, most_objects=12)
    return [
        mean(scores.rounds[0].iou)
        for images, labels in stacks
        for scores in evaluate_stack(
            predictor, images, labels, protocol=protocol
        ).model.objects
    ]


if __name__ == "__main__":
    steps, precision = [*sys.argv[1:], *("250", "auto")[len(sys.argv) - 1 :]]
    main(int(steps), precision)
