"""What a training run is made of, and how a YAML becomes it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import yaml  # type: ignore[import-untyped]

from napari_sam2.errors import ConfigError
from napari_sam2.training.bounds import check_bounds
from napari_sam2.training.records import record_from_mapping
from napari_sam2.training.synthetic import SyntheticParameters

if TYPE_CHECKING:
    from pathlib import Path

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class AugmentParameters:
    """How clips are changed before they are shown.

    Attributes
    ----------
    zoom_share : float
        Share of the clips cut from a smaller or larger scene and resized, 0 to 1.
    zoom : tuple of float
        Side of that scene over the input's, uniform in the logarithm.
    low_percentile, high_percentile : tuple of float
        Grey values that become black and white, per cent.
    gamma : tuple of float
        Exponent of grey values, uniform in the logarithm.
    least_area : int
        Pixels of the smallest object that is prompted.
    ending_share : float
        Share of the objects drawn among those that some frame of the clip does not
        show, where there are any, 0 to 1: how objects end is seldom seen otherwise.
    outward_share : float
        Share of the clip steps that start on the first or the last frame, with
        objects that are about as large there as they get, 0 to 1: from the middle
        of an object outwards, as annotators go; the others start on any frame.
    """

    zoom_share: float = 0.35
    zoom: Range = (0.5, 1.5)
    low_percentile: Range = (0.0, 2.0)
    high_percentile: Range = (99.5, 100.0)
    gamma: Range = (0.7, 1.4)
    least_area: int = 12
    ending_share: float = 0.0
    outward_share: float = 0.0

    def __post_init__(self) -> None:
        check_bounds(self, 0.0, 1.0, "zoom_share", "ending_share", "outward_share")
        check_bounds(self, 0.25, 4.0, "zoom")
        check_bounds(self, 0.0, 100.0, "low_percentile", "high_percentile")
        check_bounds(self, 0.1, 10.0, "gamma")
        check_bounds(self, 1, 10**6, "least_area")


@dataclass(frozen=True, slots=True)
class StageParameters:
    """One stage of a run: what a step shows, and how much it learns of it.

    Attributes
    ----------
    kind : {"images", "clips"}
        Prompts on single frames, or objects followed through clips by memory.
    steps : int
        Steps of the stage.
    image_size : int
        Side of the input in pixels, a multiple of 32.
    frames : int
        Frames of a clip; 1 for images.
    images : int
        Images, or clips, in a step.
    objects : int
        Objects prompted in each of them.
    optimizer : {"adamw", "muon"}
        "muon": Muon for the matrices of hidden layers, AdamW for all else. A
        trained network that learns on loses less at first. Costs more per step: 15 %
        for the small network on a CPU.
    learning_rate : float
        Highest rate of the optimiser; cosine to `final_rate` of it.
    final_rate : float
        Share of the highest rate that is left at the end, 0 to 1.
    frame_rate : float
        Share of the rate for the parts that see single frames (image and prompt
        encoders, mask decoder), 0 to 1: they are trained when the others begin.
    warmup : int
        Steps until the highest rate.
    area_weight : tuple of float
        At the start and the end of the stage: how far background pixels weigh as
        much as those of the object in the cross-entropy. 0: the mean over either
        counts the same, which learns from nothing; 1: each pixel does, which draws
        outlines without a bias.
    correction_share : tuple of float
        Share of the steps with correction clicks, at the start and at the end.
    corrections : tuple of int
        Least and most correction clicks in such a step.
    teacher_share : tuple of float
        Share of the tracked masks that are remembered as they should have been, at
        the start and at the end of the stage: memory is learned sooner from masks
        that are right, but in the end has to work with those that are found.
    image_share : float
        In clips, share of the steps that show as many single images as the others
        show frames, 0 to 1: they are more varied than the frames of clips.
    augment, synthetic : AugmentParameters, SyntheticParameters, optional
        What is shown in this stage, instead of what the run says for all.
    """

    kind: Literal["images", "clips"] = "images"
    steps: int = 1000
    image_size: int = 128
    frames: int = 1
    images: int = 6
    objects: int = 8
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 4e-4
    final_rate: float = 0.05
    frame_rate: float = 1.0
    warmup: int = 100
    area_weight: Range = (0.0, 0.0)
    correction_share: Range = (0.0, 0.0)
    corrections: tuple[int, int] = (1, 1)
    teacher_share: Range = (0.0, 0.0)
    image_share: float = 0.0
    augment: AugmentParameters | None = None
    synthetic: SyntheticParameters | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("images", "clips"):
            raise ConfigError(
                f"StageParameters.kind is {self.kind!r}; it must be 'images' or 'clips'"
            )
        check_bounds(self, 1, 10**9, "steps", "frames", "images", "objects")
        check_bounds(self, 0, 10**9, "warmup")
        check_bounds(self, 32, 4096, "image_size")
        check_bounds(self, 0.0, 1.0, "learning_rate", "final_rate", "frame_rate")
        check_bounds(self, 0.0, 1.0, "area_weight", "correction_share", "image_share")
        first, last = self.teacher_share
        if not 0.0 <= last <= first <= 1.0:
            raise ConfigError(
                f"StageParameters.teacher_share is {self.teacher_share}; it must fall, "
                "from at most 1.0 to at least 0.0."
            )
        check_bounds(self, 1, 8, "corrections")
        if self.image_size % 32:
            raise ConfigError(
                f"StageParameters.image_size is {self.image_size}; it must be a "
                "multiple of 32."
            )
        if (self.frames > 1) != (self.kind == "clips"):
            raise ConfigError(
                f"A stage of {self.kind} has frames: {self.frames}; images have 1, "
                "clips 2 or more."
            )

    def at(self, number: int) -> StageParameters:
        """Return what a sample shows, by its number: the stage, or single images."""
        share = self.image_share
        if self.kind == "images" or int((number + 1) * share) == int(number * share):
            return self
        return replace(self, kind="images", frames=1, images=self.images * self.frames)


@dataclass(frozen=True, slots=True)
class PromptParameters:
    """The simulated annotator (SAM 2, app. D).

    Attributes
    ----------
    click_share, box_share : float
        Share of the objects first prompted by a click, by a box; the rest by a mask
        in clips, by a click in images.
    centre_share : float
        Share of the clicks near the middle of what is clicked at, 0 to 1; the others
        fall anywhere on it.
    box_noise : float
        Deviation of a box's corners over its sides.
    mask_noise : float
        Share of the mask prompts that are drawn a pixel too large or too small, or
        are shifted by one, 0 to 1.
    second_frame_share : float
        Share of the clip steps whose objects are prompted on a second frame from the
        start, 0 to 1.
    worst_frame_share : float
        Share of the corrected clips that are corrected in the end, each object on its
        worst frame, after which a frame beside it is found again, 0 to 1; the others
        on the way, on one frame for all.
    spoiled_share : float
        Share of the objects corrected in the end, and in single images, that are not
        corrected from what was found but from a mask that covers too much, 0 to 1:
        what a negative click takes away is hardly learned otherwise.
    """

    click_share: float = 0.5
    box_share: float = 0.3
    centre_share: float = 0.5
    box_noise: float = 0.06
    mask_noise: float = 0.5
    second_frame_share: float = 0.2
    worst_frame_share: float = 0.5
    spoiled_share: float = 0.5

    def __post_init__(self) -> None:
        shares = ("click_share", "box_share", "centre_share", "mask_noise")
        check_bounds(self, 0.0, 1.0, *shares, "second_frame_share", "box_noise")
        check_bounds(self, 0.0, 1.0, "worst_frame_share", "spoiled_share")
        if self.click_share + self.box_share > 1.0:
            raise ConfigError(
                "PromptParameters.click_share and box_share are "
                f"{self.click_share} and {self.box_share}; together at most 1."
            )


@dataclass(frozen=True, slots=True)
class LossParameters:
    """Weights of the parts of the loss.

    Attributes
    ----------
    cross_entropy, dice : float
        Of the best mask.
    clicks : float
        Of what a mask says at the very pixels that were clicked: what a negative
        click means is hardly learned from whole masks alone.
    iou : float
        Of the predicted IoU of every mask.
    presence : float
        Of the object score, in clips; a tenth of it in images.
    presence_doubt : float
        Probability that presence is taught to be off by, 0 to 0.5: without it, single
        images, where every object is present, teach scores that clips cannot undo.
    presence_missed : float
        What an object that is missed costs over one that is seen where it is not: the
        one is lost, and found again by a prompt only; the other is a frame too many.
    other_masks : float
        Of the masks that were not the best, beside 1 for the best.
    """

    cross_entropy: float = 1.0
    dice: float = 1.0
    clicks: float = 1.5
    iou: float = 0.5
    presence: float = 0.5
    presence_doubt: float = 0.02
    presence_missed: float = 2.5
    other_masks: float = 0.05

    def __post_init__(self) -> None:
        check_bounds(self, 0.0, 1e3, *(one.name for one in fields(self)))
        check_bounds(self, 0.0, 0.5, "presence_doubt")


@dataclass(frozen=True, slots=True)
class TrainingParameters:
    """One training run.

    Attributes
    ----------
    model : str
        A registered name, or the path of a YAML; the network that is trained.
    weights : str, optional
        Weights file to start from; None: from nothing.
    freeze_encoder : bool
        Leave the image encoder as it is.
    seed : int
        Of the network and of all that is shown to it.
    workers : int
        Processes that draw clips; 0: none beside the training.
    weight_decay, beta2 : float
        The decay of matrices, and the second moment's in AdamW.
    gradient_norm : float
        Gradients longer than this are cut to it.
    ema_decay : float
        Of the average of weights, which is what is exported, per step.
    checkpoint_minutes : float
        Time between checkpoints.
    validate_every : int
        Steps between validations.
    validation_clips : int
        Clips in a validation.
    losses, prompts, augment, synthetic
        The groups of knobs.
    stages : tuple of StageParameters
        One after the other.
    """

    model: str
    stages: tuple[StageParameters, ...]
    weights: str | None = None
    freeze_encoder: bool = False
    seed: int = 0
    workers: int = 1
    weight_decay: float = 0.02
    beta2: float = 0.98
    gradient_norm: float = 1.0
    ema_decay: float = 0.998
    checkpoint_minutes: float = 2.0
    validate_every: int = 500
    validation_clips: int = 24
    losses: LossParameters = field(default_factory=LossParameters)
    prompts: PromptParameters = field(default_factory=PromptParameters)
    augment: AugmentParameters = field(default_factory=AugmentParameters)
    synthetic: SyntheticParameters = field(default_factory=SyntheticParameters)

    def __post_init__(self) -> None:
        check_bounds(self, 0, 10**9, "seed")
        check_bounds(self, 0, 256, "workers")
        check_bounds(self, 0.0, 1.0, "weight_decay", "beta2", "ema_decay")
        check_bounds(self, 1e-6, 1e6, "gradient_norm", "checkpoint_minutes")
        check_bounds(self, 1, 10**9, "validate_every", "validation_clips")
        if not self.stages:
            raise ConfigError("TrainingParameters.stages is empty; give at least one.")

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, step: int) -> tuple[int, int]:
        """Return the index of the stage of a step, and the step within it."""
        for index, stage in enumerate(self.stages):
            if step < stage.steps:
                return index, step
            step -= stage.steps
        raise ValueError(f"the run has {self.steps} steps, none of number {step}")


def read_training(path: Path) -> TrainingParameters:
    """Return the run that a YAML describes.

    Paths in it (``model``, ``weights``) are relative to its folder; ``synthetic`` may
    be the path of a YAML of its own.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a key or value is not known.
    """
    tree = _read_yaml(path)
    folder = path.parent
    synthetic = tree.get("synthetic")
    if isinstance(synthetic, str):
        tree["synthetic"] = _read_yaml(folder / synthetic)
    for key in ("model", "weights"):
        value = tree.get(key)
        if isinstance(value, str) and (folder / value).is_file():
            tree[key] = str((folder / value).resolve())
    return record_from_mapping(TrainingParameters, tree, "training")


def _read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping of a YAML file."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror or error}."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} is no YAML: {reason}.") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} holds no settings: names and values are needed.")
    return tree
