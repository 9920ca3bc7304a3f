"""`inferry`: finds the command, and turns whatever ends it into an exit code.

Data flow: arguments -> the command's module, loaded only now -> its JSON document or its
text on standard output -> exit code 0 done, 1 refused or failed, 2 wrong usage (or settings file), 130 Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

from inferry.cli.shared import App, emit, say
from inferry.errors import InferryError, InvalidSettings
from inferry.version import __version__

COMMANDS = (
    "up", "serve", "deploy", "predict", "jobs", "batch", "traffic", "rollout", "rollback", "replay", "feedback",
    "quality", "experiment", "scale", "warm", "simulate", "push", "apply", "pipeline", "gitops", "mlflow", "webhooks",
    "models", "versions", "diff", "alias", "endpoints", "describe", "test", "logs", "delete", "keys", "runtimes",
    "status", "doctor",
)  # fmt: skip


class LazyGroup(click.Group):
    """A group whose commands are the modules beside this one."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order in which one needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command, its module imported."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = import_module(f"inferry.cli.{cmd_name}").command
        return found


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--url", metavar="URL", help="The control API.  [INFERRY_URL]")
@click.option("--key", metavar="KEY", help="The API key.  [INFERRY_API_KEY]")
@click.option("--home", metavar="DIR", type=click.Path(path_type=Path), help="The platform's folder.  [INFERRY_HOME]")
@click.version_option(__version__, prog_name="inferry")
@click.pass_context
def cli(ctx: click.Context, url: str | None, key: str | None, home: Path | None) -> None:
    """From a model file to a governed endpoint with one command.

    \b
      inferry up                        start the platform on this machine
      inferry deploy model.joblib       serve a model, no code needed
      inferry predict model             try it
    """  # noqa: D301 - \b is click's own mark
    ctx.obj = App(url=url, key=key, home=home)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; its exit code."""
    as_json = "--json" in arguments
    try:
        code = cli.main(args=list(arguments), prog_name="inferry", standalone_mode=False)
    except click.UsageError as error:
        error.show(sys.stderr)
        if as_json:
            emit({"error": {"code": "wrong_usage", "message": error.format_message()}})
        return 2
    except click.Abort:
        return 130
    except InferryError as error:
        report(error, as_json=as_json)
        return 2 if isinstance(error, InvalidSettings) else 1
    return code if isinstance(code, int) else 0


def report(error: InferryError, *, as_json: bool) -> None:
    """Say what went wrong and what to do: to people, or as a document."""
    if as_json:
        said = {"code": error.code, "message": error.message, "help": error.help, "request_id": error.request_id}
        emit({"error": {name: text for name, text in said.items() if text}})
        return
    say(f"error: {error.message}")
    if error.help:
        say(f"help: {error.help}")
    if error.request_id:
        say(f"request: {error.request_id}")


def main() -> NoReturn:
    """The entry point."""
    sys.exit(run(sys.argv[1:]))
