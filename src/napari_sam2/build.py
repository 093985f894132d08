"""From a YAML to a network with weights, on a device.

A configuration names the classes of this package, or the published ones, which stand
for the same parts. It may come from a stranger: nothing that it says is carried out
before it is checked.
"""

from __future__ import annotations

import logging
import threading
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from napari_sam2.checkpoints import (
    RegisteredModel,
    default_model,
    ensure_downloaded,
    find_model,
    load_weights,
    registered_models,
)
from napari_sam2.composition import composed, instantiated, with_classes
from napari_sam2.config_check import check_node, check_targets
from napari_sam2.config_sizes import check_channels, check_widths
from napari_sam2.devices import (
    choose_device,
    choose_precision,
    telling_full_memory,
)
from napari_sam2.errors import CheckpointError, ConfigError
from napari_sam2.inference.options import CONFIGURED
from napari_sam2.model.hiera import Hiera
from napari_sam2.model.image_encoder import FpnNeck, ImageEncoder
from napari_sam2.model.mask_decoder import MaskDecoder
from napari_sam2.model.memory_attention import MemoryAttention, MemoryAttentionLayer
from napari_sam2.model.memory_encoder import (
    CXBlock,
    Fuser,
    MaskDownSampler,
    MemoryEncoder,
)
from napari_sam2.model.position_encoding import PositionEmbeddingSine
from napari_sam2.model.records import ImageFeatures, View
from napari_sam2.model.sam2 import Sam2
from napari_sam2.model.transformer import Attention, RoPEAttention

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_sam2.download import Progress

_log = logging.getLogger(__name__)

# Published module path of each class; the top class also goes by its predictors.
_PUBLISHED: dict[str, type] = {
    "sam2.modeling.sam2_base.SAM2Base": Sam2,
    "sam2.sam2_video_predictor.SAM2VideoPredictor": Sam2,
    "sam2.sam2_video_predictor.SAM2VideoPredictorVOS": Sam2,
    "sam2.modeling.backbones.image_encoder.ImageEncoder": ImageEncoder,
    "sam2.modeling.backbones.image_encoder.FpnNeck": FpnNeck,
    "sam2.modeling.backbones.hieradet.Hiera": Hiera,
    "sam2.modeling.position_encoding.PositionEmbeddingSine": PositionEmbeddingSine,
    "sam2.modeling.memory_attention.MemoryAttention": MemoryAttention,
    "sam2.modeling.memory_attention.MemoryAttentionLayer": MemoryAttentionLayer,
    "sam2.modeling.sam.transformer.Attention": Attention,
    "sam2.modeling.sam.transformer.RoPEAttention": RoPEAttention,
    "sam2.modeling.memory_encoder.MemoryEncoder": MemoryEncoder,
    "sam2.modeling.memory_encoder.MaskDownSampler": MaskDownSampler,
    "sam2.modeling.memory_encoder.Fuser": Fuser,
    "sam2.modeling.memory_encoder.CXBlock": CXBlock,
}
_CLASSES = _PUBLISHED | {
    f"{kind.__module__}.{kind.__qualname__}": kind for kind in _PUBLISHED.values()
}

# Keys of the published video predictors: no matter of the network, but of its use.
_PREDICTOR_KEYS: dict[str, type] = {
    "fill_hole_area": int,
    "non_overlap_masks": bool,
    "clear_non_cond_mem_around_input": bool,
    "clear_non_cond_mem_for_multi_obj": bool,
    "add_all_frames_to_correct_as_cond": bool,
    "view": str,
    "mask_choice": str,
    "neighbours": int,
}

_MOST_NEIGHBOURS = 16  # frames are read, and kept, as many before as after

_MOST_PARAMETERS = 2_000_000_000  # nine times the largest official network

# torch's random generator is one for all threads.
_GENERATOR = threading.Lock()


