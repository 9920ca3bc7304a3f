"""Files in object storage as input and output of batch scoring.

Data flow: an object -> a file of this machine -> `run.score_files`, whose parts lie beside it, so that a run that was
killed goes on -> the output as an object, and behind it `.NAME.manifest.json`, which says what it was made of: the same
command finds it done. One object after the other, so that a folder needs the room of its largest.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import msgspec

from inferry.client.batch.run import Tell, score_files
from inferry.client.batch.source import SUFFIXES, files_in
from inferry.client.job_answers import BatchSummary
from inferry.client.session import Session
from inferry.client.transport import SyncTransport
from inferry.errors import Conflict, InvalidInput, NotFound
from inferry.objects import Objects, is_object_url
from inferry.types.decoding import decoder


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What an output was made of. `tag`: of the input's content."""

    endpoint: str
    input: str
    tag: str
    rows: int
    errors: int
    versions: tuple[str, ...] = ()


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One input. `key`: of its object, empty for a file of this machine."""

    name: str
    place: str
    tag: str
    key: str = ""


def score_places(
    session: Session, transport: SyncTransport, endpoint: str, source: str, target: str, work: Path, *,
    overwrite: bool = False, fail_fast: bool = False, tell: Tell | None = None,
) -> BatchSummary:  # fmt: skip
    """As `score_files`, where one or both of the places are object URLs. `work`: a folder for what is under way."""
    begun = time.monotonic()
    items, far = inputs_of(source)
    whole = BatchSummary(endpoint=endpoint, input=source, output=target)
    for item in items:
        before = whole

        def said(rows: int, errors: int, total: int, before: BatchSummary = before) -> None:
            if tell is not None:
                tell(before.rows + rows, before.errors + errors, before.rows + total)

        folder = work / hashlib.sha256(f"{endpoint}\n{item.place}\n{item.tag}\n{target}".encode()).hexdigest()[:24]
        output = output_of(item, source, target)

        def score(here: Path, into: Path) -> BatchSummary:
            return score_files(
                session, transport, endpoint, here, into, overwrite=overwrite, fail_fast=fail_fast, tell=said
            )

        done = _one(item, far, output, folder, endpoint, score, overwrite=overwrite)
        shutil.rmtree(folder, ignore_errors=True)
        whole = msgspec.structs.replace(
            whole, rows=whole.rows + done.rows, errors=whole.errors + done.errors, resumed=whole.resumed + done.resumed,
            files=whole.files + 1, versions=tuple(sorted({*whole.versions, *done.versions})),
        )  # fmt: skip
    seconds = time.monotonic() - begun
    scored = whole.rows - whole.resumed
    return msgspec.structs.replace(whole, seconds=seconds, rows_per_s=scored / seconds if seconds else 0.0)


def inputs_of(source: str) -> tuple[list[Item], Objects | None]:
    """What is to be scored, by name. Raises InvalidInput when there is nothing."""
    if not is_object_url(source):
        found = [(path, path.stat()) for path in files_in(Path(source))]
        return [
            Item(name=path.name, place=str(path.resolve()), tag=f"{about.st_size}-{about.st_mtime_ns}")
            for path, about in found
        ], None
    name = PurePosixPath(source).name
    if not source.endswith("/") and PurePosixPath(name).suffix.lower() in SUFFIXES:
        objects = Objects(source.rpartition("/")[0])
        one = objects.find(name)
        if one is None:
            raise NotFound(f"There is no object {source}.", help="A folder's name ends with a slash.")
        return [Item(name=name, place=source, tag=one.tag, key=name)], objects
    objects = Objects(source)
    items = [
        Item(name=one.key, place=f"{objects.url}/{one.key}", tag=one.tag, key=one.key)
        for one in objects.all()
        if "/" not in one.key
        and not one.key.startswith((".", "_"))
        and PurePosixPath(one.key).suffix.lower() in SUFFIXES
    ]
    if not items:
        raise InvalidInput(f"Nothing below {source} can be scored.", help=f"Kinds: {', '.join(SUFFIXES)}.")
    return items, objects


def output_of(item: Item, source: str, target: str) -> str:
    """The place of an input's output: the target itself for one input, else of the same name in it."""
    single = item.place == source or (item.key == "" and Path(source).is_file())
    last = PurePosixPath(target)
    if single and not target.endswith("/") and last.suffix.lower() in SUFFIXES and not Path(target).is_dir():
        return target
    return f"{target.rstrip('/')}/{item.name}"


def _one(
    item: Item, far: Objects | None, output: str, folder: Path, endpoint: str,
    score: Callable[[Path, Path], BatchSummary], *, overwrite: bool,
) -> BatchSummary:  # fmt: skip
    outside = Objects(output.rpartition("/")[0]) if is_object_url(output) else None
    name = output.rpartition("/")[2]
    made = Made(endpoint=endpoint, input=item.place, tag=item.tag, rows=0, errors=0)
    if outside is not None and not overwrite:
        known = _made(outside, name)
        if known is not None and (known.endpoint, known.input, known.tag) == (endpoint, item.place, item.tag):
            return _summary(known, output, resumed=known.rows)
        if outside.find(name) is not None:
            raise Conflict(f"{output} is there already.", help="Choose another output, or say --overwrite.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    here = Path(item.place)
    if far is not None:
        here = folder / "in" / item.name
        here.parent.mkdir(mode=0o700, exist_ok=True)
        if not here.exists():  # it was fetched whole, or it is not there
            fresh = here.with_name(f".{item.name}.new")
            far.get(item.key, fresh)
            fresh.replace(here)
    done = score(here, Path(output) if outside is None else folder / name)
    if outside is not None:
        outside.put(folder / name, name)
        made = msgspec.structs.replace(made, rows=done.rows, errors=done.errors, versions=done.versions)
        outside.write(_marker(name), msgspec.json.encode(made))
    return done


def _marker(name: str) -> str:
    return f".{name}.manifest.json"


def _made(objects: Objects, name: str) -> Made | None:
    try:
        found = decoder(Made).decode(objects.read(_marker(name)))
    except (NotFound, msgspec.DecodeError):
        return None
    return found if objects.find(name) is not None else None


def _summary(made: Made, output: str, resumed: int) -> BatchSummary:
    return BatchSummary(
        endpoint=made.endpoint, input=made.input, output=output, rows=made.rows, errors=made.errors, resumed=resumed,
        files=1, versions=made.versions,
    )  # fmt: skip
