"""Report: what came of the gates, for the tools that read test results, and for pull requests.

Data flow: Report -> JUnit XML (one test case a gate), Markdown (a table, and why what failed did).
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from inferry.types.trials import Report

MARKS = {"passed": "passed", "failed": "**failed**", "skipped": "skipped"}
_UNFIT = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Report) -> bytes:
    """JUnit XML."""
    counts = {verdict: str(sum(one.verdict == verdict for one in report.results)) for verdict in MARKS}
    numbers = {
        "tests": str(len(report.results)), "failures": counts["failed"], "errors": "0", "skipped": counts["skipped"],
        "time": f"{report.seconds:.3f}",
    }  # fmt: skip
    root = ElementTree.Element("testsuites", {"name": "inferry test", **numbers})
    suite = ElementTree.SubElement(root, "testsuite", {"name": fit(report.target), **numbers})
    for one in report.results:
        facts = {"classname": f"{fit(report.target)}.{one.gate}", "name": fit(one.name), "time": f"{one.seconds:.3f}"}
        case = ElementTree.SubElement(suite, "testcase", facts)
        told = fit("\n".join(f"{found.verdict}: {found.words}" for found in one.findings))
        if one.verdict == "failed":
            ElementTree.SubElement(case, "failure", {"message": fit(one.words.splitlines()[0])}).text = told
        elif one.verdict == "skipped":
            ElementTree.SubElement(case, "skipped", {"message": fit(one.words)})
        else:
            ElementTree.SubElement(case, "system-out").text = told
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def markdown(report: Report) -> str:
    """A table of the gates, and below it all that failed."""
    failed = [one for one in report.results if one.verdict == "failed"]
    said = "passed all gates" if not failed else f"failed {len(failed)} of {len(report.results)} gates"
    lines = [f"## {escape(report.target)} {said}", "", "| gate | verdict | why |", "|---|---|---|"]
    lines += [
        f"| {escape(one.name)} | {MARKS[one.verdict]} | {escape(first_line(one.words))} |" for one in report.results
    ]
    for one in failed:
        lines += ["", f"### {escape(one.name)}", ""]
        for found in one.findings:
            if found.verdict == "failed" and "\n" in found.words:
                head, _, rest = found.words.partition("\n")
                lines += [f"- {escape(head)}", "", *(f"      {line}" for line in rest.splitlines()), ""]
            elif found.verdict == "failed":
                lines.append(f"- {escape(found.words)}")
    lines += ["", f"Bundle `{report.bundle[:12]}`, {report.seconds:.1f} s on {escape(report.machine)}."]
    return "\n".join(lines) + "\n"


def first_line(text: str) -> str:
    """The first line of a text."""
    return text.partition("\n")[0]


def escape(text: str) -> str:
    """Text that Markdown shows as it is, in a table too."""
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", text.replace("\n", " "))


def fit(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return _UNFIT.sub("\ufffd", text)
