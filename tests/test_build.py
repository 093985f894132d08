"""From a YAML to a network."""

from __future__ import annotations

import inspect
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.singleton import Singleton
from hydra.version import VersionBase
from omegaconf import OmegaConf

from napari_sam2 import devices
from napari_sam2.build import _CLASSES, build_model, registered_shapes
from napari_sam2.checkpoints import find_model, registered_models
from napari_sam2.composition import composed
from napari_sam2.config_check import type_of
from napari_sam2.devices import available_devices, choose_device, choose_precision
from napari_sam2.errors import CheckpointError, ConfigError
from napari_sam2.model.mask_decoder import MaskDecoder
from napari_sam2.model.sam2 import Sam2

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDEN_KEYS = Path(__file__).parent / "golden" / "state_dict_keys"
SHORT = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}

# Published name of each class, by that of this package.
PUBLISHED = {
    "model.sam2.Sam2": "modeling.sam2_base.SAM2Base",
    "model.hiera.": "modeling.backbones.hieradet.",
    "model.image_encoder.": "modeling.backbones.image_encoder.",
    "model.transformer.": "modeling.sam.transformer.",
    "model.": "modeling.",
}


def micro(*overrides: str, config: str | Path = "micro", **options: Any) -> Sam2:
    options = {"checkpoint": None, "device": "cpu", "seed": 1} | options
    return build_model(config, overrides=overrides, **options)


def published_text() -> str:
    """The micro network as a file in the published dialect."""
    tree = composed(find_model("micro").config, ())
    text = yaml.safe_dump({"model": tree["model"]}).replace("napari_sam2.", "sam2.")
    for ours, theirs in PUBLISHED.items():
        text = text.replace(f"sam2.{ours}", f"sam2.{theirs}")
    return f"# @package _global_\n\n{text}"


def shapes(model: torch.nn.Module) -> dict[str, list[int]]:
    return {name: list(value.shape) for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    "name", [model.name for model in registered_models() if not model.built_in]
)
def test_every_registered_model_has_the_official_keys_and_shapes(name: str) -> None:
    version, _, size = name.partition("_hiera_")
    golden = f"{version}_hiera_{SHORT[size]}" if size else name
    expected = json.loads((GOLDEN_KEYS / f"{golden}.json").read_text())
    built = registered_shapes()[name]
    assert {key: list(shape) for key, shape in built.items()} == expected


def test_a_network_is_ready_for_inference() -> None:
    model = micro()
    assert isinstance(model, Sam2)
    assert not model.training
    assert model.image_size == 128
    assert model.precision == torch.float32
    assert model.predictor_options == {}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert {p.device.type for p in model.parameters()} == {"cpu"}


def test_the_published_dialect_builds_the_same_network(tmp_path: Path) -> None:
    path = tmp_path / "published.yaml"
    path.write_text(published_text())
    ours, theirs = micro().state_dict(), micro(config=path).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("predictor", ["SAM2VideoPredictor", "SAM2VideoPredictorVOS"])
def test_options_of_the_published_predictors_are_kept(
    tmp_path: Path, predictor: str
) -> None:
    path = tmp_path / "published.yaml"
    target = f"sam2.sam2_video_predictor.{predictor}"
    path.write_text(
        published_text().replace("sam2.modeling.sam2_base.SAM2Base", target)
        + "  non_overlap_masks: true\n"
    )
    model = micro("++model.fill_hole_area=8", config=path)
    assert model.predictor_options == {"fill_hole_area": 8, "non_overlap_masks": True}
    # As the published builders do on top of a file for the base class:
    model = micro(
        f"++model._target_={target}",
        "++model.fill_hole_area=8",
        "++model.sam_mask_decoder_extra_args.dynamic_multimask_via_stability=true",
        "++model.sam_mask_decoder_extra_args.dynamic_multimask_stability_delta=0.05",
        "++model.binarize_mask_from_pts_for_mem_enc=true",
    )
    assert model.predictor_options == {"fill_hole_area": 8}


@pytest.mark.parametrize(
    ("overrides", "place", "value"),
    [
        (["image_size=512"], "image_size", 512),
        (["model.image_size=512"], "image_size", 512),
        (["++image_size=512"], "image_size", 512),
        (["++model.image_size=512"], "image_size", 512),
        (["image_size=256", "image_size=512"], "image_size", 512),
        (["max_cond_frames_in_attn=4"], "max_cond_frames_in_attn", 4),
        (["+max_cond_frames_in_attn=4"], "max_cond_frames_in_attn", 4),
        (["memory_attention.num_layers=3"], "memory_attention.num_layers", 3),
        (["image_encoder.trunk.embed_dim=96", "+trunk=tiny"], "image_size", 128),
        (["hidden_dim=32"], "memory_attention.d_model", 32),
    ],
)
def test_overrides(overrides: list[str], place: str, value: object) -> None:
    value_found: Any = composed_model(overrides)
    for key in place.split("."):
        value_found = value_found[key]
    assert value_found == value


def composed_model(overrides: list[str]) -> dict[str, Any]:
    tree: dict[str, Any] = composed(find_model("micro").config, overrides)["model"]
    return tree


