"""Fine-tuning: a model learns from a user's annotated stacks, and is measured."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import yaml  # type: ignore[import-untyped]

from napari_sam2.build import build_model
from napari_sam2.checkpoints import default_model, find_model
from napari_sam2.composition import composed
from napari_sam2.errors import ConfigError
from napari_sam2.training.annotated import (
    AnnotatedStack,
    Reading,
    open_annotated,
    split_stacks,
)
from napari_sam2.training.held_out import (
    StackScores,
    read_scores,
    score_held_out,
    write_scores,
)
from napari_sam2.training.ranks import ranks_of_environment
from napari_sam2.training.run import check_run, run_training
from napari_sam2.training.settings import (
    AugmentParameters,
    LossParameters,
    PromptParameters,
    StageParameters,
    TrainingParameters,
)
from napari_sam2.training.sources import ClipSource, MixedClips, SyntheticClips
from napari_sam2.training.stack_clips import CropParameters, StackClips
from napari_sam2.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_sam2.model.sam2 import Sam2
    from napari_sam2.training.stage import StopRequest

CONFIG, SCORES = "model.yaml", "scores.json"
"""Names of the network's YAML and of the scores in a run's folder."""

# Up to this input side a network is taken for one of the small ones, which are trained
# on synthetic scenes and afford more clips in a step.
_SMALL_INPUT = 256
# Of the clips, for networks that see each object in a window of its own.
_AROUND_SHARE = 0.7
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
class FinetuneResult:
    """What came of fine-tuning.

    Attributes
    ----------
    weights, config : Path
        Weights and YAML of the network.
    stacks, objects_shown : int
        How many were learned from.
    kept_back : int
        Stacks kept back, or the one whose objects were; 0 if nothing was.
    by_object : bool
        Whether the scores are of objects of the stack that was learned from.
    before, after : tuple of StackScores
        Of what was kept back; may be empty.
    """

    weights: Path
    config: Path
    stacks: int
    objects_shown: int
    kept_back: int
    by_object: bool
    before: tuple[StackScores, ...]
    after: tuple[StackScores, ...]


def finetune(
    settings: FinetuneSettings,
    *,
    out: Path,
    resume: bool = False,
    device: str = "auto",
    precision: str = "auto",
    stop: StopRequest | None = None,
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
    device, precision, stop
        As for `train`.
    progress : callable, optional
        Called as ``progress(name, done, total)`` while stacks are evaluated; what it
        raises ends that.

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
    check_run(out, precision, resume=resume)
    ranks = ranks_of_environment()
    stacks = open_annotated(settings.data, settings.labels, settings.reading)
    split = split_stacks(stacks, settings.held_out, settings.seed)
    where = str(ranks.device(device))
    model = _built(settings, settings.checkpoint, where, precision)
    parameters = finetune_parameters(settings, model, split.shown)
    crops = CropParameters()
    if model.predictor_options.get("view") == "object":
        crops = replace(crops, around_share=_AROUND_SHARE)
    clips = partial(StackClips, knobs=crops, grey=model.neighbours > 0)
    before: tuple[StackScores, ...] = ()
    if resume and (out / SCORES).is_file():
        before = read_scores(out / SCORES)
    elif ranks.is_first:
        before = score_held_out(split, model, progress)
        out.mkdir(parents=True, exist_ok=True)
        write_scores(out / SCORES, before, ())
    del model
    shown: ClipSource = clips(split.shown)
    held_out = clips(split.held_out) if split.held_out else shown
    share = _synthetic_share(settings, parameters)
    if share:
        shown = MixedClips(shown, SyntheticClips(parameters.synthetic), share)
    weights = run_training(
        parameters,
        out=out,
        resume=resume,
        device=device,
        precision=precision,
        stop=stop,
        shown=shown,
        held_out=held_out,
    )
    if not ranks.is_first:
        return None
    _write_config(out / CONFIG, settings)
    after: tuple[StackScores, ...] = ()
    if before:
        model = _built(settings, weights, where, precision)
        after = score_held_out(split, model, progress)
    write_scores(out / SCORES, before, after)
    return FinetuneResult(
        weights=weights,
        config=out / CONFIG,
        stacks=len(split.shown),
        objects_shown=sum(len(stack.ids) for stack in split.shown),
        kept_back=len(split.held_out),
        by_object=split.by_object,
        before=before,
        after=after,
    )


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
        frames=min(9 if small else 5, longest),
        images=2 if small else 1,
        objects=4 if small else 3,
        learning_rate=rate,
        final_rate=0.02,
        frame_rate=0.5 if longest > 1 else 1.0,
        warmup=min(50, settings.steps // 10),
        area_weight=(1.0, 1.0),
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
        # As in nano's last stage.
        augment=AugmentParameters(ending_share=0.75, outward_share=0.5),
        prompts=PromptParameters(centre_share=0.7, spoiled_share=0.35),
        losses=LossParameters(presence_missed=4.0),
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


def _write_config(path: Path, settings: FinetuneSettings) -> None:
    """Write the whole configuration of the network, in need of no other file."""
    tree = composed(_config_path(settings.model), settings.overrides)
    head = "# The network that weights.safetensors beside this file belongs to.\n"
    text = head + yaml.safe_dump(tree, sort_keys=False)
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
