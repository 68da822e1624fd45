"""Runs policy tests: each request decided by the code of live traffic, the verdict held against the test.

Nothing is asked of the network: issuers are stood in for, upstreams are never started, and Redis is left out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gateway import build
from gateway.app import Gateway
from gateway.cli.test.file import Case, ExpectBlock, Suite, UpstreamBlock
from gateway.cli.test.issuing import OfflineIssuer
from gateway.config import Config
from gateway.explanation import Explanation, explain
from gateway.record import Step


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one test: nothing but its name if it passed, else what was expected and what was got."""

    case: Case
    explanation: Explanation = field(repr=False)
    differences: tuple[str, ...]
    seconds: float

    @property
    def is_passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.differences

    @property
    def message(self) -> str:
        """All that was different, on one line."""
        return "; ".join(self.differences)


@dataclass(frozen=True, slots=True)
class Report:
    """The results of one file."""

    suite: Suite
    results: Sequence[Result]

    @property
    def failed(self) -> int:
        """How many tests did not come out as expected."""
        return sum(not result.is_passed for result in self.results)


async def run(config: Config, suites: Sequence[Suite]) -> list[Report]:
    """All tests, one after the other. Raises `ConfigError` when the configuration can't be built."""
    issuers = {name: OfflineIssuer(name, issuer) for name, issuer in config.issuers.items()}
    # Whether Redis is there must not matter, and a test's deny list is empty.
    alone = config.model_copy(update={"redis": None})
    gateway = build.build(alone, stand_ins={name: issuer.stand_in for name, issuer in issuers.items()})
    try:
        return [Report(suite, [await _result(gateway, issuers, case) for case in suite.cases]) for suite in suites]
    finally:
        await gateway.close()


async def _result(gateway: Gateway, issuers: Mapping[str, OfflineIssuer], case: Case) -> Result:
    started = time.perf_counter()
    request, wanted = case.block.request, case.block.token
    headers = [(name, value) for name, values in request.headers.items() for value in values]
    token = issuers[wanted.issuer].token(wanted) if wanted is not None else None
    explanation = await explain(gateway, request.method, request.url, token, headers, peer=request.peer)
    differences = tuple(_differences(case.block.expect, explanation))
    return Result(case, explanation, differences, time.perf_counter() - started)


def _differences(expect: ExpectBlock, got: Explanation) -> Iterator[str]:
    if (expect.allow is None) is got.allowed or not _is_refused_so(expect, got):
        yield f"expected {_wanted(expect)}, got {_verdict(got)}"
        return
    shadow = _shadow(got)
    if expect.would_refuse is not None and (shadow is None or _reason(shadow) != expect.would_refuse):
        told = _told(shadow) if shadow is not None else "no refusal"
        yield f"expected that enforced it would be {expect.would_refuse}, got {told}"
    if expect.route is not None and expect.route != got.route:
        yield f"expected route {expect.route}, got {_route(got)}"
    if expect.upstream is not None:
        yield from _differences_upstream(expect.upstream, got)


def _is_refused_so(expect: ExpectBlock, got: Explanation) -> bool:
    return expect.status in (None, got.status) and expect.reason in (None, got.reason)


def _differences_upstream(expect: UpstreamBlock, got: Explanation) -> Iterator[str]:
    sent = got.upstream_request
    if sent is None:
        yield f"expected a request to an upstream, got an answer of the gateway's own by route {_route(got)}"
        return
    for what, wanted, there in (("method", expect.method, sent.method), ("target", expect.target, sent.target)):
        if wanted is not None and wanted != there:
            yield f"expected upstream {what} {wanted}, got {there}"
    headers = {name.lower(): value for name, value in sent.headers.items()}
    for name, value in expect.headers.items():
        found = headers.get(name.lower())
        if value != found:
            yield f"expected upstream header {_header(name, value)}, got {_header(name, found)}"


def _header(name: str, value: str | None) -> str:
    return f"no {name}" if value is None else f"{name}: {value}"


def _wanted(expect: ExpectBlock) -> str:
    if expect.allow is not None:
        return "allowed"
    return " ".join(str(part) for part in (expect.status, expect.reason) if part is not None)


def _verdict(got: Explanation) -> str:
    """What was decided, why, and the line of the configuration that decided it."""
    if got.allowed:
        return f"allowed by route {_route(got)}"
    # The last step is the one that failed; what it tells begins with the reason. One that no line of the configuration
    # asks for, such as the time, belongs to the issuer or the route before it.
    where = next((step.where for step in reversed(got.steps) if step.where), "")
    return f"{got.status} {got.steps[-1].detail}{f' ({where})' if where else ''}"


def _told(step: Step) -> str:
    return f"{step.detail} ({step.where})" if step.where else step.detail


def _route(got: Explanation) -> str:
    where = next((step.where for step in got.steps if step.step == "route" and step.ok), "")
    return f"{got.route or 'none'} ({where})" if where else got.route or "none"


def _shadow(got: Explanation) -> Step | None:
    """The refusal that a route does not enforce."""
    return next((step for step in got.steps if step.step == "shadow"), None)


def _reason(step: Step) -> str:
    return step.detail.partition(":")[0]
