"""JUnit XML of policy tests: well-formed whatever names hold, with the counts and the failures."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from gateway.cli.test import judge, junit
from tests.cli.test.suites import configuration, suite

NAMES = ["<script>\"&amp;'", "two\nlines\tand a tab", "\x01\x1b[31m", "ünïcödé 🔑"]


@pytest.fixture
async def root(tmp_path: Path) -> ElementTree.Element:
    tests = [
        {"name": name, "request": {"url": "/hello"}, "expect": {"allow": True} if number % 2 else {"status": 401}}
        for number, name in enumerate(NAMES)
    ]
    config = configuration()
    reports = await judge.run(config, [suite(tmp_path, *tests, config=config)] * 2)
    document = junit.document(reports)
    assert document.startswith(b"<?xml version='1.0' encoding='utf-8'?>\n<testsuites ")
    return ElementTree.fromstring(document)


async def test_each_file_is_a_suite_with_its_counts(root: ElementTree.Element, tmp_path: Path) -> None:
    assert (root.tag, root.get("tests"), root.get("failures")) == ("testsuites", "8", "4")
    assert [(each.tag, each.get("name")) for each in root] == [("testsuite", f"{tmp_path}/policy.yaml")] * 2
    for each in root:
        counts = [each.get(name) for name in ("tests", "failures", "errors", "skipped")]
        assert counts == ["4", "2", "0", "0"]
        assert float(each.get("time", "")) >= 0


async def test_names_come_through_and_what_xml_can_not_hold_is_replaced(root: ElementTree.Element) -> None:
    replaced = [NAMES[0], NAMES[1], "\ufffd\ufffd[31m", NAMES[3]]
    assert [case.get("name") for case in root[0]] == replaced
    assert {case.get("line") for case in root[0]} == {"1"}


async def test_a_failure_says_what_was_expected_and_each_step(root: ElementTree.Element) -> None:
    failures = [case.find("failure") for case in root[0]]
    assert [failure is not None for failure in failures] == [True, False, True, False]
    failure = failures[0]
    assert failure is not None
    assert failure.get("message") == "expected 401, got allowed by route hello (<mapping>)"
    assert "ok  public  the route is public: no token is looked at\n=> allowed" in (failure.text or "")
