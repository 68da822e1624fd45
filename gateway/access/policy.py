"""The decision for one route: the checks, in an order that no configuration can change."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from gateway import errors
from gateway.access import rules
from gateway.access.binding import check_binding
from gateway.access.claims import Parameters
from gateway.access.credentials import find_credential
from gateway.access.revocation import DenyList
from gateway.access.rules import Permit, Rules
from gateway.access.verification import Verified, Verifier
from gateway.errors import GatewayError
from gateway.http.message import Request
from gateway.record import RequestRecord


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """Who may use a route. `is_token_optional` lets a request without any token pass as an anonymous one.

    `introspects` has the issuer asked even about a JWT (RFC 7662).
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

    async def decide(self, request: Request, parameters: Parameters, record: RequestRecord) -> Permit:
        """A `Permit`, or the `GatewayError` of the first check that fails. In shadow mode always a `Permit`."""
        try:
            if self.is_public:
                record.note("public", True, "the route is public: no token is looked at")
                return rules.permit_anonymous()
            credential = find_credential(request.fields)
            if credential is None:
                return self._without_credential(record)
            record.note("credential", True, f"one {credential.scheme} token")
            if self.notes_fingerprint:
                record.token_id = hashlib.sha256(credential.value).hexdigest()[:16]
            verified = await self.verifier.verify(
                credential, record, introspects=self.introspects, issuers=self.rules.issuers
            )
            self._remember(verified, record)
            verified.cleared = self.deny_list.check(verified.token, verified.cleared)
            record.note("revocation", True, "not revoked")
            check_binding(credential, verified.token)
            record.token = verified.token
            return self._apply_rules(verified, parameters, record)
        except GatewayError as error:
            if self.is_enforced:
                raise
            record.decision = "would_refuse"
            record.reason = error.reason.name
            record.scopes_missing = error.scopes_missing
            record.note("shadow", False, f"{error.reason.name}: {error.evidence}; enforce is false, so it passes")
            return rules.permit_in_shadow(record.token)

    def _without_credential(self, record: RequestRecord) -> Permit:
        if not self.is_token_optional:
            raise GatewayError(errors.TOKEN_MISSING, "no Authorization: Bearer")
        record.note("credential", True, "none, and the route's token is optional: anonymous")
        return rules.permit_anonymous()

    def _remember(self, verified: Verified, record: RequestRecord) -> None:
        token = verified.token
        record.issuer = token.issuer
        record.subject = token.subject
        record.client_id = token.client_id

    def _apply_rules(self, verified: Verified, parameters: Parameters, record: RequestRecord) -> Permit:
        # One permit for a token on a route: what is rendered from it (identity fields) is then rendered once. Where
        # the verdict depends on the path too, the rules are checked again and only the permit is shared.
        known = verified.permits.get(self)
        if known is not None and not self.rules.uses_parameters and record.steps is None:
            return known
        fresh = rules.permit(verified.token, self.rules, parameters, record)
        return verified.permits.setdefault(self, fresh)
