"""Alerts, dashboard and monitors speak of metrics and labels that a running gateway has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.gateway_process import serving
from tests.helm.rendering import CHART, one, render
from tests.services import Service, free_port
from tests.world import AUDIENCE, ISSUER, mint, public_jwks

TARGET = {"namespace", "job", "pod", "instance", "le"}
"""Labels that Prometheus adds, and the one of every histogram."""

NAMED: Mapping[str, set[str]] = {
    "gateway_upstream_healthy": {"upstream", "endpoint"},
    "gateway_rate_limited_total": {"route"},
}
"""Metrics that a gateway without health checks and rate limits need not have, and their labels."""


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory, redis_server: Service) -> dict[str, set[str]]:
    """Every series' name, and its labels where it has been counted, of a gateway that has had every kind of request."""
    folder, port = tmp_path_factory.mktemp("gateway"), free_port()
    (folder / "jwks.json").write_text(public_jwks())
    issuer = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "jwks_file": str(folder / "jwks.json"),
        # Nobody listens there: opaque tokens are counted as failures of the issuer.
        "introspection": {"endpoint": f"http://127.0.0.1:{free_port()}/", "client_id": "g", "client_secret": "s"},
    }
    configuration = {
        "issuers": {"corp": issuer},
        "redis": {"url": f"redis://127.0.0.1:{redis_server.port}/0", "key_prefix": "monitoring:"},
        "upstreams": {"itself": {"url": f"http://127.0.0.1:{port}"}},
        "routes": [
            {"name": "own", "path": "/own", "respond": {"status": 204}},
            {"name": "sent", "path": "/sent", "upstream": "itself", "rewrite": "/hello"},
            {"name": "hello", "path": "/hello", "public": True, "respond": {"status": 204}},
        ],
    }
    with serving(folder, port, free_port(), configuration) as gateway:
        assert gateway.ask("/own", mint())[0] == 204
        assert gateway.ask("/own")[0] == 401
        assert gateway.ask("/own", "opaque")[0] == 503
        assert gateway.ask("/sent", mint())[0] == 204
        text = gateway.admin("/metrics")[1]
    found = {name: set(labels) for name, labels in NAMED.items()}
    for family, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        for suffix in ("_bucket", "_sum", "_count") if kind == "histogram" else ("",):
            found.setdefault(f"{family}{suffix}", set())
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def alerts() -> list[dict[str, Any]]:
    return yaml.safe_load((CHART / "files/alerts.yaml").read_text())["rules"]


def dashboard() -> dict[str, Any]:
    return json.loads((CHART / "files/dashboard.json").read_text())


def expressions() -> Iterator[tuple[str, str]]:
    """Every query of the chart with the name of what asks it."""
    for alert in alerts():
        yield alert["alert"], alert["expr"].replace("SELECTOR", 'namespace="x",job="y"')
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


QUERIES = [pytest.param(query, id=f"{title} {number}") for number, (title, query) in enumerate(expressions())]


@pytest.mark.parametrize("query", QUERIES)
def test_every_metric_and_label_of_a_query_is_there(query: str, metrics: Mapping[str, set[str]]) -> None:
    names = set(re.findall(r"\bgateway_\w+", query))
    assert names
    for name in names:
        assert name in metrics, f"there is no metric {name}"
    for name, matchers in re.findall(r"\b(gateway_\w+)\{([^}]*)\}", query):
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', matchers)))
        assert {"namespace", "job"} <= labels, "a query without them speaks of other releases too"
        assert labels - TARGET <= metrics[name], f"{name} has no label {labels - TARGET - metrics[name]}"
    known = TARGET.union(*(metrics[name] for name in names))
    for grouping in re.findall(r"\bby \(([^)]*)\)", query):
        assert {label.strip() for label in grouping.split(",")} <= known
    assert all(query.count(a) == query.count(b) for a, b in ("()", "{}", "[]"))


def test_a_query_is_read_to_its_last_metric(metrics: Mapping[str, set[str]]) -> None:
    with pytest.raises(AssertionError, match="there is no metric gateway_requests_totall"):
        test_every_metric_and_label_of_a_query_is_there('sum(gateway_requests_totall{namespace="x",job="y"})', metrics)
    with pytest.raises(AssertionError, match="has no label"):
        test_every_metric_and_label_of_a_query_is_there(
            'sum(gateway_requests_total{namespace="x",job="y",staus="5"})', metrics
        )


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_says_what_happens_how_bad_it_is_and_what_it_means(alert: Mapping[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["description"]
    used = set(re.findall(r"\$labels\.(\w+)", json.dumps(alert["annotations"])))
    grouped = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", alert["expr"]) for label in group.split(",")}
    assert used <= grouped


def test_the_rule_speaks_of_this_release() -> None:
    rules = one(render({"prometheusRule": {"enabled": True}}), "PrometheusRule")["spec"]["groups"][0]["rules"]
    assert [rule["alert"] for rule in rules] == [alert["alert"] for alert in alerts()]
    assert all('namespace="web",job="shop"' in rule["expr"] for rule in rules)
    assert "SELECTOR" not in json.dumps(rules)


def test_alerts_can_be_left_out_labelled_and_added() -> None:
    values = {
        "enabled": True,
        "selector": 'cluster="a"',
        "disabled": ["OAuthGatewayAbsent"],
        "alertLabels": {"team": "web", "severity": "page"},
        "additionalRules": [{"alert": "Mine", "expr": "vector(1)"}],
    }
    rules = one(render({"prometheusRule": values}), "PrometheusRule")["spec"]["groups"][0]["rules"]
    names = [rule["alert"] for rule in rules]
    assert "OAuthGatewayAbsent" not in names
    assert names[-1] == "Mine"
    assert {(rule["labels"]["team"], rule["labels"]["severity"]) for rule in rules[:-1]} == {("web", "page")}
    assert 'gateway_redis_up{cluster="a"}' in json.dumps(rules).replace("\\", "")


def test_the_monitors_make_the_release_the_job() -> None:
    service = one(render({"serviceMonitor": {"enabled": True}}), "ServiceMonitor")["spec"]
    pods = one(render({"podMonitor": {"enabled": True}}), "PodMonitor")["spec"]
    assert service["jobLabel"] == pods["jobLabel"] == "app.kubernetes.io/instance"
    made = one(render({"serviceMonitor": {"enabled": True}}), "Service", "-admin")["metadata"]["labels"]
    assert service["selector"]["matchLabels"].items() <= made.items()
    assert made["app.kubernetes.io/instance"] == "shop"
    # The operator's own label `endpoint` would hide that of gateway_upstream_healthy.
    assert service["endpoints"][0]["honorLabels"] is pods["podMetricsEndpoints"][0]["honorLabels"] is True


def test_the_dashboard_is_in_a_configmap_that_grafana_finds() -> None:
    made = one(render({"dashboard": {"enabled": True}}), "ConfigMap", "-board")
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(made["data"]["oauth-gateway.json"]) == dashboard()


def test_the_panels_do_not_overlap_and_all_ask_the_chosen_source() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
    assert {variable["name"] for variable in dashboard()["templating"]["list"]} == {"datasource", "namespace", "job"}


def test_the_files_of_the_chart_are_where_its_templates_look() -> None:
    named = set()
    for template in CHART.glob("templates/**/*"):
        if template.is_file():
            named |= set(re.findall(r'\.Files\.Get "([^"]+)"', template.read_text()))
    assert named == {f"files/{file.name}" for file in CHART.glob("files/*")}
