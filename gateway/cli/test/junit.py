"""Results of policy tests as JUnit XML, as build servers read it: one `testsuite` a file, one `testcase` a test."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from gateway.cli.test.judge import Report, Result

# XML 1.0 §2.2 has no way to write these, not even escaped; a name in the file may hold them all the same.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def document(reports: Sequence[Report]) -> bytes:
    """The XML document, in UTF-8."""
    suites = [_suite(report) for report in reports]
    root = ElementTree.Element(
        "testsuites", {"name": "oauth-gateway", **_counts([r for each in reports for r in each.results])}
    )
    root.extend(suites)
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def _counts(results: Sequence[Result]) -> dict[str, str]:
    failed = sum(not result.is_passed for result in results)
    seconds = sum(result.seconds for result in results)
    return {
        "tests": str(len(results)),
        "failures": str(failed),
        "errors": "0",
        "skipped": "0",
        "time": f"{seconds:.3f}",
    }


def _suite(report: Report) -> ElementTree.Element:
    file = _writable(report.suite.file)
    suite = ElementTree.Element("testsuite", {"name": file, **_counts(report.results)})
    suite.extend(_case(file, result) for result in report.results)
    return suite


def _case(file: str, result: Result) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase",
        classname=file,
        name=_writable(result.case.block.name),
        file=file,
        line=str(result.case.where.line),
        time=f"{result.seconds:.3f}",
    )
    if not result.is_passed:
        failure = ElementTree.SubElement(case, "failure", type="policy", message=_writable(result.message))
        failure.text = _writable("\n".join([*result.differences, "", *result.explanation.lines()]))
    return case


def _writable(text: str) -> str:
    return _UNWRITABLE.sub("\ufffd", text)
