"""One OpenTelemetry span for each request, sent by OTLP over HTTP in the background; needs the extra `otel`.

The span is made when the request has ended, from its record, so tracing costs the request nothing while it runs.
Attributes follow the HTTP semantic conventions; there is never a query, a subject or a token among them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from gateway import __version__
from gateway.record import RequestRecord

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

logger = logging.getLogger(__name__)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"})
_PATIENCE = 5.0


class Tracing:
    """Makes a SERVER span of each record it is called with. A traceparent of the client is its parent."""

    def __init__(
        self,
        processor: SpanProcessor,
        environ: Mapping[str, str],
        *,
        now: Callable[[], int] = time.time_ns,
        patience: float = _PATIENCE,
    ) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._processor = processor
        self._now = now
        self._patience = patience
        provider = TracerProvider(resource=Resource.create(_service(environ)), shutdown_on_exit=False)
        provider.add_span_processor(processor)
        self._tracer = provider.get_tracer("oauth-gateway", __version__)
        self._parent = TraceContextTextMapPropagator().extract
        self._kind = SpanKind.SERVER
        self._failed = Status(StatusCode.ERROR)

    def __call__(self, record: RequestRecord) -> None:
        """Tell of one request that has just ended."""
        end = self._now()
        method = record.method if record.method in _METHODS else "HTTP"
        span = self._tracer.start_span(
            f"{method} {record.route}" if record.route else method,
            context=self._parent({"traceparent": record.traceparent}) if record.traceparent else None,
            kind=self._kind,
            attributes=_attributes(record),
            start_time=end - int(record.seconds * 1e9),
        )
        if record.status >= 500:
            span.set_status(self._failed)
        span.end(end)

    def shutdown(self) -> None:
        """Send what is left, for `patience` seconds at most, and stop. Blocks."""
        # The library waits half a minute for a collector that doesn't answer; nobody can wait that long to stop.
        last = threading.Thread(target=self._processor.shutdown, daemon=True)
        last.start()
        last.join(self._patience)


def tracing(environ: Mapping[str, str], *, patience: float = _PATIENCE) -> Tracing | None:
    """Tracing as the `OTEL_*` variables ask for; None when they name no endpoint, or it can't be done.

    Other variables of the exporter (headers, certificates, batches, sampling) are read by the library itself.
    """
    endpoint = _endpoint(environ)
    if endpoint is None or _is_switched_off(environ):
        return None
    protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol and protocol != "http/protobuf":
        logger.warning("no traces: only the OTLP protocol http/protobuf is supported; the environment asks for another")
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        logger.warning("no traces: an OTLP endpoint is set; install the extra: pip install 'oauth-gateway[otel]'")
        return None
    return Tracing(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)), environ, patience=patience)


def _endpoint(environ: Mapping[str, str]) -> str | None:
    """Where traces go: the variable for traces as it is, the general one with the path that OTLP adds to it."""
    if own := environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        return own
    if general := environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return f"{general.rstrip('/')}/v1/traces"
    return None


def _is_switched_off(environ: Mapping[str, str]) -> bool:
    disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return disabled or environ.get("OTEL_TRACES_EXPORTER", "otlp").strip() == "none"


def _service(environ: Mapping[str, str]) -> dict[str, str]:
    """Our own name, unless the operator gave one: what is passed to the library wins over the environment."""
    attributes = {"service.version": __version__}
    if name := environ.get("OTEL_SERVICE_NAME"):
        attributes["service.name"] = name
    elif "service.name=" not in environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        attributes["service.name"] = "oauth-gateway"
    return attributes


def _attributes(record: RequestRecord) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "http.request.method": record.method if record.method in _METHODS else "_OTHER",
        "http.response.status_code": record.status,
    }
    host, _, port = record.host.rpartition(":")
    if port.isdigit():
        attributes["server.port"] = int(port)
    texts = {
        "url.path": record.path,
        "server.address": host if port.isdigit() else record.host,
        "client.address": record.client_ip,
        "error.type": str(record.status) if record.status >= 500 else None,
        "gateway.request_id": record.request_id,
        "gateway.route": record.route,
        "gateway.decision": record.decision,
        "gateway.reason": record.reason,
        "gateway.upstream": record.upstream,
    }
    attributes.update({name: text for name, text in texts.items() if text})
    return attributes
