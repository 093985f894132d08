"""The prompt file: objects with names and prompts, as JSON that people can write.

Numbers lie in image pixels or in the image's physical units; where (0, 0) is the
centre of the first pixel of the first frame.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from napari_sam2.errors import PromptError
from napari_sam2.whole_file import whole_file

if TYPE_CHECKING:
    import os

__all__ = [
    "FramePrompt",
    "PromptFile",
    "PromptedObject",
    "prompt_schema",
    "read_prompt_file",
    "write_prompt_file",
]

_LARGEST_ID = 2**32 - 1
_SHOWN = 40  # characters of a wrong value that an error message quotes

# Far beyond any image, and well within what float32 holds.
Coordinate = Annotated[FiniteFloat, Field(ge=-1e15, le=1e15)]
Point = tuple[Coordinate, Coordinate]
Box = tuple[Coordinate, Coordinate, Coordinate, Coordinate]


class _Strict(BaseModel):
    """A record that cannot be changed and takes no other keys or types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FramePrompt(_Strict):
    """What is said about one object on one frame."""

    frame: Annotated[
        int | None, Field(ge=0, description="Index of the frame; the first is 0.")
    ] = None
    position: Annotated[
        Coordinate | None,
        Field(
            description="In place of frame, where units is physical: depth or time of"
            " the frame in the image's unit; the nearest frame is taken."
        ),
    ] = None
    points: Annotated[
        tuple[Point, ...], Field(description="Points as [x, y], x along the columns.")
    ] = ()
    labels: Annotated[
        tuple[Literal[0, 1], ...] | None,
        Field(
            description="For each point 1 (on the object) or 0 (beside it); all 1 if"
            " absent."
        ),
    ] = None
    box: Annotated[
        Box | None, Field(description="Two corners: [x0, y0, x1, y1], x0 < x1, y0 < y1")
    ] = None
    mask: Annotated[
        str | None,
        Field(
            min_length=1,
            description="Path of an image of the mask, from the folder of the prompt"
            " file: one frame, or a stack of as many frames as the image.",
        ),
    ] = None
    mask_value: Annotated[
        int | None,
        Field(
            ge=1,
            le=_LARGEST_ID,
            description="Which label of the mask's image is meant; all that is not 0"
            " if absent.",
        ),
    ] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.frame is None) == (self.position is None):
            _refuse("needs the key 'frame', or 'position' in its place")
        if not self.points and self.box is None and self.mask is None:
            _refuse("is empty: give points, a box or a mask")
        if self.labels is not None and len(self.labels) != len(self.points):
            _refuse(
                f"has {len(self.labels)} labels for {len(self.points)} points: give 1"
                " (on the object) or 0 (beside it) for each"
            )
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            if not (x0 < x1 and y0 < y1):
                _refuse("has a box without area: give x0, y0, x1, y1, x0 < x1, y0 < y1")
        if self.mask_value is not None and self.mask is None:
            _refuse("has a mask_value but no mask: give the path of its image")
        return self


