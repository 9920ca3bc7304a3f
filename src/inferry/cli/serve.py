"""`inferry serve`: one model behind a small gateway of its own, without control or database."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from inferry.cli.shared import App, pass_app


@click.command("serve")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", help="The endpoint's name.  [default: the file's]")
@click.option("--sample", metavar="FILE", type=click.Path(path_type=Path), help="Example input, CSV or JSON.")
@click.option("--native", is_flag=True, help="Do not convert it to ONNX.")
@click.option("--convert", type=click.Choice(["auto", "require"]), help="require: fail unless it serves as ONNX.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: any.")
@click.option("--grpc-port", default=8001, show_default=True, type=click.IntRange(0, 65535), help="gRPC; 0: any.")
@click.option("--key", metavar="KEY", help="The key that callers show.  [INFERRY_API_KEY, else this machine's]")
@click.option(
    "--ready-file", metavar="PATH", type=click.Path(path_type=Path), help="Written, once ready, with the address."
)
@click.pass_context
@pass_app
def command(
    app: App,
    ctx: click.Context,
    path: Path,
    name: str | None,
    sample: Path | None,
    native: bool,
    convert: Literal["auto", "require"] | None,
    host: str,
    port: int,
    grpc_port: int,
    key: str | None,
    ready_file: Path | None,
) -> None:
    """Serve one model behind a small gateway of its own.

    PATH is a bundle, or a model file or folder, which is then made into one as `inferry deploy`
    does, conversion included. There is no control and no database; Ctrl-C stops it.

    \b
    Examples:
      inferry serve model.onnx
      inferry serve ./my-model --name fraud --sample rows.csv --port 9000
      inferry serve model.joblib --native
    """  # noqa: D301
    from inferry.compose.serve import run

    if native and convert:
        raise click.UsageError("--native and --convert exclude each other.")
    settings = App(None, key or app.key, app.home).settings()
    mode = "never" if native else convert or "auto"
    ctx.exit(run(path, name, sample, host, port, grpc_port, settings.key or None, ready_file, settings.home, mode))
