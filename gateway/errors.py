"""Every way a request can fail: status, OAuth error code, public text and reason.

The table is the contract's section on refusals. It knows nothing of HTTP messages; `responses.refuse` turns a
`GatewayError` into one. The public text of a reason is a constant, so that nothing a client sent is ever echoed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, eq=False)
class Reason:
    """One row of the refusal table.

    `error` is the OAuth error code (RFC 6750 §3.1, RFC 9449, RFC 9470) or None. `closes` says that the connection
    ends with the answer, because the framing of what follows on it can't be trusted.
    """

    name: str
    status: int
    title: str
    detail: str
    error: str | None = None
    closes: bool = False


class GatewayError(Exception):
    """A request that ends in a refusal.

    `evidence` is for the log and for `explain`: what was looked at and what was expected. It never holds a token, a
    secret or the value of a claim. `allow` are the methods of a 405 (RFC 9110 §15.5.6), `retry_after` is in seconds,
    `fields` are further header fields of the refusal.
    """

    def __init__(
        self,
        reason: Reason,
        evidence: str = "",
        *,
        allow: tuple[str, ...] = (),
        retry_after: int | None = None,
        scopes_missing: tuple[str, ...] = (),
        where: str = "",
        fields: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(reason.name)
        self.reason = reason
        self.evidence = evidence
        self.allow = allow
        self.retry_after = retry_after
        self.scopes_missing = scopes_missing
        self.where = where
        self.fields = fields

    def __repr__(self) -> str:
        return f"<GatewayError {self.reason.name} {self.evidence!r}>"


INVALID_REQUEST: Final = "invalid_request"
INVALID_TOKEN: Final = "invalid_token"


def _syntax(name: str, detail: str, *, closes: bool = False) -> Reason:
    return Reason(name, 400, "The request is malformed", detail, INVALID_REQUEST, closes)


def _token(name: str, detail: str) -> Reason:
    return Reason(name, 401, "The access token was not accepted", detail, INVALID_TOKEN)


# 400: the request itself
REQUEST_INVALID = _syntax("request_invalid", "The request does not follow RFC 9110 or RFC 6750.")
FRAMING_INVALID = _syntax(
    "request_invalid", "The request line, a header field or the framing is malformed.", closes=True
)
PATH_AMBIGUOUS = _syntax("path_ambiguous", "The path can be read in more than one way; send it in its plain form.")
HOST_INVALID = _syntax("host_invalid", "The request needs exactly one valid Host that is served here.", closes=True)
CREDENTIALS_MULTIPLE = _syntax("credentials_multiple", "Send exactly one Authorization header field.")

# The opening of a WebSocket (RFC 6455 §4.2.2, §4.4)
WEBSOCKET_INVALID = Reason(
    "request_invalid",
    400,
    "The WebSocket handshake is malformed",
    "Open a WebSocket as RFC 6455 section 4.1 says.",
    None,
    True,
)
WEBSOCKET_VERSION = Reason(
    "request_invalid", 426, "Another WebSocket version is needed", "Use the version of Sec-WebSocket-Version."
)

# 401: no token, or one that is not accepted
TOKEN_MISSING = Reason(
    "token_missing", 401, "An access token is needed", "Send an access token: Authorization: Bearer <token>."
)
TOKEN_MALFORMED = _token("token_malformed", "The token is not a well-formed JSON Web Token.")
TOKEN_EXPIRED = _token("token_expired", "The token has expired; get a new one.")
TOKEN_NOT_YET_VALID = _token("token_not_yet_valid", "The token is not valid yet; compare the clocks.")
TOKEN_TOO_LARGE = _token("token_too_large", "The token is larger than this gateway accepts.")
# One text for the three: whoever guesses at keys must not learn which part was right.
SIGNATURE_INVALID = _token("signature_invalid", "The token was not signed by a key of a trusted issuer.")
KEY_UNKNOWN = _token("key_unknown", "The token was not signed by a key of a trusted issuer.")
ISSUER_UNKNOWN = _token("issuer_unknown", "The token was not signed by a key of a trusted issuer.")
ALGORITHM_REFUSED = _token("algorithm_refused", "The token is signed with an algorithm that is not accepted.")
AUDIENCE_MISMATCH = _token("audience_mismatch", "The token was issued for another audience.")
TOKEN_TYPE_REFUSED = _token("token_type_refused", "The token is not an access token.")
CLAIM_INVALID = _token("claim_invalid", "A claim of the token is missing or of the wrong form.")
TOKEN_INACTIVE = _token("token_inactive", "The issuer says that the token is not active.")
TOKEN_REVOKED = _token("token_revoked", "The token has been revoked.")
BINDING_MISMATCH = _token("binding_mismatch", "The token is bound to a key, and the request does not prove it.")

# 403: a good token that does not suffice
SCOPE_INSUFFICIENT = Reason(
    "scope_insufficient", 403, "The token lacks a scope", "Ask for a token with the scopes named.", "insufficient_scope"
)
CLAIM_REFUSED = Reason(
    "claim_refused", 403, "Not allowed", "The token does not meet what this route asks of its claims."
)
ISSUER_REFUSED = Reason("issuer_refused", 403, "Not allowed", "This route does not accept tokens of that issuer.")

# 404, 405 and sizes
ROUTE_NOT_FOUND = Reason("route_not_found", 404, "Not found", "No route leads here.")
METHOD_NOT_ALLOWED = Reason("method_not_allowed", 405, "Method not allowed", "Use one of the methods in Allow.")
REQUEST_TIMEOUT = Reason(
    "request_timeout", 408, "The request took too long", "Send the whole request sooner.", None, True
)
BODY_TOO_LARGE = Reason(
    "body_too_large", 413, "The body is too large", "The body is larger than this route accepts.", None, True
)
TARGET_TOO_LONG = Reason(
    "target_too_long", 414, "The address is too long", "Send a shorter request target.", None, True
)
EXPECTATION_FAILED = Reason(
    "expectation_failed", 417, "Expectation not supported", "Only Expect: 100-continue is understood.", None, True
)
TOO_EARLY = Reason("too_early", 425, "Too early", "Send the request again once the TLS handshake is complete.")
RATE_LIMITED = Reason("rate_limited", 429, "Too many requests", "Wait as long as Retry-After says, then try again.")
HEAD_TOO_LARGE = Reason("head_too_large", 431, "The header is too large", "Send fewer or shorter fields.", None, True)

# What somebody meets who guesses; a token that is missing, or good and not enough, is none of it.
FAILED_AUTHENTICATION: Final = frozenset(
    {
        TOKEN_MALFORMED,
        TOKEN_TOO_LARGE,
        SIGNATURE_INVALID,
        KEY_UNKNOWN,
        ISSUER_UNKNOWN,
        ALGORITHM_REFUSED,
        AUDIENCE_MISMATCH,
        TOKEN_TYPE_REFUSED,
        CLAIM_INVALID,
        TOKEN_INACTIVE,
        TOKEN_REVOKED,
        TOKEN_EXPIRED,
        TOKEN_NOT_YET_VALID,
        BINDING_MISMATCH,
    }
)

# 5xx: not the client's fault
INTERNAL = Reason(
    "internal", 500, "Something went wrong", "The gateway failed; its log has the request id.", None, True
)
NOT_IMPLEMENTED = Reason(
    "not_implemented", 501, "Not implemented", "This method or transfer coding is not supported.", None, True
)
UPSTREAM_UNREACHABLE = Reason(
    "upstream_unreachable", 502, "Bad gateway", "The service behind the gateway can't be reached."
)
UPSTREAM_INVALID = Reason(
    "upstream_invalid", 502, "Bad gateway", "The service behind the gateway gave a malformed answer."
)
ISSUER_UNAVAILABLE = Reason(
    "issuer_unavailable", 503, "The issuer can't be asked", "The token can't be verified right now; try again later."
)
UPSTREAM_UNAVAILABLE = Reason(
    "upstream_unavailable", 503, "Service unavailable", "The service behind the gateway is busy; try again later."
)
OVERLOADED = Reason("overloaded", 503, "Overloaded", "The gateway has no free connection; try again later.", None, True)
DRAINING = Reason("draining", 503, "Shutting down", "This gateway is shutting down; try again.", None, True)
UPSTREAM_TIMEOUT = Reason(
    "upstream_timeout", 504, "Gateway timeout", "The service behind the gateway did not answer in time."
)
VERSION_UNSUPPORTED = Reason(
    "version_unsupported", 505, "HTTP version not supported", "Use HTTP/1.1 or HTTP/1.0.", None, True
)
LOOP_DETECTED = Reason(
    "loop_detected", 508, "Loop detected", "The request has been here before: it is being forwarded in a circle."
)
