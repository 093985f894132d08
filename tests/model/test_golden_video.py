"""Scenarios A to F of the original video predictor, through the public names."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from golden import seeded
from napari_sam2 import PredictorOptions, Prompt, VideoPredictor, build_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam2 import FrameMasks, Session

GOLDEN = Path(__file__).parents[1] / "golden"
LOGITS = 1e-3


@dataclass
class Replay:
    """Carries scenarios out, keeping the logits of every answer under its name."""

    predictor: VideoPredictor
    scene: seeded.Scene
    found: dict[str, np.ndarray] = field(default_factory=dict)
    session: Session = field(init=False)

    def start(self, frames: object) -> None:
        self.session = self.predictor.start(frames)

    def prompt(self, name: str, frame: int, object_id: int, prompt: Prompt) -> None:
        masks = self.predictor.add_prompt(
            self.session, frame=frame, object_id=object_id, prompt=prompt
        )
        self._keep(name, masks)

    def propagate(self, name: str, **options: object) -> None:
        for masks in self.predictor.propagate(self.session, **options):
            self._keep(f"{name}{masks.frame}", masks)

    def click(self, *discs: int, frame: int) -> Prompt:
        """A click on the first disc, and negative ones on the others."""
        points = [self.scene.xy(disc, frame) for disc in discs]
        return Prompt(points, [1] + [0] * (len(discs) - 1))

    def _keep(self, name: str, masks: FrameMasks) -> None:
        assert name not in self.found
        self.found[name] = masks.logits[:, None]


@dataclass(frozen=True)
class Rescaled:
    """Frames as the network takes them, of a video of another size."""

    frames: np.ndarray
    frame_shape: tuple[int, int]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, frame: int) -> np.ndarray:
        return self.frames[frame]


def scenarios_a_to_e(replay: Replay) -> None:
    scene = replay.scene
    replay.start(scene.frames)
    replay.prompt("A/click", 0, 1, replay.click(0, frame=0))
    replay.propagate("A/t")

    replay.prompt("B/click", 5, 1, replay.click(0, 1, frame=5))
    replay.propagate("B/t")
    replay.propagate("B/rev", direction="backward", frames=(0, 5))

    replay.start(scene.frames)
    replay.prompt("C/click", 3, 10, replay.click(0, frame=3))
    replay.prompt("C/box", 3, 20, Prompt(box=scene.box(1, 3)))
    replay.prompt("C/mask", 3, 30, Prompt(mask=scene.mask(2, 3)))
    replay.propagate("C/t")
    replay.propagate("C/rev", direction="backward")

    box_and_point = Prompt([scene.xy(3, 4)], box=scene.box(3, 4))
    replay.prompt("D/boxpoint", 4, 40, box_and_point)
    replay.propagate("D/t", frames=(4, 6))
    replay.predictor.remove_object(replay.session, object_id=20)
    replay.propagate("D/rm", frames=(3, 7))

    height, width = scene.size * 3 // 4, scene.size * 5 // 4
    stretch = np.array([width, height]) / scene.size
    replay.start(Rescaled(scene.frames, (height, width)))
    for frame in (1, 6):
        click = Prompt([scene.xy(4, frame) * stretch])
        replay.prompt(f"E/click{frame}", frame, 7, click)
    replay.propagate("E/t")


def scenario_f(replay: Replay) -> None:
    scene = replay.scene
    replay.start(scene.frames)
    replay.prompt("F/click", 0, 1, replay.click(0, frame=0))
    replay.prompt("F/click2", 0, 2, replay.click(1, frame=0))
    replay.propagate("F/t")
    replay.prompt("F/correct", 9, 1, replay.click(0, frame=9))
    replay.prompt("F/correct2", 9, 1, replay.click(0, 1, frame=9))
    replay.propagate("F/again", frames=(9, 15))
    replay.prompt("F/mask", 0, 1, Prompt(mask=scene.mask(0, 0)))
    replay.propagate("F/masked", frames=(0, 4))
    replay.propagate("F/rev", direction="backward", frames=(0, 23))


@dataclass(frozen=True)
class Case:
    """One golden file, and what must give it."""

    file: str
    config: str
    size: int
    seed: int
    stride: int
    play: Callable[[Replay], None] = scenarios_a_to_e
    weights: Callable[..., np.ndarray] = seeded.fill
    num_frames: int = 8


CASES = [
    Case("micro-11", "micro", 128, 11, 2),
    Case("micro-hard-11", "micro", 128, 11, 2, scenario_f, seeded.fill_hard, 24),
    Case("sam2.1_t-512-9", "sam2.1_hiera_tiny", 512, 9, 8),
]


@pytest.mark.timeout(600)
@pytest.mark.official
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file)
def test_every_answer_is_that_of_the_original(case: Case) -> None:
    model = build_model(
        case.config,
        checkpoint=None,
        device="cpu",
        overrides=[f"image_size={case.size}"],
    )
    seeded.seed_weights(model, case.weights)
    predictor = VideoPredictor(model, PredictorOptions.reference())
    scene = seeded.scene(case.num_frames, case.size, case.seed)
    replay = Replay(predictor, scene)
    case.play(replay)

    with np.load(GOLDEN / f"{case.file}.npz") as golden:
        np.testing.assert_allclose(scene.centres, golden["geo/c0"])
        expected = {k: golden[k] for k in golden.files if k[:2] in _SCENARIOS}
    assert replay.found.keys() == expected.keys()
    for name, array in expected.items():
        found = replay.found[name][..., :: case.stride, :: case.stride]
        np.testing.assert_allclose(found, array, rtol=0, atol=LOGITS, err_msg=name)


_SCENARIOS = {f"{letter}/" for letter in "ABCDEF"}
