"""Secure: what an artifact's files would do and give away, found without running them.

Data flow: every file of the bundle -> its pickles' imports, and secrets in what is text -> Findings. What was not
looked at is said: known weaknesses of packages need a list that is not on this machine.
"""

from __future__ import annotations

import re
from pathlib import Path

from inferry.bundles.imports import dangerous, scan
from inferry.gates.subject import Subject
from inferry.types.gates import Security
from inferry.types.trials import Finding

MAX_TEXT = 4 << 20
SECRETS = {
    "a private key": re.compile(rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----"),
    "an AWS access key": re.compile(rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(rb"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,})"),
    "a GitLab token": re.compile(rb"\bglpat-[A-Za-z0-9_-]{20,}"),
    "a Hugging Face token": re.compile(rb"\bhf_[A-Za-z0-9]{30,}"),
    "a Google API key": re.compile(rb"\bAIza[0-9A-Za-z_-]{35}\b"),
    "a Slack token": re.compile(rb"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    "an OpenAI or Anthropic key": re.compile(rb"\bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{32,}"),
    "an Inferry key": re.compile(rb"\binf_[A-Za-z0-9_-]{32,}"),
    "a password in an address": re.compile(
        rb"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@'\"]{1,64}:[^\s:/@'\"${}]{3,64}@[a-zA-Z0-9]"
    ),
}
SECRET_FILES = {".env", ".netrc", ".pypirc", ".npmrc", "id_rsa", "id_ed25519", "credentials", "credentials.json"}
DATA_ONLY = (".safetensors", ".onnx", ".gguf", ".ubj", ".tflite")


def security(gate: Security, subject: Subject) -> list[Finding]:
    """The bundle's files, the converted model's left out: we made that."""
    files = [
        entry.path for entry in subject.manifest.files if not entry.path.startswith(("converted/", "environment/"))
    ]
    found: list[Finding] = []
    pickles = 0
    imports: set[str] = set()
    for name in files:
        path, shown = subject.bundle / name, name.removeprefix("artifact/")
        if name in gate.allow or shown in gate.allow:
            continue
        scanned = scan(path)
        if scanned is not None:
            pickles += 1
            imports |= scanned.names
            unsafe = sorted(one for one in scanned.names if dangerous(one) and one not in gate.allow)
            found += [Finding(what=shown, verdict="failed", words=f"{shown} would import {one}") for one in unsafe]
            if scanned.unread:
                words = f"{shown} holds a pickle that cannot be followed to its end: {scanned.unread}"
                found.append(Finding(what=shown, verdict="failed", words=words))
        found += [Finding(what=shown, verdict="failed", words=f"{shown} holds {secret}") for secret in secrets_in(path)]
    safe = sum(name.endswith(DATA_ONLY) for name in files)
    pickled = f"{pickles} pickled, {len(imports)} imports" if pickles else "none pickled"
    data = f", {safe} of data alone" if safe else ""
    words = f"{len(files)} files looked through ({pickled}{data})"
    found.append(Finding(what="files", verdict="failed" if found else "passed", value=len(files), words=words))
    packages = len(subject.manifest.environment.requirements)
    if packages:
        words = f"known weaknesses of its {packages} packages were not looked up: that needs a list from outside"
        found.append(Finding(what="packages", verdict="skipped", words=words))
    return found


def secrets_in(path: Path) -> list[str]:
    """What a file gives away, by its name or its text."""
    if path.name in SECRET_FILES:
        return ["what a file of this name holds: secrets"]
    with path.open("rb") as file:
        data = file.read(MAX_TEXT)
    if b"\0" in data[:4096] and not data.startswith(b"\x80"):
        return []
    return [what for what, pattern in SECRETS.items() if pattern.search(data)]
