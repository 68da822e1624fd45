"""The `issuers` of the configuration as types: whose tokens count, where their keys come from, how they are asked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from gateway.config.block import Block, Positive, Secret, as_tuple
from gateway.config.values import Duration, Text, Texts, Url, listed, text

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512"
]
DEFAULT_ALGORITHMS: tuple[Algorithm, ...] = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)


def _audience(value: object) -> tuple[str, ...]:
    members: tuple[str, ...] = listed(text, "an audience")(value)
    if "any" in members and len(members) > 1:
        raise ValueError("`any` stands alone")
    return () if members == ("any",) else members


Audience = Annotated[
    tuple[str, ...],
    BeforeValidator(_audience),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]


class ClientTls(Block):
    """TLS for connections that the gateway makes."""

    ca: Text | None = Field(None, description="PEM file with the CAs to trust instead of the system's")
    certificate: Text | None = Field(None, description="PEM file with the gateway's own certificate")
    private_key: Text | None = Field(None, description="PEM file with its private key")


class Keys(Block):
    """When an issuer's keys are fetched."""

    refresh: Duration = Field(
        600.0, description="how often they are fetched, in the background; a shorter max-age shortens it, not below 1m"
    )
    cooldown: Duration = Field(30.0, description="at most one fetch for unknown key ids in this time")
    max_stale: Duration = Field(86_400.0, description="how long the last good keys are used when the issuer is down")
    timeout: Duration = Field(5.0, description="for one fetch of metadata or keys")
    store: Text | None = Field(
        None, description="folder, or `redis`, for the last good keys, for a start while the issuer is down"
    )


class Introspection(Block):
    """Token introspection (RFC 7662)."""

    mode: Literal["opaque", "always", "never"] = Field(
        "opaque", description="opaque: what is no JWT of ours; always: JWTs too; never: none"
    )
    endpoint: Url | None = Field(None, description="where to ask; absent: the introspection_endpoint of the metadata")
    client_id: Text | None = Field(None, description="the gateway's own client at this issuer")
    client_secret: Secret | None = Field(None, description="its secret, for the client_secret methods")
    client_key: Text | None = Field(None, description="private_key_jwt: file with the private key, PEM or JWK")
    client_key_id: Text | None = Field(None, description="private_key_jwt: the key's `kid` at the issuer")
    client_auth: Literal[
        "client_secret_basic", "client_secret_post", "private_key_jwt", "client_secret_jwt", "tls_client_auth"
    ] = Field("client_secret_basic", description="how the gateway authenticates (OpenID Connect Core §9, RFC 8705)")
    cache: Duration = Field(
        60.0, description="how long an active answer is remembered; never past exp. 0s: each request asks"
    )
    negative_cache: Duration = Field(5.0, description="how long an inactive answer is remembered")
    timeout: Duration = Field(3.0, description="for one call, the wait for its turn included; over it 503")
    concurrency: Positive = Field(64, description="calls at once")
    signed_response: bool = Field(False, description="true: the answer must be a JWT signed by the issuer (RFC 9701)")


class Issuer(Block):
    """A trusted authorization server."""

    issuer: Url = Field(description="its identifier: compared with `iss`, code point by code point")
    audience: Audience = Field(description="the token must carry one of them; `any` opts out")
    metadata: Url | None = Field(
        None, description="address of the metadata; absent: below issuer (RFC 8414, then OpenID Connect)"
    )
    jwks_uri: Url | None = Field(None, description="address of the keys, without discovery")
    jwks_file: Text | None = Field(None, description="file with the keys (JWK Set), without discovery")
    jwks: dict[str, Any] | None = Field(None, description="the keys themselves (JWK Set)")
    secret: Secret | None = Field(None, description="shared secret for HS256/384/512; 32 bytes at the least")
    algorithms: Annotated[
        tuple[Algorithm, ...],
        BeforeValidator(as_tuple),
        Field(min_length=1),
    ] = Field(DEFAULT_ALGORITHMS, description="which `alg` is accepted; HS256, HS384 and HS512 with secret alone")
    token_type: Literal["access", "at+jwt", "any"] = Field(
        "access", description="access: no ID and no logout token; at+jwt: that header (RFC 9068); any: unchecked"
    )
    leeway: Annotated[Duration, Field(le=300)] = Field(30.0, description="for exp, nbf and iat; at most 5m")
    max_lifetime: Duration = Field(0.0, description="longest exp - iat; then iat is needed. 0s: any")
    required_claims: Annotated[tuple[Text, ...], BeforeValidator(as_tuple)] = Field(
        ("sub",), description="present, not null and not empty, besides iss, aud and exp"
    )
    scope_claims: Texts = Field(
        ("scope", "scp"), description="where the scopes are: the first one present; dotted paths reach into objects"
    )
    audience_claims: Texts = Field(("aud",), description="where the audience is: the first one present")
    keys: Keys = Field(Keys(), description="when keys are fetched")
    tls: ClientTls | None = Field(None, description="for the gateway's calls to the issuer")
    backchannel_logout: bool = Field(False, description="take this issuer's logout tokens")
    allow_http: bool = Field(False, description="true: http:// addresses beyond loopback, too")
    introspection: Introspection | None = Field(
        None, description="asking the issuer about tokens (RFC 7662); absent: JWTs alone"
    )
