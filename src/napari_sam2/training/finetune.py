"""Fine-tuning: a model learns from a user's annotated stacks, and is measured."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import yaml  # type: ignore[import-untyped]

from napari_sam2.build import build_model
from napari_sam2.checkpoints import default_model, find_model
from napari_sam2.composition import composed
from napari_sam2.errors import ConfigError, ImageError
from napari_sam2.evaluation import Protocol, evaluate_stack
from napari_sam2.inference.options import PredictorOptions
from napari_sam2.inference.predictor import VideoPredictor
from napari_sam2.training.annotated import (
    AnnotatedStack,
    Reading,
    Split,
    open_annotated,
    split_stacks,
)
from napari_sam2.training.ranks import ranks_of_environment
from napari_sam2.training.run import check_folder, run_training
from napari_sam2.training.settings import StageParameters, TrainingParameters
from napari_sam2.training.sources import ClipSource, MixedClips, SyntheticClips
from napari_sam2.training.stack_clips import StackClips

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_sam2.model.sam2 import Sam2

_log = logging.getLogger(__name__)

CONFIG, SCORES = "model.yaml", "scores.json"
"""Names of the network's YAML and of the scores in a run's folder."""

INTERACTIONS = (1, 3)
"""Prompts of the simulated annotator after which scores are taken."""

_PROTOCOL = Protocol(interactions=max(INTERACTIONS), most_objects=16)

# Up to this input side a network is taken for one of the small ones, which are trained
# on synthetic scenes and afford more clips in a step.
_SMALL_INPUT = 256
# Fewer parameters than any official network.
_SMALL_NETWORK = 30_000_000


@dataclass(frozen=True, slots=True)
class FinetuneSettings:
    """What a model is fine-tuned on, and how.

    Attributes
    ----------
    data : Path
        Folder of the stacks; see `find_pairs`.
    labels : Path, optional
        Folder of the labels, if it is another one.
    reading : Reading
        How the images are read.
    model : str, optional
        A registered name or the path of a YAML; the default model if None.
    checkpoint : str or Path
        Weights to start from; "auto": the registered ones.
    image_size : int, optional
        Side of the input in pixels; the model's own if None.
    freeze_encoder : bool
        Leave the image encoder as it is.
    steps : int
        Steps of training.
    learning_rate : float, optional
        Highest rate of AdamW; if None 1e-4 for small networks (below 30 million
        parameters), else 1e-5.
    held_out : float
        Share of the stacks kept back to measure, 0 to 1; of the objects, if there is
        one stack.
    synthetic_share : float, optional
        Share of the clips that are synthetic scenes, against forgetting; if None 0.2
        for inputs up to 256 pixels, else 0.
    seed : int
        Of the split and of all that is shown.
    """

    data: Path
    labels: Path | None = None
    reading: Reading = field(default_factory=Reading)
    model: str | None = None
    checkpoint: str | Path = "auto"
    image_size: int | None = None
    freeze_encoder: bool = False
    steps: int = 500
    learning_rate: float | None = None
    held_out: float = 0.2
    synthetic_share: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("held_out", "synthetic_share"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value < 1.0:
                raise ConfigError(
                    f"{name} is {value}; it must be from 0 to less than 1."
                )

    @property
    def overrides(self) -> list[str]:
        """What the network's YAML is changed by."""
        size = self.image_size
        return [] if size is None else [f"model.image_size={size}"]


@dataclass(frozen=True, slots=True)
class StackScores:
    """Mean IoU over the objects of a stack that was kept back.

    Attributes
    ----------
    name : str
        The stack.
    objects : int
        How many were evaluated.
    before, after : tuple of float
        One for each of `INTERACTIONS`; before and after training.
    """

    name: str
    objects: int
    before: tuple[float, ...]
    after: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class FinetuneResult:
    """What came of fine-tuning.

    Attributes
    ----------
    weights, config : Path
        Weights and YAML of the network.
    stacks, objects_shown : int
        How many were learned from.
    by_object : bool
        Whether the scores are of objects of the stack that was learned from.
    scores : tuple of StackScores
        Of what was kept back; may be empty.
    """

    weights: Path
    config: Path
    stacks: int
    objects_shown: int
    by_object: bool
    scores: tuple[StackScores, ...]

    def mean(self, when: str, interactions: int) -> float:
        """Return the mean IoU over all objects that were kept back.

        Parameters
        ----------
        when
            "before" or "after".
        interactions
            One of `INTERACTIONS`.
        """
        index = INTERACTIONS.index(interactions)
        total = sum(getattr(one, when)[index] * one.objects for one in self.scores)
        return float(total / sum(one.objects for one in self.scores))


