"""Spans as a collector gets them: a receiver of OTLP over HTTP on loopback decodes what is really sent."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from gateway import __version__
from gateway.process.traces import tracing
from gateway.record import RequestRecord

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


class Collector:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.exports: list[ExportTraceServiceRequest] = []
        self.paths: list[str] = []
        self.url = ""

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and body.startswith(b"\x1f\x8b"):
            body = gzip.decompress(body)
        self.exports.append(ExportTraceServiceRequest.FromString(body))
        self.paths.append(request.path)
        return web.Response(content_type="application/x-protobuf")

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for export in self.exports
            for resource in export.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def resource(self) -> dict[str, str]:
        attributes = self.exports[0].resource_spans[0].resource.attributes
        return {attribute.key: attribute.value.string_value for attribute in attributes}


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    collector = Collector()
    application = web.Application()
    application.router.add_post("/{path:.*}", collector.receive)
    async with TestServer(application) as server:
        collector.url = str(server.make_url("/")).rstrip("/")
        yield collector


def record_of(method: str = "GET", status: int = 200, traceparent: str = "") -> RequestRecord:
    record = RequestRecord(method, 0.0, "r-1")
    record.host, record.path, record.client_ip = "api.example:8443", "/orders/7", "192.0.2.1"
    record.route, record.decision, record.status = "orders", "allow", status
    record.upstream = "orders-api"
    record.subject, record.client_id, record.token_id = "secret-subject", "secret-client", "secret-token"
    record.seconds, record.traceparent = 0.25, traceparent
    return record


async def sent(collector: Collector, *records: RequestRecord, **environ: str) -> list[Span]:
    """The spans that arrive when these requests have ended and the gateway stops."""
    traces = tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **environ})
    assert traces is not None
    for record in records:
        traces(record)
    await asyncio.to_thread(traces.shutdown)
    return collector.spans


def attributes(span: Span) -> dict[str, str | int]:
    return {
        attribute.key: attribute.value.string_value
        if attribute.value.HasField("string_value")
        else attribute.value.int_value
        for attribute in span.attributes
    }


async def test_a_request_is_a_server_span_with_the_conventional_attributes(collector: Collector) -> None:
    (span,) = await sent(collector, record_of())
    assert span.kind == Span.SPAN_KIND_SERVER
    assert span.name == "GET orders"
    assert attributes(span) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "url.path": "/orders/7",
        "server.address": "api.example",
        "server.port": 8443,
        "client.address": "192.0.2.1",
        "gateway.request_id": "r-1",
        "gateway.route": "orders",
        "gateway.decision": "allow",
        "gateway.upstream": "orders-api",
    }


async def test_a_span_lasts_as_long_as_its_request_and_ends_now(collector: Collector) -> None:
    before = time.time_ns()
    (span,) = await sent(collector, record_of())
    assert span.end_time_unix_nano - span.start_time_unix_nano == 250_000_000
    assert before <= span.end_time_unix_nano <= time.time_ns()


async def test_the_client_s_trace_goes_on(collector: Collector) -> None:
    (span,) = await sent(collector, record_of(traceparent=f"00-{TRACE}-{PARENT}-01"))
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)


async def test_without_a_trace_of_the_client_each_request_is_its_own(collector: Collector) -> None:
    first, second = await sent(collector, record_of(), record_of())
    assert first.parent_span_id == second.parent_span_id == b""
    assert first.trace_id != second.trace_id


async def test_a_trace_that_the_client_does_not_sample_is_not_sent(collector: Collector) -> None:
    assert await sent(collector, record_of(traceparent=f"00-{TRACE}-{PARENT}-00")) == []


@pytest.mark.parametrize("traceparent", ["nonsense", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01\r\nx"])
async def test_a_broken_traceparent_is_no_parent(collector: Collector, traceparent: str) -> None:
    (span,) = await sent(collector, record_of(traceparent=traceparent))
    assert span.parent_span_id == b""


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (200, Status.STATUS_CODE_UNSET, None),
        (403, Status.STATUS_CODE_UNSET, None),
        (502, Status.STATUS_CODE_ERROR, "502"),
    ],
)
async def test_only_the_server_s_own_failures_are_errors(
    collector: Collector, status: int, code: int, error: str | None
) -> None:
    (span,) = await sent(collector, record_of(status=status))
    assert span.status.code == code
    assert attributes(span).get("error.type") == error


async def test_a_refusal_tells_its_reason(collector: Collector) -> None:
    record = record_of(status=403)
    record.decision, record.reason = "refuse", "insufficient_scope"
    (span,) = await sent(collector, record)
    assert attributes(span)["gateway.decision"] == "refuse"
    assert attributes(span)["gateway.reason"] == "insufficient_scope"


async def test_a_method_that_the_client_made_up_is_not_repeated(collector: Collector) -> None:
    record = record_of("X-EVIL")
    record.route = None
    (span,) = await sent(collector, record)
    assert (span.name, attributes(span)["http.request.method"]) == ("HTTP", "_OTHER")


async def test_no_subject_client_or_token_is_sent(collector: Collector) -> None:
    await sent(collector, record_of())
    assert b"secret" not in collector.exports[0].SerializeToString()


@pytest.mark.parametrize("host", ["api.example", "[2001:db8::1]", ""])
async def test_a_host_without_a_port_has_none(collector: Collector, host: str) -> None:
    record = record_of()
    record.host = host
    (span,) = await sent(collector, record)
    assert attributes(span).get("server.address", "") == host
    assert "server.port" not in attributes(span)


@pytest.mark.parametrize(
    ("environ", "name"),
    [({}, "oauth-gateway"), ({"OTEL_SERVICE_NAME": "edge"}, "edge")],
    ids=["of its own", "given"],
)
async def test_the_service_has_a_name(collector: Collector, environ: dict[str, str], name: str) -> None:
    await sent(collector, record_of(), **environ)
    assert (collector.resource["service.name"], collector.resource["service.version"]) == (name, __version__)


@pytest.mark.parametrize(
    ("variable", "suffix", "path"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "", "/v1/traces"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "/otlp/", "/otlp/v1/traces"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/mine", "/mine"),
    ],
)
async def test_traces_go_where_the_environment_says(
    collector: Collector, variable: str, suffix: str, path: str
) -> None:
    await sent(collector, record_of(), **{variable: collector.url + suffix})
    assert collector.paths == [path]


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_without_an_endpoint_or_switched_off_there_are_no_traces(environ: dict[str, str]) -> None:
    assert tracing(environ) is None


def test_a_protocol_that_is_not_spoken_is_told(caplog: pytest.LogCaptureFixture) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    assert tracing(environ) is None
    assert "http/protobuf" in caplog.text


async def test_a_collector_that_does_not_answer_holds_the_stop_up_only_for_a_moment() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    script = (
        "import time\n"
        "from gateway.process.traces import tracing\n"
        "from gateway.record import RequestRecord\n"
        f"traces = tracing({{'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://127.0.0.1:{port}'}}, patience=0.3)\n"
        "traces(RequestRecord('GET', 0.0))\n"
        "start = time.monotonic()\n"
        "traces.shutdown()\n"
        "print(time.monotonic() - start)\n"
    )
    async with silent:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
        output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert 0.2 < float(output) < 3.0


def test_without_the_extra_the_log_says_what_to_install() -> None:
    script = (
        "import sys\n"
        "sys.modules['opentelemetry'] = None  # as if it were not installed\n"
        "from gateway.process import logs, traces\n"
        "logs.configure('info', 'json')\n"
        "assert traces.tracing({}) is None\n"
        "assert traces.tracing({'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://127.0.0.1:1'}) is None\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert "oauth-gateway[otel]" in json.loads(done.stderr)["event"]
