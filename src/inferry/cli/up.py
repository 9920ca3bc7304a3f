"""`inferry up`: start the platform on this machine. The processes are `compose`'s."""

from __future__ import annotations

from pathlib import Path

import click

from inferry.cli.shared import App, json_option, pass_app


@click.command("up")
@click.option("--home", metavar="DIR", type=click.Path(path_type=Path), help="The platform's folder.  [INFERRY_HOME]")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="Predictions; 0: any.")
@click.option(
    "--grpc-port", default=8001, show_default=True, type=click.IntRange(0, 65535), help="Predictions by gRPC; 0: any."
)
@click.option(
    "--control-port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="Control API; 0: any."
)
@click.option(
    "--ready-file", metavar="PATH", type=click.Path(path_type=Path), help="Written, once ready, with the addresses."
)
@click.option(
    "--database-url",
    default="",
    metavar="URL",
    help="PostgreSQL in place of SQLite in the home; without a password.  [INFERRY_DATABASE_URL]",
)
@click.option(
    "--backend",
    type=click.Choice(["local", "ray"]),
    help="Where replicas run: processes of this machine, or nodes of a Ray cluster.  [INFERRY_BACKEND; default: local]",
)
@click.option(
    "--ray-address",
    default="",
    metavar="HOST:PORT",
    help="The cluster's head; this machine must be one of its nodes.  [RAY_ADDRESS; default: auto]",
)
@click.option(
    "--standbys",
    default=0,
    show_default=True,
    type=click.IntRange(0, 4),
    help="Further control processes, which take over when the leading one hangs or dies; needs PostgreSQL.",
)
@click.option(
    "--gateways",
    default=1,
    show_default=True,
    type=click.IntRange(1, 16),
    help="Gateway processes on the same ports: one per core where requests are many and models quick.",
)
@click.option(
    "--blobs",
    default="",
    metavar="URL",
    help="Keep bundles in object storage, s3://BUCKET/PREFIX, in place of the home.  [INFERRY_BLOBS]",
)
@click.option(
    "--memory-budget",
    default="",
    metavar="SIZE",
    help="What all models together may take, as 8GB; else 80 % of what there is.  [INFERRY_MEMORY_BUDGET]",
)
@json_option
@click.pass_context
@pass_app
def command(
    app: App,
    ctx: click.Context,
    home: Path | None,
    host: str,
    port: int,
    grpc_port: int,
    control_port: int,
    ready_file: Path | None,
    database_url: str,
    backend: str | None,
    ray_address: str,
    standbys: int,
    gateways: int,
    blobs: str,
    memory_budget: str,
    as_json: bool,
) -> None:
    """Start the platform on this machine.

    Ctrl-C stops it. Models, versions, endpoints and keys are kept in the home folder. The first start writes
    an admin key there, which every other command finds by itself.

    \b
    Examples:
      inferry up
      inferry up --memory-budget 8GB
      inferry up --gateways 4
      inferry up --port 0 --grpc-port 0 --control-port 0 --ready-file ready.json
      inferry up --backend ray --ray-address 10.0.0.1:6379
      INFERRY_DATABASE_URL=postgresql://inferry:secret@db.example.com/inferry inferry up --standbys 1
      AWS_ENDPOINT_URL=https://minio.example.com inferry up --blobs s3://models/inferry
    """  # noqa: D301
    from inferry.compose.up import run

    folder = App(app.url, app.key, home or app.home).settings().home
    ports = port, grpc_port, control_port
    kept = database_url, standbys, blobs
    ctx.exit(run(folder, host, *ports, *kept, ready_file, as_json, backend or "", ray_address, memory_budget, gateways))