def build_model(
    config: str | Path | None = None,
    *,
    checkpoint: str | Path | None = "auto",
    device: str | torch.device = "auto",
    precision: str = "auto",
    overrides: Sequence[str] = (),
    seed: int | None = None,
    progress: Progress | None = None,
) -> Sam2:
    """Build a SAM 2 network from its configuration and load its weights.

    Parameters
    ----------
    config : str or Path, optional
        A registered name, another spelling of an official one, or the path of any
        YAML with the network under ``model:``; None is the default model.
    checkpoint : str, Path or None
        "auto": the weights of a registered model, downloaded and verified if need be.
        None: no weights are loaded. Else the path of a weights file.
    device : str or torch.device
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    precision : str
        "auto", "float32", "bfloat16" or "float16": what predictors compute in, kept
        as ``model.precision``. The weights stay float32.
    overrides : sequence of str
        In Hydra's grammar; ``image_size=512`` means ``model.image_size=512``.
    seed : int, optional
        Fixes the weights of a network without a checkpoint.
    progress : callable, optional
        Called as ``progress(done, total)`` in bytes while weights are downloaded.

    Returns
    -------
    Sam2
        In eval mode on the device. ``model.predictor_options`` holds what the YAML
        says for the published video predictor, by its published names.

    Raises
    ------
    ConfigError
        If the configuration cannot be composed, is not safe, does not describe a
        network, or asks for a device that is not there.
    CheckpointError
        If the weights cannot be had or do not fit.
    """
    path, registered = locate_network(config)
    target = choose_device(device)
    dtype = choose_precision(precision, target)
    node, predictor_options = _read_config(path, overrides)
    weights = _weights_file(path, registered, checkpoint, progress)
    _check_parameters(node)
    model = _network(node, seed=seed, undisturbed=weights is not None).eval()
    own = overrides or registered is None
    if own and _parts(node) not in _official_parts():
        _try_out(model)
    if weights is not None:
        load_weights(model, weights)
    model.predictor_options = predictor_options
    model.precision = dtype
    _log.info("built %s on %s, computing in %s", path.stem, target, dtype)
    return _moved(model, target)


@cache
def registered_shapes() -> dict[str, dict[str, tuple[int, ...]]]:
    """Return the names and shapes of the weights of every registered model."""
    shapes = {}
    for registered in registered_models():
        node, _ = _read_config(registered.config, ())
        network = _network(node, device="meta")
        shapes[registered.name] = {
            name: tuple(value.shape) for name, value in network.state_dict().items()
        }
    return shapes


def locate_network(config: str | Path | None) -> tuple[Path, RegisteredModel | None]:
    """Return the YAML that is meant, and the model if it is a registered one."""
    if config is None:
        config = default_model().name
    if not any(model.name == config for model in registered_models()):
        path = Path(config).expanduser()
        try:
            if path.is_file():
                return path.absolute(), _registered_at(path)
            if path.is_dir():
                raise ConfigError(f"{path} is a folder: give one of its YAML files.")
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be read: {error.strerror or error}."
            ) from error
    registered = find_model(str(config))
    return registered.config, registered


def _registered_at(path: Path) -> RegisteredModel | None:
    """Return the registered model whose YAML is at a path, if one is."""
    whole = path.resolve()
    return next((m for m in registered_models() if m.config.resolve() == whole), None)


def _weights_file(
    path: Path,
    registered: RegisteredModel | None,
    checkpoint: str | Path | None,
    progress: Progress | None,
) -> Path | None:
    """Return the file of the weights that shall be loaded, if any."""
    if checkpoint is None:
        return None
    if checkpoint != "auto":
        return Path(checkpoint).expanduser()
    if registered is None:
        raise CheckpointError(
            f"No weights are known for {path}: give a weights file (checkpoint=),"
            " or None for a network without trained weights."
        )
    return ensure_downloaded(registered, progress)


