"""From the `issuers` of the configuration to trusted issuers: their rules, their keys, and how they are asked."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.access.verification import TrustedIssuer
from gateway.build.report import Report
from gateway.build.shared import Shared
from gateway.build.stand_in import StandIn
from gateway.config.issuers import Introspection as IntrospectionConfig
from gateway.config.issuers import Issuer
from gateway.http.tls import ClientContext
from gateway.oauth.client import IssuerClient
from gateway.oauth.client_authentication import (
    ClientAssertion,
    ClientAuthentication,
    ClientSecretBasic,
    ClientSecretPost,
    TlsClientAuth,
    load_private_key,
)
from gateway.oauth.discovery import KnownEndpoint
from gateway.oauth.introspection import IntrospectionClient, SignedAnswers
from gateway.oauth.introspection_answers import AnswerRules, Asked, Introspection, SharedAnswers
from gateway.oauth.jose import Malformed, strict_json
from gateway.oauth.jwks import RefreshRules, RemoteKeys
from gateway.oauth.jwt import TokenRules
from gateway.oauth.key_source import FileKeys, KeySource, StaticKeys
from gateway.oauth.key_store import FolderKeyStore, KeyStore, SharedKeyStore
from gateway.oauth.keys import KeySet, from_jwks, from_secret


@dataclass(frozen=True, slots=True)
class KnownIssuer:
    """A trusted issuer and what it was made from: its block, and the content of `client_key`."""

    issuer: Issuer
    client_key: bytes = field(repr=False)
    trusted: TrustedIssuer


class IssuerBuilder:
    """Makes the trusted issuers of one gateway.

    `before` are those of the gateway whose place it takes: where nothing has changed that keys or answers depend on,
    they are the same objects, with all that they know and whatever they have under way. `stand_ins` take the place of
    issuers that are not to be asked.
    """

    def __init__(
        self, report: Report, shared: Shared, before: Mapping[str, KnownIssuer], stand_ins: Mapping[str, StandIn]
    ) -> None:
        self._report = report
        self._shared = shared
        self._before = before
        self._stand_ins = stand_ins

    def known(self, name: str, issuer: Issuer) -> KnownIssuer:
        """One issuer with what it is made from; what can't be used is reported."""
        client_key = self._client_key(name, issuer) if name not in self._stand_ins else b""
        return KnownIssuer(issuer, client_key, self._trusted(name, issuer, client_key))

    def _trusted(self, name: str, issuer: Issuer, client_key: bytes) -> TrustedIssuer:
        rules = _token_rules(name, issuer)
        before, stand_in = self._before.get(name), self._stand_ins.get(name)
        tls = self._tls(name, issuer) if stand_in is None else None
        if stand_in is not None:
            keys = stand_in.keys
        elif before is not None and _where_keys_are(issuer) == _where_keys_are(before.issuer):
            keys = before.trusted.keys
        else:
            keys = self._keys(name, issuer, tls)
        block = issuer.introspection
        introspection = None
        if before is not None and (issuer, client_key) == (before.issuer, before.client_key):
            introspection = before.trusted.introspection
        elif block is not None and block.mode != "never":
            asked = self._asked(rules, issuer, block, keys, tls, client_key) if stand_in is None else stand_in.answers
            introspection = self._introspection(name, issuer, block, asked)
        return TrustedIssuer(
            rules,
            keys,
            introspection,
            introspects_jwt=block is not None and block.mode == "always",
            where=self._report.where("issuers", name),
        )

    # --- keys --------------------------------------------------------------------------------------------------

    def _keys(self, name: str, issuer: Issuer, tls: ClientContext | None) -> KeySource:
        try:
            if issuer.secret is not None:
                secret = issuer.secret.get_secret_value().encode()
                return StaticKeys(name, from_secret(secret, issuer.algorithms))
            if issuer.jwks is not None:
                # Through the strict reader, so that an inline set is judged like a fetched one.
                return StaticKeys(name, _usable(from_jwks(issuer.jwks), issuer))
            if issuer.jwks_file is not None:
                _usable(from_jwks(strict_json(Path(issuer.jwks_file).read_bytes())))
                return FileKeys(name, Path(issuer.jwks_file))
        except (Malformed, OSError) as problem:
            key = "jwks_file" if issuer.jwks_file is not None else "jwks" if issuer.jwks is not None else "secret"
            self._report.add(("issuers", name, key), f"can't be used: {_reason(problem)}")
        return RemoteKeys(
            name,
            issuer.issuer,
            IssuerClient(timeout=issuer.keys.timeout, allow_http=issuer.allow_http, tls=tls),
            metadata=issuer.metadata,
            jwks_uri=issuer.jwks_uri,
            rules=RefreshRules(issuer.keys.refresh, issuer.keys.cooldown, issuer.keys.max_stale),
            store=self._key_store(issuer),
        )

    def _key_store(self, issuer: Issuer) -> KeyStore | None:
        place = issuer.keys.store
        if place is None:
            return None
        if place != "redis":
            return FolderKeyStore(Path(place))
        shared = self._shared
        if shared.store is None or shared.sealer is None:
            return None  # the checks of the configuration have said what is missing
        return SharedKeyStore(shared.store, shared.sealer, seconds=issuer.keys.max_stale)

    # --- introspection -----------------------------------------------------------------------------------------

    def _introspection(self, name: str, issuer: Issuer, block: IntrospectionConfig, answers: Asked) -> Introspection:
        return Introspection(
            name,
            answers,
            AnswerRules(block.cache, block.negative_cache, block.timeout, block.concurrency),
            shared=self._shared_answers(issuer.issuer, block.endpoint or "", block.client_id or ""),
        )

    def _asked(
        self,
        rules: TokenRules,
        issuer: Issuer,
        block: IntrospectionConfig,
        keys: KeySource,
        tls: ClientContext | None,
        client_key: bytes,
    ) -> IntrospectionClient:
        client = IssuerClient(
            timeout=block.timeout, allow_http=issuer.allow_http, tls=tls, connections=block.concurrency
        )
        answers = SignedAnswers(rules, block.client_id or "", keys) if block.signed_response else None
        metadata = KnownEndpoint(client, issuer.issuer, issuer.metadata, refresh=issuer.keys.refresh)
        authentication = self._authentication(rules.name, issuer, block, client_key)
        return IntrospectionClient(client, authentication, metadata=metadata, endpoint=block.endpoint, answers=answers)

    def _shared_answers(self, *asked: str) -> SharedAnswers | None:
        shared = self._shared
        if shared.store is None or shared.sealer is None:
            return None
        return SharedAnswers(shared.store, shared.sealer, *asked)

    def _client_key(self, name: str, issuer: Issuer) -> bytes:
        block = issuer.introspection
        if block is None or block.client_key is None or block.mode == "never":
            return b""
        try:
            return Path(block.client_key).read_bytes()
        except OSError as problem:
            self._report.add(("issuers", name, "introspection", "client_key"), f"can't be used: {_reason(problem)}")
            return b""

    def _authentication(
        self, name: str, issuer: Issuer, block: IntrospectionConfig, client_key: bytes
    ) -> ClientAuthentication:
        client_id = block.client_id or ""
        secret = block.client_secret.get_secret_value() if block.client_secret is not None else ""
        key = "client_key" if block.client_auth == "private_key_jwt" else "client_secret"
        try:
            if block.client_auth == "private_key_jwt" and client_key:
                private, key_id = load_private_key(client_key)
                return ClientAssertion.by_key(client_id, private, issuer.issuer, key_id=block.client_key_id or key_id)
            if block.client_auth == "client_secret_jwt":
                return ClientAssertion.by_secret(client_id, secret, issuer.issuer)
        except ValueError as problem:
            self._report.add(("issuers", name, "introspection", key), f"can't be used: {_reason(problem)}")
        if block.client_auth == "client_secret_post":
            return ClientSecretPost(client_id, secret)
        if block.client_auth == "client_secret_basic":
            return ClientSecretBasic(client_id, secret)
        return TlsClientAuth(client_id)

    # --- TLS ---------------------------------------------------------------------------------------------------

    def _tls(self, name: str, issuer: Issuer) -> ClientContext | None:
        tls = issuer.tls
        if tls is None:
            return None
        try:
            return ClientContext(ca=tls.ca, certificate=tls.certificate, private_key=tls.private_key)
        except (OSError, ssl.SSLError) as problem:
            self._report.add(("issuers", name, "tls"), f"can't be used: {_reason(problem)}")
            return None


