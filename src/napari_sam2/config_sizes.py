"""Numbers that a network can have, and widths that its parts must share.

Checked before the network is built: a wrong one would fill the memory, or show only
when the first image is encoded.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

from napari_sam2.config_references import walk
from napari_sam2.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

_LARGEST = 1_000_000  # no size or temperature in a network comes near
_LARGEST_OF = {
    "num_layers": 512,  # the largest official trunk has 48
    "stages": 512,
    "iou_head_depth": 512,
    "num_maskmem": 512,
    "image_size": 8192,
    "dropout": 1,
    "drop_path": 1,
    "drop_path_rate": 1,
}

_POSITIVE = re.compile(
    r"(?:embed_|embedding_|in_|out_|kv_in_)?dim|dim_feedforward|d_model|stages|num_heads"
    r"|in_chans|num_pos_feats|backbone_channel_list|feat_sizes|image_size|kernel_size|strides"
    r"|window_pos_embed_bkg_spatial_size|(?:backbone_|total_|q_)?stride|downsample_rate"
    r"|temperature|rope_theta|(?:dim|head)_mul|iou_head_depth|iou_head_hidden_dim"
)
_NEGATIVE = re.compile(r"max_cond_frames_in_attn|sigmoid_(?:scale|bias)_for_mem_enc")
_PAIRS = ("feat_sizes", "q_stride", "window_pos_embed_bkg_spatial_size")

# Places within the network that must have one number.
_WIDTHS = (
    (
        "image_encoder.neck.d_model",
        "image_encoder.neck.position_encoding.num_pos_feats",
        "memory_attention.d_model",
        "memory_attention.layer.d_model",
        "memory_attention.layer.self_attention.embedding_dim",
        "memory_attention.layer.cross_attention.embedding_dim",
        "memory_encoder.in_dim",
        "memory_encoder.mask_downsampler.embed_dim",
        "memory_encoder.fuser.layer.dim",
    ),
    (
        "memory_encoder.out_dim",
        "memory_encoder.position_encoding.num_pos_feats",
        "memory_attention.layer.cross_attention.kv_in_dim",
    ),
)


def check_sizes(key: str, value: object, place: str) -> None:
    """Refuse numbers that no network has.

    Parameters
    ----------
    key : str
        The name of the parameter.
    value : object
        Its value; numbers may be within lists and mappings.
    place : str
        Where it stands in the configuration.

    Raises
    ------
    ConfigError
        If a number is absurdly large, negative where a size or count is asked for,
        or if a pair has not two of them.
    """
    most = _LARGEST_OF.get(key, _LARGEST)
    if key in _PAIRS and isinstance(value, list) and len(value) != 2:
        raise ConfigError(f"{place}: {len(value)} numbers given, needed are two.")
    for where, item in walk(value, place):
        if isinstance(item, bool) or not isinstance(item, int | float):
            continue
        if abs(item) > most:
            raise ConfigError(
                f"{where}: {item} is beyond any network, at most {most:,} is taken."
            )
        if item <= 0 and _POSITIVE.fullmatch(key):
            raise ConfigError(f"{where}: {item} given, needed is a positive number.")
        if item < 0 and not _NEGATIVE.fullmatch(key):
            raise ConfigError(f"{where}: {item} given, it must not be negative.")


def check_widths(node: Mapping[str, Any], classes: Mapping[str, type]) -> None:
    """Refuse a network whose parts are not as wide as those that they are fed by.

    Parameters
    ----------
    node : mapping
        The checked node of the network.
    classes : mapping of str to type
        What `_target_` means.

    Raises
    ------
    ConfigError
        If two parts differ; the message has both places.
    """
    for places in _WIDTHS:
        widths = {place: _width(node, place, classes) for place in places}
        given = {place: width for place, width in widths.items() if width is not None}
        first = next(iter(given))
        for place, width in given.items():
            if width != given[first]:
                raise ConfigError(
                    f"model.{place} is {width}, but model.{first} is {given[first]}: "
                    "these parts of the network must be equally wide."
                )


def check_channels(
    node: Mapping[str, Any], classes: Mapping[str, type], neighbours: int
) -> None:
    """Refuse a trunk that does not take as many channels as frames are shown in.

    Parameters
    ----------
    node : mapping
        The checked node of the network.
    classes : mapping of str to type
        What `_target_` means.
    neighbours : int
        Frames on either side that are shown with each, in grey; 0: its own colours.

    Raises
    ------
    ConfigError
        If the numbers differ.
    """
    place = "image_encoder.trunk.in_chans"
    channels = _width(node, place, classes)
    needed = 2 * neighbours + 1 if neighbours else 3
    if channels != needed:
        raise ConfigError(
            f"model.{place} is {channels}, needed are {needed}: model.neighbours is "
            f"{neighbours}, so that a frame is shown in as many channels."
        )


def _width(
    node: Mapping[str, Any], place: str, classes: Mapping[str, type]
) -> int | None:
    """Return the number at a place, or the default that its constructor has."""
    *way, name = place.split(".")
    for key in way:
        node = node[key]
    parameter = inspect.signature(classes[node["_target_"]]).parameters.get(name)
    width = node.get(name, None if parameter is None else parameter.default)
    return width if isinstance(width, int) else None