def finetune(
    settings: FinetuneSettings,
    *,
    out: Path,
    resume: bool = False,
    device: str = "auto",
    precision: str = "auto",
    progress: Callable[[str, int, int], None] | None = None,
) -> FinetuneResult | None:
    """Train a model further on annotated stacks.

    Parameters
    ----------
    settings : FinetuneSettings
        What on, and how.
    out : Path
        Folder for weights, YAML, scores, checkpoint, table and pictures.
    resume : bool
        Go on from the checkpoint in `out`.
    device, precision : str
        As for `train`.
    progress : callable, optional
        Called as ``progress(name, done, total)`` while stacks are evaluated.

    Returns
    -------
    FinetuneResult or None
        None in all processes but the first, where there are several.

    Raises
    ------
    ImageError
        If no stack can be learned from; those that cannot are told in warnings.
    ConfigError, CheckpointError
        If the model cannot be had, or `out` does not fit.
    Sam2Error
        If numbers became NaN; the last good weights are kept.
    """
    check_folder(out, resume=resume)
    ranks = ranks_of_environment()
    stacks = open_annotated(settings.data, settings.labels, settings.reading)
    split = split_stacks(stacks, settings.held_out, settings.seed)
    where = str(ranks.device(device))
    model = _built(settings, settings.checkpoint, where, precision)
    parameters = finetune_parameters(settings, model, split.shown)
    before = _before(out, split, model, progress, resume=resume, ranks=ranks.is_first)
    del model
    shown: ClipSource = StackClips(split.shown)
    held_out = StackClips(split.held_out) if split.held_out else shown
    share = _synthetic_share(settings, parameters)
    if share:
        shown = MixedClips(shown, SyntheticClips(parameters.synthetic), share)
    weights = run_training(
        parameters,
        out=out,
        resume=resume,
        device=device,
        precision=precision,
        shown=shown,
        held_out=held_out,
    )
    if not ranks.is_first:
        return None
    _write_config(out / CONFIG, settings)
    after = {}
    if before:
        model = _built(settings, weights, where, precision)
        after = _evaluated(split, model, progress)
    result = FinetuneResult(
        weights=weights,
        config=out / CONFIG,
        stacks=len(split.shown),
        objects_shown=sum(len(stack.ids) for stack in split.shown),
        by_object=split.by_object,
        scores=tuple(
            StackScores(name, count, scores, after[name][1])
            for name, (count, scores) in before.items()
            if name in after
        ),
    )
    _write_scores(out / SCORES, before, after)
    return result


