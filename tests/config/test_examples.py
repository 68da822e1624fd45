"""The files of config/: each is good, and judges tokens of the shape that its issuer documents.

The test signs with a key of its own, so of each file a copy is used in which nothing but the source of the issuer's
keys is another.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml

from gateway import build
from gateway.config import load
from gateway.explanation import explain
from gateway.oauth.discovery import metadata_addresses
from tests.issuer import FakeIssuer, server_tls
from tests.world import public_jwks, signing_key

ROOT = Path(__file__).parent.parent.parent
FILES = sorted([*ROOT.glob("config/*.yaml"), *ROOT.glob("config/issuers/*.yaml")])
SECRETS = {
    # What has no default, for it is a secret: nothing starts without it.
    name: "s" * 32
    for name in ("ADMIN_TOKEN", "GATEWAY_SECRET", "REDIS_SEAL", "ZITADEL_CLIENT_ID", "ZITADEL_CLIENT_SECRET")
}
KEY_SOURCES = ("metadata", "jwks_uri", "jwks_file", "jwks", "tls", "introspection")


@pytest.fixture(scope="session")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The secrets, and a CA where the file names one of the cluster's."""
    folder = tmp_path_factory.mktemp("ca")
    server_tls(folder)
    certificate = (folder / "tls.pem").read_text().partition("-----BEGIN PRIVATE")[0]
    (folder / "ca.crt").write_text(certificate)
    return {**SECRETS, "KUBERNETES_CA": str(folder / "ca.crt")}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_file_passes_check(file: Path, environ: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "gateway", "check", "-c", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **environ})
    assert (checked.returncode, checked.stdout[:12]) == (0, "no problems:"), checked.stdout + checked.stderr


@dataclass(frozen=True)
class Example:
    """One issuer's file, and a token as this issuer makes it. A claim that is None is absent.

    `allowed` and `refused` are requests with what differs from that token: method and path, header parameters (with a
    colon before their names), claims; a refusal has its reason too.
    """

    name: str
    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    allowed: Mapping[str, tuple[str, Mapping[str, Any]]]
    refused: Mapping[str, tuple[str, Mapping[str, Any], str]]
    metadata: str | None = None
    """Where the issuer documents its metadata, for a file that leaves finding it to discovery."""
    upstream: Mapping[str, str] = field(default_factory=dict)
    """Header fields that the upstream receives with the first allowed request."""


JWT = {"typ": "JWT"}
READ = "GET /orders/1"
WRITE = "POST /orders/1"

KEYCLOAK = Example(
    "keycloak",
    JWT,
    {
        "iss": "https://login.example.com/realms/corp",
        "aud": ["orders-api", "account"],
        "sub": "f3f5a7a0-28c3-4a2c-9f0c-7a5f2d5f0a11",
        "jti": "onrtro:2b1c",
        "typ": "Bearer",
        "azp": "shop",
        "sid": "7f1c",
        "acr": "1",
        "realm_access": {"roles": ["offline_access", "clerk"]},
        "resource_access": {"orders-api": {"roles": ["refund"]}, "account": {"roles": ["view-profile"]}},
        "scope": "email orders profile",
        "preferred_username": "ann",
    },
    {
        "read": (READ, {}),
        "the header type of RFC 9068": (READ, {":typ": "at+jwt"}),
        "a realm role": (WRITE, {"scope": "email"}),
        "a client role": ("POST /orders/1/refund", {"scope": "email", "realm_access": None}),
        "a nonce, as older versions put it": (READ, {"nonce": "n"}),
    },
    {
        "ID token": (READ, {"typ": "ID", "aud": "orders-api", "at_hash": "x"}, "token_type_refused"),
        "refresh token": (READ, {"typ": "Refresh"}, "token_type_refused"),
        "no audience mapper": (READ, {"aud": "account"}, "audience_mismatch"),
        "other realm": (READ, {"iss": "https://login.example.com/realms/other"}, "issuer_unknown"),
        "without the scope basic": (READ, {"sub": None}, "claim_invalid"),
        "role of another client": (
            "POST /orders/1/refund",
            {"resource_access": {"shop": {"roles": ["refund"]}}},
            "claim_refused",
        ),
    },
    metadata="https://login.example.com/realms/corp/.well-known/openid-configuration",
    upstream={"X-Auth-Client-Id": "shop"},
)

