"""What README and docs say of the chart: values render, commands do what they say, notes tell what to try."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.rendering import (
    CHART,
    ROOT,
    VERSIONS,
    check_object,
    helm_template,
    objects,
    render,
    run_tool,
)

DOCUMENTS = (ROOT / "README.md", ROOT / "docs/kubernetes.md", CHART / "README.md")


def blocks(language: str) -> list[Any]:
    """Every fenced block in that language, with its place as its name."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for block in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, block.start()) + 1
            found.append(pytest.param(block[1], id=f"{document.relative_to(ROOT)}:{line}"))
    return found


def commands() -> list[Any]:
    """Each command line of helm, of kubectl with files of the repository, and what is shown below it."""
    found = []
    for param in blocks("console"):
        for block in re.split(r"^(?=\$ )", param.values[0], flags=re.MULTILINE):
            line, _, output = block.partition("\n")
            if line.startswith(("$ helm ", "$ kubectl apply ")):
                words = shlex.split(line[2:], comments=True)
                found.append(pytest.param(words, output.strip(), id=f"{param.id} {line[2:50]}"))
    return found


@pytest.mark.parametrize("text", blocks("yaml values"))
def test_values_in_a_document_render(text: str) -> None:
    made = render(yaml.safe_load(text))
    for version in VERSIONS:
        for found in made:
            check_object(found, version)


@pytest.mark.parametrize("text", blocks("yaml chart"))
def test_the_dependency_in_a_document_is_that_of_the_example(text: str) -> None:
    example = yaml.safe_load((ROOT / "helm/examples/orders/Chart.yaml").read_text())
    assert yaml.safe_load(text)["dependencies"] == example["dependencies"]


@pytest.mark.parametrize(("words", "output"), commands())
def test_a_command_in_a_document_does_what_it_says(words: list[str], output: str) -> None:
    program, verb, *rest = words
    redirected = rest.index(">") if ">" in rest else len(rest)
    arguments = rest[:redirected]
    if program == "kubectl":
        flag, folder = arguments
        assert (flag, (ROOT / folder).is_dir()) in {("-f", True), ("-k", True)}
        assert (ROOT / folder / "kustomization.yaml").exists() == (flag == "-k")
        return
    if verb == "test":
        assert (CHART / "templates/tests/ready.yaml").exists()
        return
    # What goes into a cluster is rendered the same.
    options = [argument for argument in arguments if argument != "--install"]
    done = run_tool("helm", "template", *options)
    if output:
        assert done.stderr.strip().removesuffix("Use --debug flag to render out invalid YAML").strip() == output
        return
    assert done.returncode == 0, done.stderr
    made = objects(done.stdout)
    assert len(made) > 5
    for version in VERSIONS:
        for found in made:
            check_object(found, version)


def test_the_documents_have_commands_and_values_to_check() -> None:
    assert len(commands()) >= 8
    assert len(blocks("yaml values")) >= 5


def test_links_of_the_charts_readme_lead_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)\s#]+)", (CHART / "README.md").read_text())
    assert targets
    assert [target for target in targets if not (CHART / target).exists()] == []


def test_every_template_for_other_charts_is_documented() -> None:
    defined = re.findall(r'define "(oauth-gateway\.sidecar\.\w+)"', (CHART / "templates/_sidecar.tpl").read_text())
    text = (CHART / "README.md").read_text()
    assert len(defined) == 3
    assert all(f"`{name}`" in text for name in defined)


def notes(values: dict[str, Any], folder: Path) -> str:
    """NOTES.txt, which helm renders only for a cluster: here as the text of a ConfigMap."""
    chart = Path(shutil.copytree(CHART, folder / "chart"))
    (chart / "templates/NOTES.txt").rename(chart / "NOTES.txt")
    (chart / "templates/notes.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\ndata:\n  notes: |\n"
        '    {{- tpl (.Files.Get "NOTES.txt") . | nindent 4 }}\n'
    )
    code, output, errors = helm_template(values, "-s", "templates/notes.yaml", chart=chart)
    assert code == 0, errors
    return objects(output)[0]["data"]["notes"]


HELLO = {"routes": [{"path": "/x", "public": True, "respond": {"status": 204}}]}


@pytest.mark.parametrize(
    ("values", "said", "unsaid"),
    [
        ({}, "NOTHING IS GUARDED YET", "sidecar"),
        ({"config": HELLO}, "port-forward service/shop-oauth-gateway 8080:80", "NOTHING IS GUARDED"),
        ({"existingConfigMap": "mine"}, "helm -n web test shop", "NOTHING IS GUARDED"),
        (
            {
                "config": HELLO,
                "ingress": {"enabled": True, "hosts": [{"host": "a.example"}], "tls": [{"secretName": "t"}]},
            },
            "curl -i https://a.example/",
            "port-forward service",
        ),
        (
            {
                "config": HELLO,
                "httpRoute": {"enabled": True, "parentRefs": [{"name": "p"}], "hostnames": ["b.example"]},
            },
            "curl -i https://b.example/",
            "port-forward service",
        ),
        ({"config": HELLO, "service": {"type": "LoadBalancer"}}, "EXTERNAL-IP", "port-forward service"),
        ({"mode": "sidecar", "config": HELLO}, "exec POD -c gateway -- oauth-gateway health", "rollout status"),
    ],
)
def test_the_notes_say_what_to_try(values: dict[str, Any], said: str, unsaid: str, tmp_path: Path) -> None:
    text = notes(values, tmp_path)
    assert said in text
    assert unsaid not in text
    assert "<no value>" not in text
