"""One look at the repository that a platform follows: a process of its own, started by control.

Data flow: an Order (JSON, one line of standard input) -> the branch's newest commit -> all of it checked -> `inferry
apply` -> `inferry push` of each model whose files are others than before -> Looked (JSON on standard output).

Both commands are those that people run, with their code. Standard input stays open as long as somebody waits for the
answer; when it closes, this process ends with everything that it started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from inferry.bundles.project import FILE, declared_project
from inferry.client.checkout import Git, is_pointer
from inferry.errors import InferryError, InvalidSettings, Unavailable
from inferry.gates.declare import read_gates
from inferry.types.declared import Problem
from inferry.types.gates import Command, Pytest
from inferry.types.project import DeclaredModel, Project
from inferry.types.repository import Looked, Order

RUN_S = 3600.0
MAX_WORDS = 50
PASSING = ("unavailable", "deadline_exceeded", "storage_full", "unauthorized")
"""Codes of errors after which another try may succeed."""
INFERRY = (sys.executable, "-P", "-c", "from inferry.cli.main import main; main()")


class Said(NamedTuple):
    """What a command printed, and how it ended."""

    code: int
    document: Any


def look(order: Order) -> Looked:
    """Carry out the newest commit, unless that is done."""
    git, commit = Git(order.url, order.token), ""
    tree = Path(order.folder)
    try:
        commit = git.newest(order.branch)
        if commit == order.known:
            return Looked(state="same")
        commit = git.fetch(order.branch, tree)
        folder = tree / order.path
        project = checked(folder, tree, commands=order.commands)
        wanted = {name: content(git, folder, model) for name, model in project.models.items()}
    except Unavailable as error:
        return Looked(state="unreachable", words=(error.sentence(),))
    except InferryError as error:
        return Looked(state="failed", commit=commit, words=lines(error.sentence()))
    return carried_out(order, folder, commit, wanted)


def checked(folder: Path, tree: Path, *, commands: bool) -> Project:
    """The project, with its files there. Raises InvalidSettings with the line of each problem."""
    if not (folder / FILE).is_file():
        raise InvalidSettings(
            f"{place(folder, tree)}: there is no such file.", help="Commit one, or follow another path."
        )
    os.chdir(folder)  # so that lines are told as FILE:N
    found = declared_project(Path(FILE))
    found.check(problem for name, model in found.value.models.items() for problem in missing(name, model, tree))
    for number, gate in enumerate(read_gates(Path(FILE)) or ()):
        if isinstance(gate, (Command, Pytest)) and not commands:
            words = "it would run a program of the repository on this machine"
            found.check([Problem(("gates", number, "gate"), words, "Allow it: inferry gitops follow ... --commands")])
    return found.value


def missing(name: str, model: DeclaredModel, tree: Path) -> list[Problem]:
    """What keeps a model's files from being pushed."""
    wrong = []
    for field in ("path", "sample"):
        text = getattr(model, field)
        where = ("models", name, field)
        if not text:
            continue
        path = Path(text)
        if not path.resolve().is_relative_to(tree.resolve()):
            wrong.append(Problem(where, f"{text!r} leads out of the repository", "Name a file in it."))
        elif not path.exists():
            wrong.append(Problem(where, f"there is no {text!r} in the commit", "Commit it."))
        elif any(is_pointer(file) for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()):
            help = "Commit the file itself; what Git LFS keeps is not fetched."
            wrong.append(Problem(where, f"{text!r} is kept by Git LFS", help))
    return wrong


def content(git: Git, folder: Path, model: DeclaredModel) -> str:
    """What a push of the model would send, by Git's names, with how it is converted."""
    paths = [path for path in (model.path, model.sample) if path]
    return f"{git.content(folder, *paths)} {model.convert}".strip()


def carried_out(order: Order, folder: Path, commit: str, wanted: dict[str, str]) -> Looked:
    """Apply, then push what is new. What was pushed is known even if a later step fails."""
    models, versions = dict(order.models), dict(order.versions)
    words: list[str] = []

    def so_far(state: Any, *, done: bool = True) -> Looked:
        told = tuple(words[:MAX_WORDS])
        return Looked(state=state, commit=commit if done else "", words=told, models=models, versions=versions)

    applied = inferry(folder, "apply", *(["--prune"] if order.prune else []))
    wrong = problems_of(applied)
    if wrong:
        words.extend(wrong)
        return so_far("failed", done=not passing(applied))
    for name in (name for name in wanted if models.get(name) != wanted[name]):
        pushed = inferry(folder, "push", name)
        if "error" in pushed.document:
            words.extend(f"{name}: {line}" for line in problems_of(pushed))
            if passing(pushed):
                return so_far("failed", done=False)
            continue
        made = pushed.document.get("pushed", pushed.document)
        models[name], versions[name] = wanted[name], made["version"]
        report = pushed.document.get("test") or {}
        failed = [one for one in report.get("results", ()) if one["verdict"] == "failed"]
        words.extend(f"{name}:{made['version']}: the gate {one['name']} failed: {one['words']}" for one in failed)
    kept = {name: models[name] for name in models if name in wanted}
    models.clear()
    models.update(kept)
    return so_far("failed" if words else "synced")


def inferry(folder: Path, *arguments: str) -> Said:
    """A command as a person would type it there."""
    try:
        done = subprocess.run(
            [*INFERRY, *arguments, "--json"], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            timeout=RUN_S, check=False,
        )  # fmt: skip
        document = msgspec.json.decode(done.stdout)
    except subprocess.TimeoutExpired:
        return Said(1, {"error": {"code": "invalid_model", "message": f"It took longer than {RUN_S / 60:g} minutes."}})
    except msgspec.DecodeError:
        return Said(done.returncode, {"error": {"code": "internal", "message": f"inferry {arguments[0]} broke off."}})
    return Said(done.returncode, document)


def problems_of(said: Said) -> list[str]:
    """What a command says is wrong."""
    error = said.document.get("error")
    if error:
        return list(lines(" ".join(filter(None, (error["message"], error.get("help", ""))))))
    return list(said.document.get("problems", ()))


def passing(said: Said) -> bool:
    """Whether another try may succeed."""
    return said.document.get("error", {}).get("code") in PASSING


def lines(text: str) -> tuple[str, ...]:
    """A message's lines."""
    return tuple(line for line in text.splitlines() if line.strip())[:MAX_WORDS]


def place(folder: Path, tree: Path) -> str:
    """Where the settings file is, in the repository."""
    return str((folder / FILE).relative_to(tree))


def end_with(stream: Any) -> None:
    """End all that was started here when nobody waits any more."""
    stream.read()
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """The process: it leads a group of its own."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    threading.Thread(target=end_with, args=(sys.stdin.buffer,), daemon=True).start()
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever prints, prints into the log
    looked = look(order)
    os.write(answer, msgspec.json.encode(looked))
    os._exit(0)  # a thread reads standard input still


if __name__ == "__main__":
    main()