AUTH0 = Example(
    "auth0",
    JWT,
    {
        "iss": "https://example.eu.auth0.com/",
        "sub": "auth0|123456",
        "aud": ["https://orders.example.com", "https://example.eu.auth0.com/userinfo"],
        "azp": "my_client_id",
        "scope": "openid profile read:orders write:orders",
        "permissions": ["write:orders"],
    },
    {
        "read": (READ, {}),
        "write": (WRITE, {}),
        "the RFC 9068 profile": (READ, {":typ": "at+jwt", "azp": None, "client_id": "my_client_id", "jti": "j"}),
        "a machine": (
            READ,
            {
                "sub": "my_client_id@clients",
                "aud": "https://orders.example.com",
                "gty": "client-credentials",
                "scope": "read:orders",
            },
        ),
    },
    {
        "ID token": (READ, {"aud": "my_client_id", "nonce": "n"}, "audience_mismatch"),
        "other API": (READ, {"aud": "https://billing.example.com"}, "audience_mismatch"),
        "other tenant": (READ, {"iss": "https://other.eu.auth0.com/"}, "issuer_unknown"),
        "issuer without the slash": (READ, {"iss": "https://example.eu.auth0.com"}, "issuer_unknown"),
        "the client may, the user may not": (WRITE, {"permissions": []}, "claim_refused"),
    },
    metadata="https://example.eu.auth0.com/.well-known/openid-configuration",
    upstream={"X-Auth-Client-Id": "my_client_id"},
)

OKTA = Example(
    "okta",
    {},
    {
        "ver": 1,
        "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
        "iss": "https://example.okta.com/oauth2/default",
        "aud": "api://default",
        "cid": "0oaiv94wtjW7DHvvj0g3",
        "uid": "00uiu4806ujQdl0Ha0g3",
        "scp": ["orders.read", "orders.write"],
        "sub": "ann@example.com",
        "groups": ["Everyone", "Clerks"],
    },
    {
        "read": (READ, {}),
        "write": (WRITE, {}),
        "a machine": (READ, {"uid": None, "groups": None, "sub": "0oaiv94wtjW7DHvvj0g3"}),
    },
    {
        "ID token": (READ, {"aud": "0oaiv94wtjW7DHvvj0g3", "at_hash": "x", "scp": None}, "audience_mismatch"),
        "org authorization server": (
            READ,
            {":typ": "application/okta-internal-at+jwt", "iss": "https://example.okta.com"},
            "issuer_unknown",
        ),
        "its header type": (READ, {":typ": "application/okta-internal-at+jwt"}, "token_type_refused"),
        "other authorization server": (READ, {"iss": "https://example.okta.com/oauth2/aus1"}, "issuer_unknown"),
        "other group": (WRITE, {"groups": ["Everyone"]}, "claim_refused"),
    },
    metadata="https://example.okta.com/.well-known/oauth-authorization-server/oauth2/default",
    upstream={"X-Auth-Client-Id": "0oaiv94wtjW7DHvvj0g3", "X-Auth-User-Id": "00uiu4806ujQdl0Ha0g3"},
)

TENANT, API = "00000000-0000-0000-0000-000000000000", "11111111-1111-1111-1111-111111111111"
ENTRA = Example(
    "entra-id",
    {**JWT, "x5t": "CNv0OI3RwqlHFEVnaoMAshCH2XE"},
    {
        "aud": API,
        "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
        "azp": "22222222-2222-2222-2222-222222222222",
        "azpacr": "0",
        "name": "Ann Example",
        "oid": "33333333-3333-3333-3333-333333333333",
        "preferred_username": "ann@example.com",
        "scp": "Orders.Read Orders.Write",
        "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
        "tid": TENANT,
        "ver": "2.0",
    },
    {
        "read": (READ, {}),
        "write": (WRITE, {}),
        "a client by itself": (WRITE, {"scp": None, "roles": ["Orders.Write.All"], "idtyp": "app"}),
    },
    {
        "ID token": (READ, {"azp": None, "scp": None, "nonce": "n", "roles": ["Orders.Read"]}, "claim_invalid"),
        "version 1": (
            READ,
            {"iss": f"https://sts.windows.net/{TENANT}/", "aud": "api://orders", "appid": "2", "ver": "1.0"},
            "issuer_unknown",
        ),
        "other tenant": (READ, {"iss": f"https://login.microsoftonline.com/{API}/v2.0"}, "issuer_unknown"),
        "for Microsoft Graph": (READ, {"aud": "00000003-0000-0000-c000-000000000000"}, "audience_mismatch"),
        "without the permission": (WRITE, {"scp": "Orders.Read"}, "scope_insufficient"),
        "role of the user without a scope of the client": (
            WRITE,
            {"scp": "Orders.Read", "roles": ["Orders.Write"]},
            "scope_insufficient",
        ),
    },
    upstream={"X-Auth-Subject": "33333333-3333-3333-3333-333333333333", "X-Auth-Tenant": TENANT},
)

