from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2 import PromptError, prompt_file
from napari_sam2.prompt_file import (
    FramePrompt,
    PromptedObject,
    PromptFile,
    parse_prompts,
    prompt_schema,
    read_prompt_file,
    write_prompt_file,
)

NUMBERS = st.floats(-1e15, 1e15)
POINTS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=3).map(tuple)


@st.composite
def boxes(draw: st.DrawFn) -> tuple[float, float, float, float]:
    xs = draw(st.lists(NUMBERS, min_size=2, max_size=2, unique=True).map(sorted))
    ys = draw(st.lists(NUMBERS, min_size=2, max_size=2, unique=True).map(sorted))
    return xs[0], ys[0], xs[1], ys[1]


@st.composite
def frame_prompts(draw: st.DrawFn, frame: int) -> FramePrompt:
    points = draw(st.none() | POINTS)
    mask = draw(st.none() | st.text(min_size=1, max_size=9))
    labels = draw(
        st.none()
        | st.lists(
            st.sampled_from([0, 1]),
            min_size=len(points or ()),
            max_size=len(points or ()),
        ).map(tuple)
    )
    return FramePrompt(
        frame=frame,
        points=points or (),
        labels=labels,
        box=draw(boxes()) if points is None and mask is None else None,
        mask=mask,
        mask_value=None
        if mask is None
        else draw(st.none() | st.integers(1, 2**32 - 1)),
    )


@st.composite
def prompt_files(draw: st.DrawFn) -> PromptFile:
    ids = draw(st.lists(st.integers(1, 2**32 - 1), min_size=1, max_size=3, unique=True))
    objects = []
    for number in ids:
        frames = draw(
            st.lists(st.integers(0, 10**6), min_size=1, max_size=3, unique=True)
        )
        prompts = tuple(draw(frame_prompts(frame)) for frame in frames)
        name = draw(st.none() | st.text(max_size=9))
        objects.append(PromptedObject(id=number, name=name, prompts=prompts))
    return PromptFile(
        version=1,
        units=draw(st.sampled_from(["pixel", "physical"])),
        image=draw(st.none() | st.text(max_size=9)),
        axes=draw(st.none() | st.sampled_from(["ZYX", "TZCYX"])),
        objects=tuple(objects),
    )