def _read_config(
    path: Path, overrides: Sequence[str]
) -> tuple[dict[str, Any], dict[str, object]]:
    """Return the checked node of the network, and what concerns predictors in it."""
    if isinstance(overrides, str) or not all(isinstance(o, str) for o in overrides):
        raise TypeError("overrides is a sequence of texts such as 'image_size=512'")
    tree = composed(path, overrides)
    check_targets(tree, _CLASSES)
    node = tree.get("model")
    if not isinstance(node, dict) or _CLASSES.get(node.get("_target_", "")) is not Sam2:
        raise ConfigError(
            f"{path} describes no SAM 2 network: needed is the key 'model' with "
            f"'_target_: {Sam2.__module__}.{Sam2.__qualname__}', or a published class "
            f"of that kind. At its top level are: {', '.join(map(str, tree))}."
        )
    options = {key: node.pop(key) for key in _PREDICTOR_KEYS if key in node}
    for key, value in options.items():
        if type(value) is not _PREDICTOR_KEYS[key]:
            raise ConfigError(
                f"model.{key}: {value!r} given, needed is "
                f"{_PREDICTOR_KEYS[key].__name__}."
            )
    for key, allowed in CONFIGURED.items():
        if key in options and options[key] not in allowed:
            needed = " or ".join(map(repr, allowed))
            raise ConfigError(
                f"model.{key}: {options[key]!r} given, needed is {needed}."
            )
    neighbours = cast("int", options.get("neighbours", 0))
    if not 0 <= neighbours <= _MOST_NEIGHBOURS:
        raise ConfigError(
            f"model.neighbours: {neighbours} given, needed are 0 to "
            f"{_MOST_NEIGHBOURS} frames."
        )
    check_node(node, _CLASSES, "model", {"sam_mask_decoder_extra_args": MaskDecoder})
    check_widths(node, _CLASSES)
    check_channels(node, _CLASSES, neighbours)
    return node, options


def _network(
    node: Mapping[str, Any],
    *,
    device: str = "cpu",
    seed: int | None = None,
    undisturbed: bool = True,
) -> Sam2:
    """Instantiate a checked node; `undisturbed` leaves torch's generator as it was."""
    forked = seed is not None or undisturbed
    with (
        _GENERATOR,
        torch.device(device),
        torch.random.fork_rng(devices=()) if forked else nullcontext(),
    ):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        return cast("Sam2", instantiated(node, _CLASSES))


def _check_parameters(node: Mapping[str, Any]) -> None:
    """Refuse a network that no machine could hold, before memory is asked for."""
    network = _network(node, device="meta")
    count = sum(parameter.numel() for parameter in network.parameters())
    if count > _MOST_PARAMETERS:
        raise ConfigError(
            f"The network as configured would have {count:,} parameters, more than the "
            f"{_MOST_PARAMETERS:,} that can be meant."
        )


@cache
def _official_parts() -> list[dict[str, Any]]:
    """Return the parts of the registered networks, which are known to fit."""
    return [_parts(_read_config(m.config, ())[0]) for m in registered_models()]


def _parts(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides whether the parts of a network fit each other."""
    keys = ("image_encoder", "memory_attention", "memory_encoder", "backbone_stride")
    return {key: with_classes(node.get(key), _CLASSES) for key in keys}


def _try_out(model: Sam2) -> None:
    """Run the parts on a small image, to tell now which of them do not fit."""
    stride, dim = model.backbone_stride, model.hidden_dim
    size = 8 * stride
    channels = model.image_encoder.trunk.patch_embed.proj.in_channels
    try:
        with torch.no_grad():
            # Not called as a module, which could mean compiling it.
            image = torch.zeros(1, channels, size, size)
            pyramid = model.image_encoder.forward(image)
            embedding = pyramid.features[-1]
            _check_shape("the image encoder's last level", embedding, dim, 8)
            if model.sam_mask_decoder.use_high_res_features:
                fine, middle = pyramid.features[:2]
                _check_shape("the image encoder's first level", fine, dim, 32)
                _check_shape("the image encoder's second level", middle, dim, 16)
            memory = model.memory_encoder(embedding, torch.zeros(1, 1, size, size))
            _check_shape("the memory encoder's result", memory, model.mem_dim, 8)
            if model.num_maskmem:
                views = (View(0, 0, size, size, size),)
                model.attend(
                    ImageFeatures(embedding, pyramid.positions[-1], None, views),
                    memory[:, None],
                    torch.zeros(1, 1, dtype=torch.long),
                    torch.zeros(1, 1, dim),
                    torch.zeros(1, 1),
                )
    except (RuntimeError, ValueError, TypeError, LookupError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise ConfigError(
            f"The parts of the network do not fit each other as configured: {reason}."
        ) from error


def _check_shape(what: str, result: torch.Tensor, channels: int, side: int) -> None:
    """Raise an error unless a result is ``(1, channels, side, side)``."""
    needed = (1, channels, side, side)
    if result.shape != needed:
        raise ValueError(
            f"{what} has the shape {tuple(result.shape)}, needed is {needed}"
        )


def _moved(model: Sam2, device: torch.device) -> Sam2:
    """Move a network to its device."""
    with telling_full_memory("choose a smaller network"):
        return model.to(device)
