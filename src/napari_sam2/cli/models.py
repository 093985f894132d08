"""``napari-sam2 models``: which networks there are, and their weights."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from napari_sam2.checkpoints import (
    cache_folder,
    default_model,
    ensure_downloaded,
    find_model,
    is_downloaded,
    registered_models,
    remove,
    verify,
    weights_path,
)
from napari_sam2.cli.console import Progress, note
from napari_sam2.cli.interrupt import INTERRUPTED
from napari_sam2.cli.options import Debug, Json  # noqa: TC001 - typer reads them
from napari_sam2.errors import CheckpointError

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A registered model.", show_default=False),
]

app = typer.Typer(help="List, download, verify and remove the weights of models.")


@app.callback(invoke_without_command=True)
def _root(ctx: typer.Context, debug: Debug = False) -> None:
    if ctx.invoked_subcommand is None:
        list_models()


@app.command("list")
def list_models(json_: Json = False, debug: Debug = False) -> None:
    """List the models that go by name."""
    default = default_model()
    rows = [
        {
            "name": model.name,
            "version": model.version,
            "default": model == default,
            "megabytes": None if model.size is None else round(model.size / 1e6, 1),
            "built_in": model.built_in,
            "downloaded": model.has_weights and is_downloaded(model),
            "path": str(weights_path(model)) if model.has_weights else None,
        }
        for model in registered_models()
    ]
    if json_:
        typer.echo(json.dumps({"cache": str(cache_folder()), "models": rows}))
        return
    width = max(len(model.name) for model in registered_models())
    for row in rows:
        if row["built_in"]:
            weights = "part of this package"
        elif row["megabytes"] is None:
            weights = "no published weights: for tests and training"
        else:
            there = "downloaded" if row["downloaded"] else "not downloaded"
            weights = f"{row['megabytes']:6.1f} MB, {there}"
        mark = " (default)" if row["default"] else ""
        typer.echo(f"{row['name']:<{width}}  SAM {row['version']}  {weights}{mark}")
    note(f"Weights are kept in {cache_folder()}; NAPARI_SAM2_CACHE names another.")


@app.command("download")
def download_model(name: Name, debug: Debug = False) -> int:
    """Download the weights of a model, or go on with a download cut short."""
    model = find_model(name)
    if model.built_in:
        note(f"{model.name} is part of this package: there is nothing to download.")
        typer.echo(str(weights_path(model)))
        return 0
    if not model.has_weights:
        raise CheckpointError(
            f"No weights are published for {model.name}: there is nothing to download."
        )
    try:
        with Progress(model.name, total=model.size, unit="bytes") as bar:
            path = ensure_downloaded(model, bar.show)
    except KeyboardInterrupt:
        note("Stopped. The same command goes on from here.")
        return INTERRUPTED
    typer.echo(str(path))
    return 0


@app.command("verify")
def verify_model(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="A registered model; all that are downloaded if absent.",
            show_default=False,
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Compare downloaded weights with what was published."""
    if name is None:
        models = [m for m in registered_models() if m.url and is_downloaded(m)]
        if not models:
            note(f"No weights are downloaded in {cache_folder()}.")
    else:
        models = [find_model(name)]
    for model in models:
        typer.echo(f"{verify(model)}: as published")


@app.command("remove")
def remove_model(name: Name, debug: Debug = False) -> None:
    """Delete the downloaded weights of a model."""
    model = find_model(name)
    if remove(model):
        typer.echo(str(weights_path(model)))
    else:
        note(f"The weights of {model.name} are not downloaded: nothing to remove.")