COGNITO = Example(
    "cognito",
    {},
    {
        "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "device_key": "eu-central-1_aaaaaaaa",
        "cognito:groups": ["clerks"],
        "iss": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE",
        "version": 2,
        "client_id": "1example23456789",
        "origin_jti": "o",
        "event_id": "e",
        "token_use": "access",
        "scope": "openid orders/read orders/write",
        "auth_time": 1_700_000_000,
        "jti": "j",
        "username": "ann",
    },
    {
        "read": (READ, {}),
        "write": (WRITE, {}),
        "a machine": (READ, {"sub": "1example23456789", "username": None, "cognito:groups": None}),
    },
    {
        "ID token": (READ, {"aud": "1example23456789", "client_id": None, "token_use": "id"}, "claim_invalid"),
        "ID token that names a client": (READ, {"token_use": "id"}, "claim_refused"),
        "other app client": (READ, {"client_id": "2example"}, "audience_mismatch"),
        "other user pool": (
            READ,
            {"iss": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_OTHER"},
            "issuer_unknown",
        ),
        "got without the login pages": (READ, {"scope": "aws.cognito.signin.user.admin"}, "scope_insufficient"),
        "other group": (WRITE, {"cognito:groups": ["readers"]}, "claim_refused"),
    },
    metadata="https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE/.well-known/openid-configuration",
    upstream={"X-Auth-Client-Id": "1example23456789"},
)

GOOGLE = Example(
    "google",
    JWT,
    {
        "iss": "https://accounts.google.com",
        "azp": "113774264463038321964",
        "aud": "https://orders.example.com",
        "sub": "113774264463038321964",
        "email": "shop@example-project.iam.gserviceaccount.com",
        "email_verified": True,
    },
    {
        "a service account": (WRITE, {}),
        "a person of the company": (
            READ,
            {
                "hd": "example.com",
                "email": "ann@example.com",
                "at_hash": "x",
                "nonce": "n",
                "sub": "110169484474386276334",
            },
        ),
    },
    {
        "other audience": (WRITE, {"aud": "https://billing.example.com"}, "audience_mismatch"),
        "other service account": (WRITE, {"email": "other@example-project.iam.gserviceaccount.com"}, "claim_refused"),
        "consumer account": (READ, {"email": "ann@gmail.example", "hd": None}, "claim_refused"),
        "address that nobody verified": (READ, {"hd": "example.com", "email_verified": False}, "claim_refused"),
        "without an address": (WRITE, {"email": None}, "claim_invalid"),
        "issuer without https": (WRITE, {"iss": "accounts.google.com"}, "issuer_unknown"),
    },
    metadata="https://accounts.google.com/.well-known/openid-configuration",
    upstream={"X-Auth-Email": "shop@example-project.iam.gserviceaccount.com"},
)

GITHUB = Example(
    "github-actions",
    {**JWT, "x5t": "example-thumbprint"},
    {
        "jti": "example-id",
        "sub": "repo:octo-org/octo-repo:environment:production",
        "aud": "https://orders.example.com",
        "ref": "refs/heads/main",
        "sha": "example-sha",
        "repository": "octo-org/octo-repo",
        "repository_owner": "octo-org",
        "repository_id": "74",
        "repository_owner_id": "65",
        "repository_visibility": "private",
        "actor": "octocat",
        "actor_id": "12",
        "workflow": "deploy",
        "run_id": "1",
        "run_number": "10",
        "run_attempt": "2",
        "event_name": "push",
        "ref_type": "branch",
        "environment": "production",
        "job_workflow_ref": "octo-org/octo-automation/.github/workflows/deploy.yml@refs/heads/main",
        "runner_environment": "github-hosted",
        "iss": "https://token.actions.githubusercontent.com",
    },
    {
        "deploy": ("POST /deployments/1", {}),
        "the subject with ids": (
            "POST /deployments/1",
            {"sub": "repo:octo-org@65/octo-repo@74:environment:production"},
        ),
        "read from any repository of the owner": (READ, {"repository_id": "75", "event_name": "schedule"}),
    },
    {
        "audience nobody asked for": (READ, {"aud": "https://github.com/octo-org"}, "audience_mismatch"),
        "other owner": (READ, {"repository_owner_id": "66"}, "claim_refused"),
        "other repository": ("POST /deployments/1", {"repository_id": "75"}, "claim_refused"),
        "a repository that took the name": (
            "POST /deployments/1",
            {"repository_id": "99", "repository_owner_id": "98"},
            "claim_refused",
        ),
        "pull request": (
            "POST /deployments/1",
            {"ref": "refs/pull/7/merge", "event_name": "pull_request", "environment": None},
            "claim_refused",
        ),
        "enterprise server": (READ, {"iss": "https://github.example.com/_services/token"}, "issuer_unknown"),
    },
    metadata="https://token.actions.githubusercontent.com/.well-known/openid-configuration",
    upstream={"X-Auth-Repository": "octo-org/octo-repo", "X-Auth-Run": "1"},
)

KUBERNETES = Example(
    "kubernetes",
    {},
    {
        "aud": ["orders-api"],
        "iss": "https://kubernetes.default.svc.cluster.local",
        "jti": "0c5a6bd9-5e4a-4c3a-8a3e-2d6d2f0a1b11",
        "kubernetes.io": {
            "namespace": "shop",
            "node": {"name": "n1", "uid": "1"},
            "pod": {"name": "checkout-1", "uid": "2"},
            "serviceaccount": {"name": "checkout", "uid": "3"},
        },
        "sub": "system:serviceaccount:shop:checkout",
    },
    {"write": (WRITE, {}), "another account of the namespace": (READ, {"sub": "system:serviceaccount:shop:web"})},
    {
        "for the API server": (READ, {"aud": ["https://kubernetes.default.svc.cluster.local"]}, "audience_mismatch"),
        "other namespace": (READ, {"sub": "system:serviceaccount:default:checkout"}, "claim_refused"),
        "namespace that begins the same": (READ, {"sub": "system:serviceaccount:shop-2:checkout"}, "claim_refused"),
        "other account": (WRITE, {"sub": "system:serviceaccount:shop:web"}, "claim_refused"),
        "of an old Secret": (READ, {"iss": "kubernetes/serviceaccount", "aud": None, "exp": None}, "issuer_unknown"),
        "good for a year": (READ, {"exp": 365 * 86_400}, "claim_invalid"),
        "other cluster": (READ, {"iss": "https://oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE"}, "issuer_unknown"),
    },
)

HYDRA = Example(
    "hydra",
    JWT,
    {
        "aud": ["https://orders.example.com"],
        "client_id": "shop",
        "ext": {"tenant": "acme"},
        "iss": "https://auth.example.com",
        "jti": "j",
        "scp": ["orders:read", "offline"],
        "sub": "ann",
    },
    {"read": ("GET /orders/acme/1", {}), "write": ("POST /orders/acme/1", {"scp": ["orders:write"]})},
    {
        "no audience asked for": ("GET /orders/acme/1", {"aud": []}, "claim_invalid"),
        "other audience": ("GET /orders/acme/1", {"aud": ["https://billing.example.com"]}, "audience_mismatch"),
        "ID token": ("GET /orders/acme/1", {"aud": ["shop"], "at_hash": "x", "scp": None}, "audience_mismatch"),
        "other tenant": ("GET /orders/other/1", {}, "claim_refused"),
        "without the scope": ("POST /orders/acme/1", {}, "scope_insufficient"),
    },
    metadata="https://auth.example.com/.well-known/openid-configuration",
)

ROLES = "urn:zitadel:iam:org:project:roles"
ZITADEL = Example(
    "zitadel",
    {},
    {
        "iss": "https://example.zitadel.cloud",
        "sub": "165617850692654601",
        "aud": ["165618109640425985@shop", "69234237810729019"],
        "jti": "V2_165618109640425985-at_1",
        "client_id": "165618109640425985@shop",
        ROLES: {"reader": {"165617389849190401": "acme.example.com"}},
    },
    {
        "read": (READ, {}),
        "write": (WRITE, {ROLES: {"clerk": {"165617389849190401": "acme.example.com"}}}),
    },
    {
        "ID token": (READ, {"jti": None, "azp": "165618109640425985@shop", "amr": ["pwd"]}, "claim_invalid"),
        "ID token with the hash of an access token": (READ, {"at_hash": "x"}, "token_type_refused"),
        "other project": (READ, {"aud": ["165618109640425985@shop", "1"]}, "audience_mismatch"),
        "other instance": (READ, {"iss": "https://other.zitadel.cloud"}, "issuer_unknown"),
        "other role": (WRITE, {}, "claim_refused"),
        "no role": (READ, {ROLES: None}, "claim_refused"),
    },
    metadata="https://example.zitadel.cloud/.well-known/openid-configuration",
)

EXAMPLES = (KEYCLOAK, AUTH0, OKTA, ENTRA, COGNITO, GOOGLE, GITHUB, KUBERNETES, HYDRA, ZITADEL)
ALLOWED = [pytest.param(e, *e.allowed[name], id=f"{e.name}: {name}") for e in EXAMPLES for name in e.allowed]
REFUSED = [pytest.param(e, *e.refused[name], id=f"{e.name}: {name}") for e in EXAMPLES for name in e.refused]


def minted(example: Example, changes: Mapping[str, Any]) -> str:
    """The issuer's token with these claims and header parameters instead; `exp` is said in seconds from now."""
    now = int(time.time())
    lifetime = changes.get("exp", 300)
    claims = {
        "iat": now - 1,
        "nbf": now - 1,
        **example.claims,
        **{name: value for name, value in changes.items() if not name.startswith(":")},
        "exp": None if lifetime is None else now + lifetime,
    }
    header = {**example.header, **{name[1:]: value for name, value in changes.items() if name.startswith(":")}}
    return jwt.encode(
        {name: value for name, value in claims.items() if value is not None},
        signing_key(),
        "RS256",
        headers={"typ": None, "kid": "k1", **header},
    )


def with_our_keys(name: str, folder: Path, introspection: Mapping[str, Any] | None = None) -> Path:
    """A copy of the file in which the issuer's keys are ours, and whom to ask about opaque tokens is as given."""
    data = yaml.safe_load((ROOT / f"config/issuers/{name}.yaml").read_text())
    (issuer,) = data["issuers"].values()
    asked = {**issuer.get("introspection", {}), **introspection} if introspection else None
    for key in KEY_SOURCES:
        issuer.pop(key, None)
    issuer["jwks"] = json.loads(public_jwks())
    if asked is not None:
        issuer["introspection"] = asked
    file = folder / f"{name}.yaml"
    file.write_text(json.dumps(data))  # JSON is YAML, and what stood in quotes stays a text
    return file


async def verdict(file: Path, request: str, token: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """What `explain` says of the request."""
    gateway = build.build(load(file, environ))
    await gateway.start()
    try:
        method, path = request.split()
        return (await explain(gateway, method, path, token)).as_json()
    finally:
        await gateway.close()


@pytest.mark.parametrize(("example", "request_line", "changes"), ALLOWED)
async def test_a_token_of_the_issuer_is_allowed(
    example: Example, request_line: str, changes: Mapping[str, Any], tmp_path: Path, environ: Mapping[str, str]
) -> None:
    token = minted(example, changes)
    answer = await verdict(with_our_keys(example.name, tmp_path), request_line, token, environ)
    assert (answer["allowed"], answer["reason"]) == (True, None), answer["steps"]


@pytest.mark.parametrize(("example", "request_line", "changes", "reason"), REFUSED)
async def test_a_token_that_is_none_for_this_api_is_refused(
    example: Example,
    request_line: str,
    changes: Mapping[str, Any],
    reason: str,
    tmp_path: Path,
    environ: Mapping[str, str],
) -> None:
    token = minted(example, changes)
    answer = await verdict(with_our_keys(example.name, tmp_path), request_line, token, environ)
    assert (answer["allowed"], answer["reason"]) == (False, reason), answer["steps"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
async def test_the_upstream_learns_who_is_asking(example: Example, tmp_path: Path, environ: Mapping[str, str]) -> None:
    request_line, changes = next(iter(example.allowed.values()))
    token = minted(example, changes)
    answer = await verdict(with_our_keys(example.name, tmp_path), request_line, token, environ)
    received = answer["upstream_request"]["headers"]
    assert received["X-Auth-Subject"]
    assert {name: received.get(name) for name in example.upstream} == example.upstream


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.metadata], ids=lambda example: example.name)
def test_the_metadata_is_looked_for_where_the_issuer_documents_it(example: Example, environ: Mapping[str, str]) -> None:
    (issuer,) = load(ROOT / f"config/issuers/{example.name}.yaml", environ).issuers.values()
    assert example.metadata in ([issuer.metadata] if issuer.metadata else metadata_addresses(issuer.issuer))
    assert issuer.jwks_uri is None


def test_each_issuer_has_a_file_and_each_file_a_token() -> None:
    assert sorted(example.name for example in EXAMPLES) == sorted(file.stem for file in ROOT.glob("config/issuers/*"))


OPAQUE = {"auth0": "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..aaaa.bbbb.cccc", "google": "ya29.a0AfH6SMBexample"}


@pytest.mark.parametrize("name", OPAQUE)
async def test_a_token_that_only_its_issuer_can_read_is_refused(
    name: str, tmp_path: Path, environ: Mapping[str, str]
) -> None:
    answer = await verdict(with_our_keys(name, tmp_path), READ, OPAQUE[name], environ)
    assert (answer["status"], answer["reason"]) == (401, "token_malformed")


HYDRA_ANSWER = {
    "aud": ["https://orders.example.com"],
    "client_id": "shop",
    "ext": {"tenant": "acme"},
    "iss": "https://auth.example.com",
    "scope": "orders:read offline",
    "sub": "ann",
    "token_type": "Bearer",
    "token_use": "access_token",
}
ZITADEL_ANSWER = {
    "aud": ["165618109640425985@shop", "69234237810729019"],
    "client_id": "165618109640425985@shop",
    "iss": "https://example.zitadel.cloud",
    "jti": "V2_165618109640425985-at_1",
    "scope": "openid profile",
    "sub": "165617850692654601",
    "token_type": "Bearer",
    "username": "ann@acme.example.com",
    ROLES: {"reader": {"165617389849190401": "acme.example.com"}},
}


@pytest.mark.parametrize(
    ("name", "request_line", "answer", "changes", "reason"),
    [
        ("hydra", "GET /orders/acme/1", HYDRA_ANSWER, {}, None),
        ("hydra", "GET /orders/other/1", HYDRA_ANSWER, {}, "claim_refused"),
        ("hydra", "GET /orders/acme/1", HYDRA_ANSWER, {"token_use": "refresh_token"}, "token_type_refused"),
        ("hydra", "GET /orders/acme/1", HYDRA_ANSWER, {"aud": []}, "claim_invalid"),
        ("hydra", "GET /orders/acme/1", HYDRA_ANSWER, {"aud": ["https://billing.example.com"]}, "audience_mismatch"),
        ("zitadel", READ, ZITADEL_ANSWER, {}, None),
        ("zitadel", READ, ZITADEL_ANSWER, {"aud": ["1"]}, "audience_mismatch"),
        ("zitadel", WRITE, ZITADEL_ANSWER, {}, "claim_refused"),
    ],
)
async def test_an_opaque_token_is_judged_by_what_its_issuer_says(
    name: str,
    request_line: str,
    answer: Mapping[str, Any],
    changes: Mapping[str, Any],
    reason: str | None,
    tmp_path: Path,
    environ: Mapping[str, str],
) -> None:
    async with FakeIssuer() as issuer:
        now = int(time.time())
        issuer.active["ory_at_1"] = {"iat": now, "exp": now + 300, **answer, **changes}
        file = with_our_keys(name, tmp_path, {"endpoint": f"{issuer.origin}/introspect", "timeout": "10s"})
        explained = await verdict(file, request_line, "ory_at_1", environ)
        assert explained["reason"] == reason, explained["steps"]
        assert len(issuer.introspected) == 1
        unknown = await verdict(file, request_line, "ory_at_2", environ)
        assert unknown["reason"] == "token_inactive"