@given(prompts=prompt_files())
def test_what_is_written_is_read_back(
    prompts: PromptFile, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.json"
    write_prompt_file(path, prompts)
    assert read_prompt_file(path) == prompts


def test_the_published_schema_is_current() -> None:
    published = Path(prompt_file.__file__).with_name("prompts.schema.json")
    found = json.loads(published.read_text(encoding="utf-8"))
    assert found == without_repeated_constants(prompt_schema())


def without_repeated_constants(schema: Any) -> Any:
    """Drop the lists of one value that pydantic before 2.10 gives beside constants."""
    if isinstance(schema, list):
        return [without_repeated_constants(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: without_repeated_constants(part)
        for key, part in schema.items()
        if key != "enum" or "const" not in schema
    }


def test_the_examples_of_the_documentation_are_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Path(__file__).parents[1] / "docs" / "prompt-file.md"
    examples = re.findall(r"```(\w+)\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    (document,) = (text for kind, text in examples if kind == "json")
    (code,) = (text for kind, text in examples if kind == "python")
    assert [entry.id for entry in parse_prompts(document).objects] == [1, 2]
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert read_prompt_file("prompts.json").objects[0].name == "left nucleus"


def test_every_key_of_the_schema_is_described() -> None:
    schema = prompt_schema()
    for record in (schema, *schema["$defs"].values()):
        for key, field in record["properties"].items():
            assert "description" in field or key in ("objects", "prompts"), key


def document(**changes: Any) -> dict[str, Any]:
    """The shortest prompt file, with changes on each of its levels."""
    prompt = {"frame": 0, "points": [[1, 2]]} | changes.pop("prompt", {})
    entry = {"id": 1, "prompts": [prompt]} | changes.pop("entry", {})
    return {"version": 1, "objects": [entry]} | changes


def test_the_shortest_file_and_a_full_one_are_read(tmp_path: Path) -> None:
    shortest = parse_prompts(json.dumps(document()))
    assert shortest.units == "pixel"
    assert shortest.objects[0].prompts[0].points == ((1.0, 2.0),)
    full = document(
        image="a.tif",
        axes="ZYX",
        units="physical",
        entry={"name": "left"},
        prompt={"labels": [0], "box": [1, 2, 3, 4], "mask": "m.tif", "mask_value": 3},
    )
    path = tmp_path / "prompts.json"
    # With the mark that some editors put in front.
    path.write_text(json.dumps({"$schema": "prompts.schema.json"} | full), "utf-8-sig")
    assert read_prompt_file(path).objects[0].name == "left"


ONE = {"frame": 0, "points": [[1, 2]]}
PLACED = {"position": 1, "box": [0, 0, 1, 1]}


@pytest.mark.parametrize(
    ("text", "place", "remedy"),
    [
        ("", "empty", "schema"),
        ("  \n", "empty", "schema"),
        ("{", "line 1", "schema"),
        ("frame: 1", "not JSON", "schema"),
        ("[" * 100_000, "not JSON", "schema"),
        ("[]", "[]", "object"),
        ('{"version": 1}', "objects", "missing"),
        (json.dumps(document())[:-1] + ', "version": 1}', "version", "twice"),
        (json.dumps(document(prompt={"box": [0, 0, 1e400, 1]})), "box[2]", "number"),
    ],
)
def test_text_that_is_no_prompt_file(text: str, place: str, remedy: str) -> None:
    check_refusal(text, place, remedy)


@pytest.mark.parametrize(
    ("changes", "place", "remedy"),
    [
        ({"version": 2}, "version, is 2", "reads version 1"),
        ({"objects": []}, "objects", "at least one"),
        ({"object": []}, "object", "mean 'objects'"),
        ({"units": "um"}, 'units, is "um"', "physical"),
        ({"objects": document()["objects"] * 2}, "the id 1", "own"),
        ({"entry": {"id": 0}}, "objects[0].id, is 0", "equal to 1"),
        ({"entry": {"id": "1"}}, 'objects[0].id, is "1"', "integer"),
        ({"entry": {"id": True}}, "objects[0].id", "integer"),
        ({"entry": {"prompts": []}}, "objects[0].prompts", "one"),
        ({"entry": {"prompts": [ONE, ONE]}}, "objects[0]", "frame 0"),
        ({"entry": {"prompts": [PLACED]}}, "objects[0].prompts[0]", "physical"),
        ({"entry": {"colour": 1}}, "objects[0].colour", "known are"),
        ({"prompt": {"frame": -1}}, "prompts[0].frame", "0"),
        ({"prompt": {"frame": 1.5}}, "prompts[0].frame", "integer"),
        ({"prompt": {"frame": None}}, "prompts[0]", "'frame'"),
        ({"prompt": {"position": 1.0}}, "prompts[0]", "in its place"),
        ({"prompt": {"point": []}}, "prompts[0].point", "'points'"),
        ({"prompt": {"points": []}}, "prompts[0]", "give points"),
        ({"prompt": {"points": [1, 2]}}, "points[0], is 1", "array"),
        ({"prompt": {"points": [[1]]}}, "points[0][1]", "add it"),
        ({"prompt": {"points": [[1, 2, 3]]}}, "points[0]", "at most 2"),
        ({"prompt": {"points": [[1, "2"]]}}, "[0][1]", "number"),
        ({"prompt": {"points": [[1, float("nan")]]}}, "[0][1]", "NaN"),
        ({"prompt": {"points": [[1, 1e300]]}}, "[0][1], is 1e+300", "less than"),
        ({"prompt": {"box": [3, 3, 1, 1]}}, "prompts[0]", "x0 < x1"),
        ({"prompt": {"labels": [2]}}, "labels[0], is 2", "0 or 1"),
        ({"prompt": {"labels": [1, 1]}}, "2 labels for 1", "each"),
        ({"prompt": {"mask_value": 1}}, "prompts[0]", "path"),
    ],
)
def test_what_is_wrong_is_told_by_place_and_remedy(
    changes: dict[str, Any], place: str, remedy: str
) -> None:
    check_refusal(json.dumps(document(**changes)), place, remedy)


def check_refusal(text: str, place: str, remedy: str) -> None:
    with pytest.raises(PromptError) as caught:
        parse_prompts(text, name="p.json")
    message = str(caught.value)
    assert message.startswith("p.json")
    assert place in message
    assert remedy in message
    assert "\n" not in message
    assert len(message) < 300


def test_files_that_are_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="no prompt file"):
        read_prompt_file(tmp_path / "none.json")
    with pytest.raises(PromptError, match="cannot be read"):
        read_prompt_file(tmp_path)
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"II*\0\xff\xfe\xfd")
    with pytest.raises(PromptError, match="UTF-8"):
        read_prompt_file(binary)


def test_nothing_is_left_of_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    target = tmp_path / "folder.json"
    target.mkdir()
    with pytest.raises(PromptError, match="cannot be written"):
        write_prompt_file(target, parse_prompts(json.dumps(document())))
    assert [path.name for path in tmp_path.iterdir()] == ["folder.json"]