def test_an_override_of_a_key_at_the_top_stays_there(tmp_path: Path) -> None:
    path = tmp_path / "sized.yaml"
    text = published_text().replace("image_size: 128", "image_size: ${image_size}")
    path.write_text(f"{text}\nimage_size: 256\n")
    assert micro(config=path).image_size == 256
    assert micro("image_size=64", config=path).image_size == 64
    assert micro("model.image_size=192", config=path).image_size == 192


def test_another_image_size_needs_nothing_else() -> None:
    assert micro("image_size=256").image_size == 256


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("image_siz=512", "did you mean 'image_size'"),
        ("+image_siz=512", "did you mean 'image_size'"),
        ("memory_atention.num_layers=2", "did you mean 'memory_attention'"),
        ("model.memory_attention.num_layer=2", "did you mean 'num_layers'"),
        ("+image_size=512", "already at 'model.image_size'"),
        ("image_size", "missing EQUAL"),
        ("image_size=256,512", "Ambiguous value"),
        ("image_size=range(1,3)", "requires --multirun"),
        ("network=absent", "Could not find 'network/absent'"),
        ("~memory_attention", "needs a value for 'memory_attention'"),
        ("~absent", "Could not delete"),
        ("", "cannot be composed"),
    ],
)
def test_overrides_that_do_not_apply(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        micro(override)


def test_overrides_are_a_sequence() -> None:
    with pytest.raises(TypeError, match="sequence of texts"):
        build_model("micro", checkpoint=None, overrides="image_size=512")


@pytest.mark.parametrize(
    "name",
    [
        "plain.yaml",
        "sam2.1_hiera_t.yaml",
        "with spaces.yaml",
        "brackets [1] {2} (3).yaml",
        "equals=signs,commas.yaml",
        "at@colon:semi;.yaml",
        "caf\u00e9 \u7d30\u80de.yaml",
        "other.yml",
        "no_suffix",
        "$HOME ${x}.yaml",
        "hydra.yaml",
        "defaults.yaml",
    ],
)
def test_any_file_name_in_any_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / f"folder of {name}"
    folder.mkdir()
    (folder / "network.yaml").write_text(published_text())
    (folder / name).write_text(
        "defaults: [network, _self_]\nmodel: {image_size: 256}\n"
    )
    assert micro("num_maskmem=5", config=folder / name).image_size == 256


def test_defaults_groups_and_a_search_path(tmp_path: Path) -> None:
    (tmp_path / "sizes").mkdir()
    (tmp_path / "shared" / "parts").mkdir(parents=True)
    (tmp_path / "sizes" / "small.yaml").write_text("image_size: 64")
    (tmp_path / "sizes" / "big.yaml").write_text("image_size: 256")
    (tmp_path / "shared" / "parts" / "all.yaml").write_text(published_text())
    path = tmp_path / "mine.yaml"
    path.write_text("defaults: [parts/all, {sizes@model: small}, _self_]\n")
    search = f"hydra.searchpath=[file://{tmp_path / 'shared'}]"
    assert micro(search, config=path).image_size == 64
    assert micro(search, "sizes@model=big", config=path).image_size == 256
    with pytest.raises(ConfigError, match="parts/all"):
        micro(config=path)
    path.write_text(
        f"hydra: {{searchpath: ['{tmp_path / 'shared'}']}}\n{path.read_text()}"
    )
    assert micro(config=path).image_size == 64


def test_a_relative_path_and_one_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text(published_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert micro(config="mine.yaml").image_size == 128
    assert micro(config="~/mine.yaml").image_size == 128


@pytest.mark.parametrize(
    "kind", sorted({*_CLASSES.values(), MaskDecoder}, key=lambda kind: kind.__name__)
)
def test_every_constructor_says_what_its_parameters_are(kind: type) -> None:
    for name in inspect.signature(kind).parameters:
        hint = type_of(kind, name, _CLASSES)
        assert hint is not Any
        assert not isinstance(hint, str) or (kind, name) == (MaskDecoder, "transformer")


@pytest.mark.parametrize("config", ["absent.yaml", "sam2.1_hiera_huge", Path("x.yaml")])
def test_a_configuration_that_is_not_there(config: str | Path) -> None:
    with pytest.raises(ConfigError, match="Registered are"):
        build_model(config, checkpoint=None)


def test_the_file_of_a_registered_model_has_its_weights() -> None:
    with pytest.raises(CheckpointError, match="no published weights for micro"):
        build_model(find_model("micro").config, device="cpu")


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        build_model(tmp_path, checkpoint=None)


def test_a_seed_fixes_the_weights_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, again, other = (micro(seed=seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_without_a_seed_torch_draws_as_always() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        states.append(micro(seed=None).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_no_weights_are_known_for_a_path_or_for_micro(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(published_text())
    for config in (path, "micro"):
        with pytest.raises(CheckpointError, match="checkpoint="):
            build_model(config, device="cpu")


def test_weights_by_path(tmp_path: Path) -> None:
    source = micro(seed=7)
    torch.save({"model": source.state_dict()}, tmp_path / "weights.pt")
    model = micro(checkpoint=tmp_path / "weights.pt")
    loaded, expected = model.state_dict(), source.state_dict()
    assert all(torch.equal(loaded[key], expected[key]) for key in expected)
    with pytest.raises(CheckpointError, match="does not exist"):
        micro(checkpoint=str(tmp_path / "absent.pt"))


def test_devices_that_are_not_there() -> None:
    there = available_devices()
    assert str(choose_device("cpu")) == there[-1] == "cpu"
    assert str(choose_device("auto")) == there[0]
    for name in ("cuda:99", "tpu", "", "cuda:-1"):
        with pytest.raises(ConfigError, match=r"this machine has .*cpu"):
            choose_device(name)


def test_precision() -> None:
    cpu = torch.device("cpu")
    assert choose_precision("auto", cpu) == torch.float32
    assert choose_precision("bfloat16", cpu) == torch.bfloat16
    with pytest.raises(ConfigError, match="float16 is slow"):
        choose_precision("float16", cpu)
    with pytest.raises(ConfigError, match="give 'auto', 'float32'"):
        choose_precision("double", cpu)
    model = micro(precision="bfloat16")
    assert model.precision == torch.bfloat16
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("native", [True, False])
def test_emulated_bfloat16_is_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, native: bool
) -> None:
    monkeypatch.setattr(devices, "_emulates_bfloat16", lambda: not native)
    choose_precision("bfloat16", torch.device("cpu"))
    assert ("emulates" in caplog.text) is not native
    caplog.clear()
    choose_precision("auto", torch.device("cpu"))
    assert not caplog.text


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_cuda() -> None:
    model = micro(device="cuda", precision="auto")
    assert {p.device.type for p in model.parameters()} == {"cuda"}
    assert {b.device.type for b in model.buffers()} == {"cuda"}
    native = torch.cuda.is_bf16_supported(including_emulation=False)
    assert model.precision == (torch.bfloat16 if native else torch.float32)
    on_cpu = micro().state_dict()
    assert all(torch.equal(v.cpu(), on_cpu[k]) for k, v in model.state_dict().items())


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """Another library that holds Hydra, with a configuration of its own."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "theirs.yaml").write_text("theirs: 1")
    with initialize_config_dir(str(folder), version_base="1.2", job_name="theirs"):
        yield folder


@pytest.mark.parametrize("config", ["micro", "absent.yaml", "broken"])
def test_hydra_held_by_another_library_is_left_as_it_was(
    elsewhere: Path, tmp_path: Path, config: str
) -> None:
    path: str | Path = config
    if config == "broken":
        path = tmp_path / "broken.yaml"
        path.write_text("defaults: [absent]")
    OmegaConf.register_new_resolver("now", lambda: "theirs", replace=True)
    held = GlobalHydra.instance()
    theirs = held.hydra
    tables = dict(Singleton._instances)
    if config == "micro":
        build_model(path, checkpoint=None, device="cpu", overrides=["image_size=256"])
    else:
        with pytest.raises(ConfigError):
            build_model(path, checkpoint=None, device="cpu")
    assert GlobalHydra.instance() is held
    assert held.hydra is theirs
    assert str(VersionBase.instance().getbase()) == "1.2"
    assert dict(Singleton._instances) == tables
    assert OmegaConf.create({"a": "${now:}"}).a == "theirs"
    assert compose("theirs") == {"theirs": 1}


def test_nothing_of_hydra_is_left_where_nothing_was() -> None:
    kinds = {GlobalHydra, VersionBase}
    kept = {kind: Singleton._instances.pop(kind, None) for kind in kinds}
    names = {name: OmegaConf.has_resolver(name) for name in ("hydra", "now")}
    try:
        micro()
        assert not kinds & Singleton._instances.keys()
        assert {n: OmegaConf.has_resolver(n) for n in ("hydra", "now")} == names
    finally:
        Singleton._instances.update({k: v for k, v in kept.items() if v is not None})


def test_several_threads_build_at_once(elsewhere: Path) -> None:
    expected = micro(seed=2).state_dict()
    found: list[dict[str, torch.Tensor]] = []

    def build() -> None:
        found.append(micro(seed=2).state_dict())

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for state in found:
        assert all(torch.equal(state[key], expected[key]) for key in expected)
    assert compose("theirs") == {"theirs": 1}


def test_a_network_that_torch_would_put_elsewhere_is_built_on_the_cpu() -> None:
    with torch.device("meta"):
        model = micro()
    assert {p.device.type for p in model.parameters()} == {"cpu"}


def test_a_network_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = published_text().replace("stages:\n      - 1", "stages:\n      - 2")
    path.write_text(text)
    model = micro("image_encoder.trunk.global_att_blocks=[5,6]", config=path)
    assert len(model.image_encoder.trunk.blocks) == 9


def test_a_network_of_ones_own_that_sees_neighbours() -> None:
    seven = ("neighbours=3", "image_encoder.trunk.in_chans=7")
    model = micro(*seven, "image_encoder.trunk.stages=[2,2,3,2]")
    assert model.neighbours == 3
    assert model.encode_image(torch.zeros(1, 7, 64, 64)).embedding.shape[0] == 1