class PromptedObject(_Strict):
    """One object and its prompts, at most one for each frame."""

    id: Annotated[
        int,
        Field(ge=1, le=_LARGEST_ID, description="Its label in the result."),
    ]
    name: Annotated[str | None, Field(description="What it is called.")] = None
    prompts: Annotated[tuple[FramePrompt, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        twice = _repeated(p.frame for p in self.prompts if p.frame is not None)
        if twice is not None:
            _refuse(
                f"has two prompts on frame {twice}: put points, box and mask of a frame"
                " into one"
            )
        return self


class PromptFile(_Strict):
    """Prompts for napari-sam2: objects to segment through a stack of frames."""

    # Editors find the schema by this key; it means nothing here.
    schema_: Annotated[
        str | None, Field(alias="$schema", description="Where this schema lies.")
    ] = None
    version: Annotated[
        Literal[1], Field(description="Version of this format; there is one so far.")
    ]
    units: Annotated[
        Literal["pixel", "physical"],
        Field(
            description="What points, boxes and positions are counted in: image pixels,"
            " or the unit of the image's own pixel size."
        ),
    ] = "pixel"
    image: Annotated[
        str | None, Field(description="Name of the image that the prompts are for.")
    ] = None
    axes: Annotated[
        str | None,
        Field(
            description="Axes of the image, one letter each of TZCYXS, where it does"
            " not name them itself."
        ),
    ] = None
    objects: Annotated[tuple[PromptedObject, ...], Field(min_length=1)]

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, title="napari-sam2 prompts"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        twice = _repeated(entry.id for entry in self.objects)
        if twice is not None:
            _refuse(f"has two objects of the id {twice}: give each its own")
        if self.units == "pixel":
            for number, entry in enumerate(self.objects):
                for count, prompt in enumerate(entry.prompts):
                    if prompt.position is not None:
                        _refuse(
                            f"has units 'pixel', so objects[{number}].prompts[{count}]"
                            " needs 'frame', not 'position': or set units to 'physical'"
                        )
        return self


def read_prompt_file(path: str | os.PathLike[str]) -> PromptFile:
    """Read a prompt file.

    Parameters
    ----------
    path
        A JSON file in UTF-8.

    Raises
    ------
    PromptError
        If there is no such file, or it is empty, no JSON, or does not follow the
        schema; the message names the place in the file.
    """
    file = Path(path)
    try:
        content = file.read_bytes()
        text = content.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise PromptError(f"There is no prompt file {file}. Check the path.") from error
    except OSError as error:
        raise PromptError(
            f"The prompt file {file} cannot be read: {error.strerror or error}."
        ) from error
    except UnicodeDecodeError as error:
        raise PromptError(
            f"{file} is no prompt file: it is not UTF-8 text. Give a JSON file."
        ) from error
    return parse_prompts(text, name=str(file))


def parse_prompts(text: str, *, name: str = "The prompt file") -> PromptFile:
    """Read prompts from JSON text; see `read_prompt_file`.

    Parameters
    ----------
    text
        The content of a prompt file.
    name
        What error messages call it.
    """
    if not text.strip():
        raise PromptError(
            f"{name} is empty. Give at least one object; 'napari-sam2 schema' prints"
            " the format."
        )
    try:
        prompts = PromptFile.model_validate_json(text)
    except ValidationError as error:
        raise PromptError(_explain(error, name)) from error
    # Of a key that stands twice, parsers keep the last and say nothing.
    try:
        json.loads(text, object_pairs_hook=_without_repeated_keys)
    except ValueError as error:
        raise PromptError(f"{name}: {error}.") from error
    return prompts


def write_prompt_file(path: str | os.PathLike[str], prompts: PromptFile) -> None:
    """Write a prompt file, under a temporary name first.

    Raises
    ------
    PromptError
        If it cannot be written.
    """
    file = Path(path)
    text = prompts.model_dump_json(indent=2, exclude_defaults=True, by_alias=True)
    try:
        with whole_file(file) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise PromptError(
            f"The prompt file {file} cannot be written: {error.strerror or error}."
        ) from error


def prompt_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of the prompt file."""
    schema = PromptFile.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _refuse(message: str) -> None:
    """Report what a record lacks; pydantic adds where it stands."""
    raise PydanticCustomError("prompts", "{reason}", {"reason": message})


def _repeated(values: Any) -> int | None:
    """Return the first value that occurs twice, or None."""
    return next((value for value, n in Counter(values).items() if n > 1), None)


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    twice = next((k for k, n in Counter(k for k, _ in pairs).items() if n > 1), None)
    if twice is not None:
        raise ValueError(f"the key {twice!r} stands twice in one pair of braces")
    return dict(pairs)


def _explain(error: ValidationError, name: str) -> str:
    """Say in one sentence what is wrong first, where, and what to do."""
    problems = error.errors(include_url=False)
    # A list with a wrong entry is also reported as one without any.
    causes = [p for p in problems if p["type"] != "too_short" or not p["input"]]
    # A misspelt key is the cause of the one that is missing.
    causes.sort(key=lambda problem: problem["type"] != "extra_forbidden")
    first = causes[0]
    more = f" ({len(causes) - 1} more to mend.)" if len(causes) > 1 else ""
    if first["type"] == "json_invalid":
        reason = first["ctx"]["error"]
        return f"{name} is not JSON: {reason}. 'napari-sam2 schema' prints the format."
    place = _place(first["loc"])
    where = f"{name}, {place}," if place else name
    return f"{where} {_reason(first)}.{more}"


def _reason(problem: Any) -> str:
    """Say what is wrong at a place."""
    kind, place, given = problem["type"], problem["loc"], problem["input"]
    if kind == "prompts":
        return str(problem["ctx"]["reason"])
    if kind == "missing":
        return "is needed but missing: add it"
    if kind == "too_short":
        return "is empty: give at least one"
    if kind == "extra_forbidden":
        known = _known_keys(place[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"is not a known key: {hint}known are {', '.join(known)}"
    if kind == "finite_number":
        return "is NaN or infinite: give a number"
    if place == ("version",):
        return f"is {_shown(given)}: this release reads version 1"
    said = problem["msg"].replace("Tuple", "Array")
    return f"is {_shown(given)}: {said[:1].lower()}{said[1:]}"


def _place(keys: tuple[int | str, ...]) -> str:
    """Write a place as ``objects[0].prompts[1].box``."""
    parts = [f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys]
    return "".join(parts).removeprefix(".")


def _known_keys(place: tuple[int | str, ...]) -> list[str]:
    """List the keys that a record at a place may have."""
    names = [key for key in place if isinstance(key, str)]
    records: dict[int, type[BaseModel]] = {0: PromptFile, 1: PromptedObject}
    fields = records.get(len(names), FramePrompt).model_fields
    return [field.alias or name for name, field in fields.items()]


def _shown(value: Any) -> str:
    """Quote a value, shortened."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
