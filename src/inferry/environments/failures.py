"""Failures: what uv wrote on standard error -> one sentence that names the package and the reason.

Data flow: uv's text -> frames and colours dropped, one line -> the first rule that fits ->
an InferryError. No sentence repeats an address or a path.
"""

from __future__ import annotations

import re

from inferry.environments.locks import BASE
from inferry.errors import EnvironmentFailed, InferryError, StorageFull

ELSEWHERE = "Choose another version, or build the wheel yourself and name its folder in pip's find-links."
REACH = "Check the network, and that pip itself can download with the same configuration."

DISK_FULL = ("No space left on device", "os error 28)", "Disk quota exceeded")
UNREACHABLE = (
    (r"\b40[13] [A-Z]", "it refused our access", "Check the index address and credentials in pip's configuration."),
    (r"\b5\d\d [A-Z]", "it answered with an error", "Try again later."),
    (r"UnknownIssuer|certificate", "its certificate is not trusted here", "Name your certificate in pip's cert."),
    (r"dns error|lookup address", "its name cannot be looked up", REACH),
    (r"timed out|timeout", "it did not answer in time", REACH),
    (
        r"Connection refused|Connection reset|tcp connect|client error|unreachable|os error 1\d\d\b",
        "no connection",
        REACH,
    ),
    (r"network (?:was|connectivity is) disabled|was not found in the cache", "the network is switched off", REACH),
)

DEMANDED = re.compile(
    r"(?<!conclude that )you require"
    r" (\S+(?: and (?!all\b|only\b|there\b|you\b)\S+(?=\s|$)(?! (?:depend|ha|require|is|was|are)))*)"
)


def explain(stderr: str, python: str) -> InferryError:
    """The error to raise for a failed uv command. `python` is the version it worked for."""
    text = " ".join(re.sub(r"[^\x20-\x7e]", " ", stderr).split())
    if any(sign in text for sign in DISK_FULL):
        return StorageFull("The disk is full.", help="Free some space and deploy again.")
    if "No solution found" in text or "unsatisfiable" in text:
        return _unsolvable(text, python)
    mismatch = re.search(r"Hash mismatch for `?([^`\s]+)`?", text)
    if mismatch:
        return EnvironmentFailed(
            f"The file of {mismatch[1]} is not the one that was locked: its hash differs.",
            help="The package index changed or the download was tampered with; deploy again to lock anew.",
        )
    if re.search(r"[Ff]etch|[Rr]equest|[Dd]ownload|error sending|HTTP|network", text):
        for sign, reason, help in UNREACHABLE:
            if re.search(sign, text):
                return EnvironmentFailed(f"The package index cannot be used{_wanted(text)}: {reason}.", help=help)
    return EnvironmentFailed(
        f"The packages could not be installed: {_clean(text.removeprefix('error: '))}.",
        help="Look at the requirements.",
    )


def _wanted(text: str) -> str:
    package = re.search(r"/([A-Za-z0-9._-]+)/?(?:`|\s|\)|$)", text)
    return f" for {package[1].split('-')[0] if package[1].endswith('.whl') else package[1]}" if package else ""


def _unsolvable(text: str, python: str) -> InferryError:
    text = re.sub(r"\{[^}]*\}", "", text.partition(" hint: ")[0])
    missing = re.search(r"(\S+) was not found in (the package registry|the provided package locations|the cache)", text)
    if missing:
        if missing[2] == "the cache":
            return EnvironmentFailed(f"{missing[1]} cannot be fetched: the network is switched off.", help=REACH)
        return EnvironmentFailed(
            f"There is no package named {missing[1]} where pip is set up to look.",
            help="Check the spelling, and index-url and find-links in pip's configuration.",
        )
    needs = re.search(r"(\S+) (?:depends on|requires) Python\s?([<>=!~][^\s,]*(?:,[<>=!~][^\s,]*)*)", text)
    if needs:
        return EnvironmentFailed(
            f"{needs[1]} needs Python {needs[2].rstrip('.')} and this platform runs {python}.", help=ELSEWHERE
        )
    demanded = {part.rstrip(",.") for found in DEMANDED.finditer(text) for part in found[1].split(" and ")}
    depends = [f"{one} needs {other.rstrip(',.')}" for one, other in re.findall(r"(\S+) depends? on (\S+)", text)]
    wheel = re.search(r"(\S+) ha(?:s|ve) no (?:usable )?wheels", text)
    no_wheel = f"{wheel[1]} has no ready-made wheel for Python {python} on this machine" if wheel else ""
    if wheel and (len(demanded) < 2 or not depends):
        return EnvironmentFailed(f"{no_wheel}.", help=ELSEWHERE)
    if not depends and len(demanded) < 2:
        only = re.search(r"only (\S+) (?:is|are) available", text)
        return EnvironmentFailed(
            f"There is no version that fits {', '.join(demanded) or 'that'}"
            f"{f': only {only[1]} is available' if only else ''}.",
            help="Choose a version that exists for this package.",
        )
    reasons = [*dict.fromkeys(depends)][:3] + ([no_wheel] if wheel else [])
    because = f" ({'; '.join(reasons)})" if reasons else ""
    ours = [line for line in (each.partition(";")[0] for each in BASE) if line in demanded]
    return EnvironmentFailed(
        f"These cannot be installed together: {', '.join(sorted(demanded)) or 'the requirements'}{because}.",
        help=f"Every environment holds {' and '.join(ours)}." if ours else "Loosen one of the versions.",
    )


def _clean(text: str) -> str:
    text = re.sub(r"\S*://\S+|(?<![\w.])/[\w./-]+", "...", text)
    return text[:300].rstrip(" .")
