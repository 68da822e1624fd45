"""The decision for one route: the checks, in an order that no configuration can change."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass, field

from gateway import errors
from gateway.access import rules
from gateway.access.binding import check_binding
from gateway.access.claims import Parameters
from gateway.access.credentials import find_credential
from gateway.access.limits import FailureLimit, RouteLimit
from gateway.access.revocation import DenyList
from gateway.access.rules import Permit, Rules
from gateway.access.verification import Verified, Verifier
from gateway.errors import GatewayError
from gateway.http.message import Fields, Request
from gateway.oauth.tokens import Credential, Token
from gateway.record import RequestRecord


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """Who may use a route. `is_token_optional` lets a request without any token pass as an anonymous one.

    `introspects` has the issuer asked even about a JWT (RFC 7662).
    `limit` bounds how often it may be used, `failures` how often a client may fail to authenticate.
    `notes_fingerprint` puts the beginning of the token's SHA-256 into the record: it tells two tokens apart in the log.
    """

    verifier: Verifier
    deny_list: DenyList
    rules: Rules
    is_public: bool = False
    is_token_optional: bool = False
    is_enforced: bool = True
    notes_fingerprint: bool = False
    introspects: bool = False
    limit: RouteLimit | None = None
    failures: FailureLimit | None = None
    asked: Hashable = field(init=False)
    """What a verification depends on besides the token: routes for which it is equal share them."""

    def __post_init__(self) -> None:
        # On a public route no token is looked at, so nothing is found there for one either; and a limit has to count.
        is_recalled = not self.is_public and self.limit is None
        asked = (self.verifier, self.introspects, self.rules.issuers) if is_recalled else None
        object.__setattr__(self, "asked", asked)

    @property
    def needs_token(self) -> bool:
        """Whether nobody is let in without one."""
        return not self.is_public and not self.is_token_optional and self.is_enforced

    def recall(self, fields: Fields, record: RequestRecord) -> Permit | None:
        """The permit that the same fields were given here before, where nothing has changed since; else `decide`.

        For this the verification must stand, the deny list be the same, and the verdict not depend on the path.
        """
        verified: Verified | None = fields.kept.get(self.asked)
        if verified is None or self.rules.uses_parameters or not self.deny_list.passes(verified.cleared):
            return None
        permit = verified.permits.get(self.rules.meaning)
        if permit is None or not self.verifier.stands(verified):
            return None
        self._remember(verified.token, record)
        record.token = verified.token
        return permit

    async def decide(self, request: Request, parameters: Parameters, record: RequestRecord) -> Permit:
        """A `Permit`, or the `GatewayError` of the first check that fails. In shadow mode always a `Permit`."""
        try:
            permit = await self._checked(request, parameters, record)
            if self.limit is not None and not self.limit.is_for_clients:
                await self._count(self.limit, permit.token, record)
            return permit
        except GatewayError as error:
            if self.failures is not None and error.reason in errors.FAILED_AUTHENTICATION and record.steps is None:
                await self.failures.failed(record.client_ip)
            return self._refused(error, record)
        finally:
            if record.end_turn is not None:
                record.end_turn()
                record.end_turn = None

    async def _checked(self, request: Request, parameters: Parameters, record: RequestRecord) -> Permit:
        """All checks but the limit for callers, one after the other. This is their order."""
        if self.limit is not None and self.limit.is_for_clients:
            await self._count(self.limit, None, record)
        if self.is_public:
            record.note("public", True, "the route is public: no token is looked at")
            return rules.permit_anonymous()
        credential = None
        verified = self._recalled(request.fields, record)
        if verified is None:
            credential = find_credential(request.fields)
            if credential is None:
                return self._without_credential(record)
            if self.failures is not None:
                await self._take_turn(self.failures, record)
            verified = await self._verified(credential, record)
        self._remember(verified.token, record)
        verified.cleared = self.deny_list.check(verified.token, verified.cleared)
        record.note("revocation", True, "not revoked")
        if credential is not None:
            check_binding(credential, verified.token)
            self._keep(verified, request.fields)
        record.token = verified.token
        return self._apply_rules(verified, parameters, record)

    async def _count(self, limit: RouteLimit, token: Token | None, record: RequestRecord) -> None:
        if record.steps is not None:
            # Who asks for an explanation uses up nobody's budget.
            record.note("limit", True, f"{limit.rate.requests} in {limit.rate.seconds:g} s by {limit.by}")
            return
        record.limit_fields = await limit.check(record.client_ip, token)

    async def _take_turn(self, failures: FailureLimit, record: RequestRecord) -> None:
        if record.steps is not None:
            failures.check(record.client_ip)
        else:
            record.end_turn = await failures.attempt(record.client_ip)

    def _recalled(self, fields: Fields, record: RequestRecord) -> Verified | None:
        """What the same fields were found to hold the last time, unbound, on a route that asks in the same way."""
        verified: Verified | None = fields.kept.get(self.asked)
        if verified is None or record.steps is not None or not self.verifier.stands(verified):
            return None
        return verified

    def _keep(self, verified: Verified, fields: Fields) -> None:
        if self.asked is not None and not self.notes_fingerprint:
            fields.keep(self.asked, verified)

    async def _verified(self, credential: Credential, record: RequestRecord) -> Verified:
        record.note("credential", True, f"one {credential.scheme} token")
        if self.notes_fingerprint:
            record.token_id = hashlib.sha256(credential.value).hexdigest()[:16]
        return await self.verifier.verify(credential, record, introspects=self.introspects, issuers=self.rules.issuers)

    def _without_credential(self, record: RequestRecord) -> Permit:
        if not self.is_token_optional:
            raise GatewayError(errors.TOKEN_MISSING, "no Authorization: Bearer")
        record.note("credential", True, "none, and the route's token is optional: anonymous")
        return rules.permit_anonymous()

    def _remember(self, token: Token, record: RequestRecord) -> None:
        record.issuer = token.issuer
        record.subject = token.subject
        record.client_id = token.client_id

    def _apply_rules(self, verified: Verified, parameters: Parameters, record: RequestRecord) -> Permit:
        # What is rendered from a permit (identity fields) is rendered once for a token and these rules. Where the
        # verdict depends on the path too, the rules are checked again and only the permit is shared.
        known = verified.permits.get(self.rules.meaning)
        if known is not None and not self.rules.uses_parameters and record.steps is None:
            return known
        fresh = rules.permit(verified.token, self.rules, parameters, record)
        if known is not None:
            return known
        verified.keep(self.rules.meaning, fresh)
        return fresh

    def _refused(self, error: GatewayError, record: RequestRecord) -> Permit:
        if self.is_enforced:
            raise error
        record.decision = "would_refuse"
        record.reason = error.reason.name
        record.scopes_missing = error.scopes_missing
        record.note("shadow", False, f"{error.reason.name}: {error.evidence}; enforce is false, so it passes")
        return rules.permit_in_shadow(record.token)
