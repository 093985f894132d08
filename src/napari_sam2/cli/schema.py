"""``napari-sam2 schema``: the format of the prompt file."""

from __future__ import annotations

import json

import typer

from napari_sam2.cli.options import Debug  # noqa: TC001 - typer reads it


def schema(debug: Debug = False) -> None:
    """Print the JSON schema of the prompt file."""
    from napari_sam2.prompt_file import prompt_schema

    typer.echo(json.dumps(prompt_schema(), indent=2))
