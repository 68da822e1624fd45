"""What the custom resources that the chart makes may look like: the fields that it uses, and no other.

Written down from the definitions of the Gateway API (v1) and of the Prometheus operator (monitoring.coreos.com/v1), for
the package with the schemas of Kubernetes itself has none of these.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def block(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """An object with these members and no other."""
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def listed(items: Schema, least: int = 0, most: int | None = None) -> Schema:
    """A list of these."""
    return {"type": "array", "items": items, "minItems": least, **({"maxItems": most} if most else {})}


TEXT: Schema = {"type": "string", "minLength": 1}
TRUE_OR_FALSE: Schema = {"type": "boolean"}
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
LABELS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
NAME: Schema = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "maxLength": 253}
HOST: Schema = {
    "type": "string",
    "pattern": r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
}
DURATION: Schema = {"type": "string", "pattern": r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$", "minLength": 1}
METADATA = {
    "type": "object",
    "properties": {"name": NAME, "namespace": NAME, "labels": LABELS, "annotations": LABELS},
    "required": ["name"],
    "additionalProperties": False,
}

REFERENCE = block(("name",), group={"type": "string"}, kind=TEXT, name=NAME, namespace=NAME, port=PORT)
PATH_MATCH = block(
    type={"enum": ["Exact", "PathPrefix", "RegularExpression"]}, value={"type": "string", "pattern": "^/"}
)
ROUTE_RULE = block(
    name=TEXT,
    matches=listed(block(path=PATH_MATCH, headers=listed({"type": "object"}), method=TEXT), most=64),
    filters=listed(block(("type",), type=TEXT, requestHeaderModifier={"type": "object"}), most=16),
    backendRefs=listed({**REFERENCE, "properties": {**REFERENCE["properties"], "weight": {"type": "integer"}}}, 1, 16),
    timeouts=block(request=DURATION, backendRequest=DURATION),
)
HTTP_ROUTE = block(
    ("parentRefs", "rules"),
    parentRefs=listed({**REFERENCE, "properties": {**REFERENCE["properties"], "sectionName": NAME}}, 1, 32),
    hostnames=listed(HOST, 1, 16),
    rules=listed(ROUTE_RULE, 1, 16),
)

RELABELING = block(
    sourceLabels=listed(TEXT), targetLabel=TEXT, regex=TEXT, replacement={"type": "string"}, action=TEXT, separator=TEXT
)
ENDPOINT = block(
    ("port",),
    port=NAME,
    path={"type": "string", "pattern": "^/"},
    interval=DURATION,
    scrapeTimeout=DURATION,
    honorLabels=TRUE_OR_FALSE,
    relabelings=listed(RELABELING, 1),
    metricRelabelings=listed(RELABELING, 1),
)
SELECTOR = block(("matchLabels",), matchLabels={**LABELS, "minProperties": 1})
SERVICE_MONITOR = block(("selector", "endpoints"), jobLabel=TEXT, selector=SELECTOR, endpoints=listed(ENDPOINT, 1))
POD_MONITOR = block(
    ("selector", "podMetricsEndpoints"), jobLabel=TEXT, selector=SELECTOR, podMetricsEndpoints=listed(ENDPOINT, 1)
)

ALERT = block(("alert", "expr"), alert=TEXT, expr=TEXT, labels=LABELS, annotations=LABELS, **{"for": DURATION})
RECORD = block(("record", "expr"), record=TEXT, expr=TEXT, labels=LABELS)
PROMETHEUS_RULE = block(
    ("groups",), groups=listed(block(("name", "rules"), name=TEXT, rules=listed({"anyOf": [ALERT, RECORD]}, 1)), 1)
)

SPECS = {
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): HTTP_ROUTE,
    ("monitoring.coreos.com/v1", "ServiceMonitor"): SERVICE_MONITOR,
    ("monitoring.coreos.com/v1", "PodMonitor"): POD_MONITOR,
    ("monitoring.coreos.com/v1", "PrometheusRule"): PROMETHEUS_RULE,
}

SCHEMAS: dict[tuple[str, str], Schema] = {
    (version, kind): block(("spec",), apiVersion=TEXT, kind=TEXT, metadata=METADATA, spec=spec)
    for (version, kind), spec in SPECS.items()
}
"""The schema of each custom resource, by apiVersion and kind."""
