"""`inferry test`: run a version's gates against a private copy of it.

Data flow: gates file + target -> the version's bundle, fetched, or an artifact -> a private process that serves it
-> gates -> a table, JSON, JUnit XML, Markdown -> kept with the version -> exit code 0 when nothing failed, else 1.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from inferry.cli.shared import App, emit, json_option, pass_app, say, show_table

if TYPE_CHECKING:
    from inferry.client import Client
    from inferry.compose.trial import Facts
    from inferry.gates.run import Known
    from inferry.gates.subject import Subject
    from inferry.types.conversion import Mode
    from inferry.types.gates import Gate
    from inferry.types.trials import Report

GATES_FILE = "inferry.yaml"


@click.command("test")
@click.argument("target", metavar="MODEL:N|PATH")
@click.option(
    "--gates", "gates_file", metavar="FILE", type=click.Path(path_type=Path),
    help=f"The file whose gates section is run.  [{GATES_FILE} here, else the default gates]",
)  # fmt: skip
@click.option("--sample", metavar="FILE", type=click.Path(path_type=Path), help="Example input, for a PATH.")
@click.option("--junit", metavar="FILE", type=click.Path(path_type=Path), help="Write JUnit XML there.")
@click.option("--markdown", metavar="FILE", type=click.Path(path_type=Path), help="Write a Markdown report there.")
@click.option("--no-keep", is_flag=True, help="Do not keep the report with the version.")
@json_option
@click.pass_context
@pass_app
def command(
    app: App,
    ctx: click.Context,
    target: str,
    gates_file: Path | None,
    sample: Path | None,
    junit: Path | None,
    markdown: Path | None,
    no_keep: bool,
    as_json: bool,
) -> None:
    """Run the gates of a version, or of a model file or folder.

    It is served privately on this machine for as long as that takes; no traffic moves. The
    report is kept with the version. The exit code is 0 when no gate failed, else 1.

    \b
    Examples:
      inferry test fraud:7
      inferry test ./model.joblib --sample rows.csv --junit report.xml
    """  # noqa: D301
    report = try_out(app, declared(gates_file), gates_file, target, sample, keep=not no_keep)
    write(report, junit, markdown)
    emit(report) if as_json else show(report)
    ctx.exit(0 if report.passed else 1)


def try_out(
    app: App, gates: tuple[Gate, ...], gates_file: Path | None, target: str, sample: Path | None = None, *, keep: bool
) -> Report:
    """Run gates against a private copy. `keep`: the report of a registered version stays with it."""
    with ExitStack() as held:
        report = Trials(app, held, gates_file.parent if gates_file else Path()).run(gates, target, sample)
    if is_version(target) and keep:
        model, _, number = report.target.partition(":")
        kept = app.client().keep_test(model, int(number), report)
        say(f"kept with {report.target} as test {kept.number} of {model}")
    return report


def write(report: Report, junit: Path | None, markdown: Path | None) -> None:
    """The report as files, for a CI that shows them."""
    from inferry.gates.report import junit as as_junit
    from inferry.gates.report import markdown as as_markdown

    if junit is not None:
        junit.write_bytes(as_junit(report))
    if markdown is not None:
        markdown.write_text(as_markdown(report), encoding="utf-8")


def declared(gates_file: Path | None) -> tuple[Gate, ...]:
    """The gates of the file given, of the one in this folder, or the default ones."""
    from inferry.gates.declare import read_gates
    from inferry.types.gates import DEFAULT_GATES

    here = Path(GATES_FILE)
    file = gates_file or (here if here.is_file() else None)
    gates = read_gates(file) if file is not None else None
    if gates_file is not None and gates is None:
        raise click.UsageError(f"{gates_file} declares no gates: it has no entry under 'gates:'.")
    return gates or DEFAULT_GATES


def is_version(target: str) -> bool:
    """Whether a registered version is meant, and not a path. Raises UsageError when it can be neither."""
    from inferry.types.names import is_reference

    if Path(target).exists():
        return False
    if not is_reference(target):
        raise click.UsageError(f"{target!r} is neither a version, like fraud:7, nor a file or folder.")
    return True


class Trials:
    """Private copies, each for the time of the test."""

    def __init__(self, app: App, held: ExitStack, folder: Path) -> None:
        self.app = app
        self.held = held
        self.folder = folder.resolve()
        self.home = app.settings().home
        self.others: dict[str, Subject] = {}

    def run(self, gates: tuple[Gate, ...], target: str, sample: Path | None) -> Report:
        """Serve the target, and run the gates."""
        from inferry.gates.run import Bench, run_gates

        say(f"serving {target} ...")
        if is_version(target):
            subject = self.version(target)
        else:
            from inferry.compose.trial import served

            path = Path(target)
            subject = self.held.enter_context(opened(path.name, served(path, "test", self.home, sample=sample)))
        bench = Bench(
            subject=subject, other=self.other, known=self.known, native=self.native, folder=self.folder,
            environ=dict(os.environ), say=say,
        )  # fmt: skip
        return run_gates(gates, bench)

    def version(self, reference: str) -> Subject:
        """A private copy of a registered version."""
        from inferry.bundles.archive import extract_tar
        from inferry.compose.trial import scratch_folder, served
        from inferry.types.names import version_reference

        model, number = version_reference(reference)
        number = self.client().version(model, number).number
        folder = scratch_folder()
        try:
            archive = self.client().fetch_bundle(model, number, folder)
            bundle = folder / "bundle"
            bundle.mkdir(mode=0o700)
            extract_tar(archive, bundle)
            archive.unlink()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        facts = served(bundle, "test", self.home, scratch=folder)
        return self.held.enter_context(opened(f"{model}:{number}", facts))

    def known(self, against: str) -> Known | None:
        """What is known of a version, or of the one that an endpoint serves; None when there is none yet."""
        import msgspec

        from inferry.errors import NotFound
        from inferry.gates.run import Known
        from inferry.types.bundle import Manifest
        from inferry.types.names import parse_reference

        model, number = parse_reference(against)
        try:
            if number is None:
                endpoint = self.client().describe(model)
                model, number = endpoint.model, endpoint.version
            found = self.client().version(model, number)
        except NotFound:
            return None
        manifest = msgspec.json.decode(msgspec.json.encode(found.manifest), type=Manifest)
        return Known(f"{found.model}:{found.number}", found.bundle, manifest.signature)

    def other(self, against: str) -> Subject | None:
        """A private copy of what others are compared with."""
        known = self.known(against)
        if known is None:
            return None
        if known.name not in self.others:
            say(f"serving {known.name} to compare with ...")
            self.others[known.name] = self.version(known.name)
        return self.others[known.name]

    def native(self, subject: Subject) -> AbstractContextManager[Subject]:
        """A private copy of the same artifact, not converted."""
        from inferry.compose.trial import served

        artifact, samples = subject.bundle / "artifact", subject.bundle / "sample"
        entries = list(artifact.iterdir())
        path = entries[0] if len(entries) == 1 and entries[0].is_file() else artifact
        sample = next(iter(samples.iterdir()), None) if samples.is_dir() else None
        mode: Mode = "never"
        return opened(f"{subject.name} (native)", served(path, "test", self.home, sample=sample, convert=mode))

    def client(self) -> Client:
        """The platform."""
        return self.app.client()


@contextmanager
def opened(name: str, trial: AbstractContextManager[Facts]) -> Iterator[Subject]:
    """A private copy as a Subject."""
    from inferry.gates.subject import Subject

    with trial as facts:
        subject = Subject(
            name=name, url=facts.http, key=facts.key, endpoint=facts.endpoint, bundle=Path(facts.bundle),
            digest=facts.digest, replicas=facts.replicas,
        )  # fmt: skip
        try:
            yield subject
        finally:
            subject.close()


def show(report: Report) -> None:
    """A report for people."""
    paint: Callable[[str], str] = {"passed": "passed", "failed": "FAILED", "skipped": "skipped"}.__getitem__
    show_table(
        ("gate", "verdict", "seconds", "why"),
        [(one.name, paint(one.verdict), round(one.seconds, 1), one.words) for one in report.results],
    )
    failed = sum(one.verdict == "failed" for one in report.results)
    said = "passed" if report.passed else f"failed {failed} of {len(report.results)} gates"
    click.echo(f"\n{report.target} {said}.")