def _token_rules(name: str, issuer: Issuer) -> TokenRules:
    # RFC 7662 leaves every claim of an answer open, `sub` for one; what somebody wrote down holds for answers too.
    answer_claims = issuer.required_claims if "required_claims" in issuer.model_fields_set else ()
    return TokenRules(
        name=name,
        issuer=issuer.issuer,
        audience=frozenset(issuer.audience) or None,
        algorithms=frozenset(issuer.algorithms),
        token_type=issuer.token_type,
        leeway=issuer.leeway,
        max_lifetime=issuer.max_lifetime,
        required_claims=issuer.required_claims,
        answer_claims=answer_claims,
        scope_claims=issuer.scope_claims,
        audience_claims=issuer.audience_claims,
    )


def _where_keys_are(issuer: Issuer) -> tuple[object, ...]:
    """All that an issuer's keys depend on."""
    inline = (issuer.secret, issuer.jwks, issuer.algorithms, issuer.introspection is None)
    is_inline = issuer.secret is not None or issuer.jwks is not None
    fetched = (issuer.issuer, issuer.metadata, issuer.jwks_uri, issuer.jwks_file, issuer.keys)
    return (*fetched, issuer.allow_http, issuer.tls, *(inline if is_inline else ()))


def _usable(keys: KeySet, issuer: Issuer | None = None) -> KeySet:
    """Keys there have to be, but for an issuer whose tokens are opaque: `jwks: {keys: []}` says so."""
    if not keys.keys and (keys.skipped or issuer is None or issuer.introspection is None):
        reasons = "; ".join(keys.skipped)
        raise Malformed(f"no usable key ({reasons})" if reasons else "no key in it")
    return keys


def _reason(problem: Exception) -> str:
    return str(problem.strerror or problem) if isinstance(problem, OSError) else str(problem)
