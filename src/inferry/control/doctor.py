"""Doctor: checks that what should be there is, and says what to do where it is not.

Data flow: named checks (each a function that returns findings) -> one report.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from inferry.errors import InferryError

log = logging.getLogger(__name__)


class Finding(NamedTuple):
    """One line of the report."""

    level: Literal["ok", "warn", "fail"]
    detail: str
    help: str = ""


Check = Callable[[], list[Finding]]


class Doctor:
    """Runs all checks in threads."""

    def __init__(self, checks: dict[str, Check]) -> None:
        self._checks = checks

    async def run(self) -> dict[str, Any]:
        """The report: `ok` is False when any check fails; warnings do not count."""
        rows: list[dict[str, Any]] = []
        for name, check in self._checks.items():
            try:
                findings = await asyncio.to_thread(check)
            except InferryError as error:
                findings = [Finding("fail", error.message, error.help)]
            except Exception as error:
                log.exception("check %s failed", name)
                findings = [
                    Finding("fail", f"The check itself failed ({type(error).__name__}).", "See logs/control.log.")
                ]
            rows += [
                {
                    "name": name,
                    "ok": finding.level != "fail",
                    "level": finding.level,
                    "detail": finding.detail,
                    "help": finding.help,
                }
                for finding in findings
            ]
        return {"ok": all(row["ok"] for row in rows), "checks": rows}
