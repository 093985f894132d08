"""Configurations that are not what they should be: refused before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from omegaconf import OmegaConf

from napari_sam2.build import build_model
from napari_sam2.checkpoints import find_model
from napari_sam2.composition import composed
from napari_sam2.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def called() -> Iterator[list[str]]:
    """What a resolver of somebody else was called with."""
    calls: list[str] = []
    OmegaConf.register_new_resolver("spy", lambda *args: calls.append(str(args)))
    yield calls
    OmegaConf.clear_resolver("spy")


@pytest.fixture
def micro() -> dict[str, Any]:
    return composed(find_model("micro").config, ())


def put(tree: dict[str, Any], place: str, value: object) -> None:
    """Set a value at a dotted place."""
    *way, last = place.split(".")
    for key in way:
        tree = tree.setdefault(key, {})
    tree[last] = value


def refused(tmp_path: Path, text: str, *overrides: str) -> str:
    """Return why a YAML is refused."""
    path = tmp_path / "stranger.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        build_model(path, checkpoint=None, device="cpu", overrides=overrides)
    return str(raised.value)


TARGETS = [
    "os.system",
    "builtins.eval",
    "builtins.exec",
    "subprocess.Popen",
    "torch.load",
    "torch.nn.Linear",
    "hydra.utils.get_method",
    "hydra.utils.instantiate",
    "sam2.modeling.sam2_base.torch.hub.get_dir",
    "sam2.modeling.sam2_base.SAM2Base.load_state_dict",
    "sam2.build_sam.build_sam2",
    "training.model.sam2.SAM2Train",
    "napari_sam2.model.sam2.Sam2.__init__",
    "napari_sam2.model.sam2.torch.hub.load",
    "napari_sam2.build.build_model",
    " napari_sam2.model.sam2.Sam2",
    "Sam2",
    "",
    None,
    7,
    ["os.system"],
    {"_target_": "os.system"},
]
PLACES = [
    "model._target_",
    "model.image_encoder._target_",
    "model.memory_attention.layer.self_attention._target_",
    "model.image_size._target_",
    "model.sam_mask_decoder_extra_args._target_",
    "model.sam_mask_decoder_extra_args.deep.deeper._target_",
    "model.unknown._target_",
    "elsewhere._target_",
]


@pytest.mark.parametrize(
    ("place", "target"),
    [(PLACES[1], target) for target in TARGETS]
    + [(place, "os.system") for place in PLACES],
)
def test_only_the_networks_own_classes_are_called(
    tmp_path: Path, micro: dict[str, Any], place: str, target: object
) -> None:
    if place == "model.image_size._target_":
        micro["model"]["image_size"] = {}
    put(micro, place, target)
    message = refused(tmp_path, yaml.safe_dump(micro))
    assert place in message
    assert "none of the classes" in message


def test_a_target_within_lists_is_found(tmp_path: Path, micro: dict[str, Any]) -> None:
    hidden = [[1, {"x": [{"_target_": "os.system"}]}]]
    micro["model"]["image_encoder"]["trunk"]["stages"] = hidden
    message = refused(tmp_path, yaml.safe_dump(micro))
    assert "model.image_encoder.trunk.stages[0][1].x[0]._target_" in message


def test_a_target_put_together_by_references_is_found(
    tmp_path: Path, micro: dict[str, Any]
) -> None:
    micro |= {"a": "os", "b": "system"}
    micro["model"]["image_encoder"]["_target_"] = "${a}.${b}"
    message = refused(tmp_path, yaml.safe_dump(micro))
    assert "model.image_encoder._target_: 'os.system'" in message


@pytest.mark.parametrize(
    "key",
    ["_args_", "_partial_", "_recursive_", "_convert_", "_name_", "__class__", "_x"],
)
@pytest.mark.parametrize(
    "place",
    ["model", "model.memory_encoder.fuser", "model.sam_mask_decoder_extra_args"],
)
def test_keys_that_steer_instantiation_are_refused(
    tmp_path: Path, micro: dict[str, Any], place: str, key: str
) -> None:
    put(micro, f"{place}.{key}", True)
    assert f"{place}.{key}" in refused(tmp_path, yaml.safe_dump(micro))


@pytest.mark.parametrize(
    "text",
    [
        "${oc.env:HOME}",
        "${oc.env:HOME,x}",
        "${spy:1}",
        "${ spy : 1 }",
        "x${spy:1}y",
        "${hydra:runtime.cwd}",
        "${now:%Y}",
        "${oc.decode:'${spy:1}'}",
        "${oc.create:{a:1}}",
        "${oc.select:model}",
        "${${kind}:1}",
        "${model.${spy:1}}",
        "$",
        "${",
        "\\${spy:1}",
    ],
)
@pytest.mark.parametrize("place", ["model.image_size", "extra", "hydra.searchpath"])
def test_resolvers_are_never_called(
    tmp_path: Path, micro: dict[str, Any], called: list[str], place: str, text: str
) -> None:
    micro["kind"] = "spy"
    put(micro, place, [text] if "searchpath" in place else text)
    refused(tmp_path, yaml.safe_dump(micro))
    assert called == []


@pytest.mark.parametrize(
    "text",
    [
        "defaults: ['${spy:1}']",
        "defaults: [{trunk: '${spy:1}'}]",
        "defaults: [{'trunk@${spy:1}': tiny}]",
        "defaults: [{'${spy:1}': tiny}]",
        "a: '$'\nb: '${a}{spy:1}'\nc: '${b}'",
        'a: "\\x24{spy:1}"',
        "'${spy:1}': 1",
    ],
)
def test_resolvers_in_odd_places_are_never_called(
    tmp_path: Path, called: list[str], text: str
) -> None:
    assert "refused" in refused(tmp_path, text)
    assert called == []


def test_files_pulled_in_are_checked_as_well(tmp_path: Path, called: list[str]) -> None:
    (tmp_path / "group").mkdir()
    for text in ("defaults: ['${spy:1}']", "x: ${spy:1}", "x: !!python/tuple [1]"):
        (tmp_path / "group" / "option.yaml").write_text(text)
        for overrides, own in (
            ((), "defaults: [{group: option}]"),
            (("+group=option",), ""),
        ):
            message = refused(tmp_path, own, *overrides)
            assert "option.yaml, line 1" in message
    assert called == []


@pytest.mark.parametrize(
    "override",
    [
        "image_size=${oc.env:HOME}",
        "image_size='${spy:1}'",
        "++model.x=${spy:1}",
        "group=${spy:1}",
        "hydra.searchpath=['${spy:1}']",
        "hydra.searchpath=[pkg://this]",
        "hydra.searchpath=[structured://]",
        "hydra.searchpath=[/does/not/exist]",
        "hydra.job.env_copy=[HOME]",
        "hydra/launcher=basic",
        "+hydra/callbacks=x",
        "+/hydra/callbacks=x",
        "+trunk@hydra.job=tiny",
        "hydra.callbacks={a:{_target_:os.system}}",
        "++hydra.sweeper._target_=os.system",
        "image_encoder._target_=os.system",
        "+model.image_encoder._args_=[1]",
        "+model.x={_target_:os.system}",
    ],
)
def test_overrides_are_no_way_around(override: str, called: list[str]) -> None:
    with pytest.raises(ConfigError):
        build_model("micro", checkpoint=None, device="cpu", overrides=[override])
    assert called == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!python/object/apply:os.system ['id']", "line 1: the YAML tag 'python/"),
        ("a: !!python/name:os.system", "the YAML tag"),
        ("a: !!python/object/apply:pathlib.PosixPath [x]", "the YAML tag"),
        ("b: 1\na: !mine x", "line 2: the YAML tag '!mine'"),
        ("a: !!binary aGk=", "the YAML tag 'binary'"),
        ("hydra: {job: {name: x}}", "hydra.job"),
        ("hydra: {callbacks: {a: {_target_: os.system}}}", "hydra.callbacks"),
        ("hydra: {searchpath: ['pkg://this']}", "only folders"),
        ("defaults: [{override hydra/launcher: basic}]", "configures Hydra itself"),
        ("defaults: [{/hydra/callbacks: x}]", "configures Hydra itself"),
        ("defaults: ['/hydra/launcher/basic']", "configures Hydra itself"),
        ("defaults: ['other@hydra.job']", "configures Hydra itself"),
        ("# @package hydra.job\na: 1", "Hydra's own settings"),
    ],
)
def test_nothing_reaches_python_or_hydra_itself(
    tmp_path: Path, text: str, message: str
) -> None:
    assert message in refused(tmp_path, text)


DOUBLED = "a0: [1, 1]\n" + "\n".join(
    f"a{i}: ['${{a{i - 1}}}', '${{a{i - 1}}}']" for i in range(1, 60)
)
LENGTHENED = "a0: xx\n" + "\n".join(
    f"a{i}: '${{a{i - 1}}}${{a{i - 1}}}'" for i in range(1, 60)
)
LAUGHING = "a0: &a0 [1, 1]\n" + "\n".join(
    f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "describes no SAM 2 network"),
        ("just words", "describes no SAM 2 network"),
        ("[1, 2]", "must be a DictConfig"),
        ("model: 3", "describes no SAM 2 network"),
        ("model: {image_size: 3}", "describes no SAM 2 network"),
        ("model: [1]", "describes no SAM 2 network"),
        ("a: {b: c", "no valid YAML"),
        ("a: 1\na: 2", "duplicate key"),
        ("--- 1\n--- 2", "no valid YAML"),
        ("a: '${b}'", "'b' not found"),
        ("a: '${b}'\nb: '${a}'", "refers to itself"),
        ("a: '???'", "Missing mandatory value"),
        ("defaults: [stranger]", "refers to itself"),
        ("defaults: [absent]", "Could not load 'absent'"),
        ("defaults: 3", "defaults must be a list"),
        ("defaults: [[1]]", "cannot be composed"),
        ("1: 2", "1: keys must be names"),
        ("model: {1: 2}", "model.1: keys must be names"),
        (DOUBLED, "too many"),
        (LENGTHENED, "too many"),
        (LAUGHING, "too many"),
        ("a: &a [*a]", "too many"),
        ("[" * 3000, "nested too deeply"),
        ("x" * 1_100_000, "too large"),
        ("a: \0", "no valid YAML"),
    ],
)
def test_what_is_no_configuration_is_told_in_a_sentence(
    tmp_path: Path, text: str, message: str
) -> None:
    assert message in refused(tmp_path, text)


def test_weights_given_as_configuration(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(ConfigError, match=r"no text.*checkpoint="):
        build_model(path, checkpoint=None)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("model.image_siz", 1, "has no parameter 'image_siz'; did you mean 'image_si"),
        ("model.memory_attention.num_layer", 2, "model.memory_attention.num_layer:"),
        ("model.image_encoder.trunk.embed", 2, "did you mean 'embed_dim'"),
        ("model.memory_encoder.fuser.layer.dims", 2, "did you mean 'dim'"),
        (
            "model.sam_mask_decoder_extra_args.dynamic_multimask_via_stabilty",
            True,
            "did you mean 'dynamic_multimask_via_stability'",
        ),
        (
            "model.sam_mask_decoder_extra_args.transformer",
            "x",
            "needs TwoWayTransformer",
        ),
        (
            "model.sam_mask_decoder_extra_args.dynamic_multimask_stability_delta",
            "x",
            "needs float",
        ),
        ("model.sam_mask_decoder_extra_args.iou_head_depth", 5000, "at most"),
        ("model.sam_mask_decoder_extra_args.pred_obj_scores", True, "model cannot be"),
        ("model.image_size", "large", "model.image_size: 'large' (str) given"),
        ("model.image_size", 12.5, "needs int"),
        ("model.image_size", True, "needs int"),
        ("model.image_size", None, "needs int"),
        ("model.image_size", [1024], "needs int"),
        ("model.image_size", {"a": 1}, "a mapping given"),
        ("model.image_size", 10**9, "beyond any network, at most 8,192"),
        ("model.image_encoder.trunk.embed_dim", 10**9, "at most 1,000,000"),
        ("model.num_maskmem", -1, "model"),
        ("model.image_size", 0, "model"),
        ("model.image_size", -1024, "model"),
        ("model.image_size", 500, "model"),
        ("model.sigmoid_scale_for_mem_enc", float("nan"), "needs float"),
        ("model.pred_obj_scores", "maybe", "needs bool"),
        ("model.image_encoder", 3, "needs ImageEncoder"),
        ("model.image_encoder.neck.backbone_channel_list", 3, "needs Sequence"),
        ("model.image_encoder.neck.backbone_channel_list", ["a"], "needs Sequence"),
        ("model.image_encoder.neck.backbone_channel_list", [1, 2], "model.image_enc"),
        ("model.image_encoder.neck.fuse_type", "multiply", "model.image_encoder.neck"),
        ("model.image_encoder.trunk.stages", [], "model.image_encoder.trunk"),
        ("model.image_encoder.trunk.num_heads", 0, "model.image_encoder.trunk"),
        ("model.image_encoder.trunk.embed_dim", 0, "model.image_encoder.trunk"),
        ("model.image_encoder.trunk.embed_dim", -16, "model.image_encoder.trunk"),
        ("model.image_encoder.trunk.embed_dim", 900_000, "model.image_encoder"),
        ("model.memory_attention.layer.dropout", 1.5, "at most 1"),
        ("model.memory_encoder.fuser.num_layers", -1, "must not be negative"),
        ("model.memory_encoder.position_encoding.temperature", 0, "positive"),
        ("model.image_encoder.scalp", 0, "do not fit each other"),
        ("model.image_encoder.scalp", 3, "do not fit each other"),
        ("model.image_encoder.neck.fpn_interp_model", "x", "do not fit each other"),
        ("model.image_encoder.neck.kernel_size", 3, "do not fit each other"),
        ("model.image_encoder.trunk.num_heads", 3, "do not fit each other"),
        ("model.image_encoder.trunk.q_pool", 2, "do not fit each other"),
        ("model.memory_encoder.mask_downsampler.padding", 0, "do not fit each other"),
        ("model.memory_encoder.fuser.layer.padding", 2, "do not fit each other"),
        ("model.image_encoder.trunk.q_stride", [2], "1 numbers given, needed are two"),
        ("model.image_encoder.neck.position_encoding.strides", [0], "positive"),
        (
            "model.memory_attention.layer.cross_attention.kv_in_dim",
            17,
            "kv_in_dim is 17, but model.memory_encoder.out_dim is 16",
        ),
        (
            "model.memory_encoder.mask_downsampler.embed_dim",
            256,
            "embed_dim is 256, but model.image_encoder.neck.d_model is 64",
        ),
        ("model.image_encoder.trunk.stages", [1, 2, 900_000, 2], "at most"),
        ("model.memory_attention.num_layers", 900_000, "at most"),
        ("model.image_encoder.trunk.weights_path", "x.pt", "weights_path"),
        ("model.memory_attention.layer.activation", "os.system", "activation"),
        ("model.fill_hole_area", "big", "model.fill_hole_area"),
        ("model.view", 3, "model.view"),
        ("model.view", "window", "'frame' or 'object'"),
        ("model.mask_choice", "best", "'predicted_iou' or 'expected_iou'"),
        ("model.neighbours", "few", "model.neighbours"),
        ("model.neighbours", -1, "needed are 0 to 16 frames"),
        ("model.neighbours", 3, "in_chans is 3, needed are 7: model.neighbours is 3"),
        (
            "model.image_encoder.trunk.in_chans",
            7,
            "needed are 3: model.neighbours is 0",
        ),
        ("model.image_encoder.trunk.in_chans", 0, "needed is a positive number"),
    ],
)
def test_what_no_constructor_takes_is_named_with_its_place(
    tmp_path: Path, micro: dict[str, Any], place: str, value: object, message: str
) -> None:
    put(micro, place, value)
    assert message in refused(tmp_path, yaml.safe_dump(micro))


def test_a_network_that_no_machine_can_hold_is_not_built() -> None:
    overrides = [
        "image_encoder.trunk.embed_dim=16384",
        "image_encoder.neck.backbone_channel_list=[131072,65536,32768,16384]",
    ]
    with pytest.raises(ConfigError, match=r"would have .* parameters"):
        build_model("micro", checkpoint=None, device="cpu", overrides=overrides)


def test_what_a_constructor_needs_is_named(
    tmp_path: Path, micro: dict[str, Any]
) -> None:
    del micro["model"]["memory_encoder"]["out_dim"]
    message = refused(tmp_path, yaml.safe_dump(micro))
    assert "model.memory_encoder (MemoryEncoder) needs a value for 'out_dim'" in message


def test_a_part_in_the_wrong_place_is_refused(
    tmp_path: Path, micro: dict[str, Any]
) -> None:
    model = micro["model"]
    model["image_encoder"], model["memory_encoder"] = (
        model["memory_encoder"],
        model["image_encoder"],
    )
    message = refused(tmp_path, yaml.safe_dump(micro))
    assert "model.image_encoder: a napari_sam2.model.memory_encoder.Memory" in message