def finetune_parameters(
    settings: FinetuneSettings, model: Sam2, stacks: Sequence[AnnotatedStack]
) -> TrainingParameters:
    """Return the run that fine-tunes a model on stacks."""
    longest = max(stack.num_frames for stack in stacks)
    small = model.image_size <= _SMALL_INPUT
    rate = settings.learning_rate
    if rate is None:
        count = sum(parameter.numel() for parameter in model.parameters())
        rate = 1e-4 if count < _SMALL_NETWORK else 1e-5
    stage = StageParameters(
        kind="clips" if longest > 1 else "images",
        steps=settings.steps,
        image_size=model.image_size,
        frames=min(5, longest),
        images=2 if small else 1,
        objects=4 if small else 3,
        learning_rate=rate,
        frame_rate=0.5 if longest > 1 else 1.0,
        warmup=min(50, settings.steps // 10),
        area_weight=(0.5, 0.5),
        correction_share=(0.5, 0.5),
        corrections=(1, 2),
    )
    return TrainingParameters(
        model=str(_config_path(settings.model)),
        weights=str(_weights(settings)),
        freeze_encoder=settings.freeze_encoder,
        seed=settings.seed,
        workers=0 if model.device.type == "cpu" else 2,
        validate_every=max(settings.steps // 5, 1),
        validation_clips=12,
        stages=(stage,),
    )


def _config_path(model: str | None) -> Path:
    """Return the YAML of a model by name or path."""
    if model is None:
        return default_model().config
    path = Path(model).expanduser()
    return path.absolute() if path.is_file() else find_model(model).config


def _weights(settings: FinetuneSettings) -> str | Path:
    """Return the weights to start from, absolute if they are a file."""
    given = settings.checkpoint
    return given if given == "auto" else Path(given).expanduser().absolute()


def _built(
    settings: FinetuneSettings, weights: str | Path, device: str, precision: str
) -> Sam2:
    """Build the network with weights."""
    return build_model(
        _config_path(settings.model),
        checkpoint=weights,
        device=device,
        precision=precision,
        overrides=settings.overrides,
    )


def _synthetic_share(
    settings: FinetuneSettings, parameters: TrainingParameters
) -> float:
    """Return the share of clips that are synthetic."""
    if settings.synthetic_share is not None:
        return settings.synthetic_share
    return 0.2 if parameters.stages[0].image_size <= _SMALL_INPUT else 0.0


Scores = dict[str, tuple[int, tuple[float, ...]]]


def _before(
    out: Path,
    split: Split,
    model: Sam2,
    progress: Callable[[str, int, int], None] | None,
    *,
    resume: bool,
    ranks: bool,
) -> Scores:
    """Score the model as it was; what an earlier part of the run found is kept."""
    if not ranks:
        return {}
    path = out / SCORES
    if resume and path.is_file():
        told = json.loads(path.read_text(encoding="utf-8"))
        return {
            one["name"]: (one["objects"], tuple(one["before"].values()))
            for one in told["stacks"]
        }
    scores = _evaluated(split, model, progress)
    out.mkdir(parents=True, exist_ok=True)
    _write_scores(path, scores, {})
    return scores


def _evaluated(
    split: Split,
    model: Sam2,
    progress: Callable[[str, int, int], None] | None,
) -> Scores:
    """Let the simulated annotator work on what was kept back."""
    predictor = VideoPredictor(model, PredictorOptions())
    scores: Scores = {}
    for stack in split.held_out:
        name = stack.pair.name

        def tell(done: int, total: int, name: str = name) -> None:
            if progress is not None:
                progress(name, done, total)

        frames, labels = stack.open()
        try:
            found = evaluate_stack(
                predictor,
                frames,
                labels,
                protocol=_PROTOCOL,
                object_ids=stack.ids if split.by_object else (),
                contrast=stack.contrast,
                name=name,
                progress=tell,
            )
        except ImageError as error:
            _log.warning("%s is not scored: %s", name, error)
            continue
        scores[name] = (
            len(found.model.objects),
            tuple(found.mean_iou(count) for count in INTERACTIONS),
        )
    return scores


def _write_scores(path: Path, before: Scores, after: Scores) -> None:
    """Write scores as JSON."""

    def by_interactions(values: Sequence[float]) -> dict[str, float]:
        return {
            str(count): value for count, value in zip(INTERACTIONS, values, strict=True)
        }

    rows = [
        {
            "name": name,
            "objects": count,
            "before": by_interactions(values),
            "after": by_interactions(after[name][1]) if name in after else None,
        }
        for name, (count, values) in before.items()
    ]
    text = {"measure": "mean IoU by interactions", "stacks": rows}
    _write(path, json.dumps(text, indent=2) + "\n")


def _write_config(path: Path, settings: FinetuneSettings) -> None:
    """Write the whole configuration of the network, in need of no other file."""
    tree = composed(_config_path(settings.model), settings.overrides)
    head = "# The network that weights.safetensors beside this file belongs to.\n"
    _write(path, head + yaml.safe_dump(tree, sort_keys=False))


def _write(path: Path, text: str) -> None:
    """Write a file under another name, then give it its own."""
    partial = path.with_suffix(path.suffix + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
