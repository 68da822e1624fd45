"""HAProxy with `jwt_verify`, as its documentation shows it: signature, issuer, audience, expiry and scope."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.issuer import AUDIENCE, ISSUER, SCOPE
from benchmarks.processes import find, first_line
from benchmarks.servers.peer import Peer, Setting

_CONFIGURATION = """
global
    nbthread {workers}
    maxconn 8000

defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout http-keep-alive 300s

frontend clients
    bind 127.0.0.1:{port} backlog 4096
    http-request set-var(txn.token) http_auth_bearer
    http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
    http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')
    http-request set-var(txn.now) date()
    acl rs256 var(txn.alg) -m str RS256
    acl es256 var(txn.alg) -m str ES256
    http-request deny deny_status 404 unless {{ path,map_beg({map}) -m found }}
    http-request deny deny_status 401 unless {{ var(txn.token) -m found }}
    http-request deny deny_status 401 unless rs256 or es256
    http-request deny deny_status 401 unless {{ var(txn.token),jwt_payload_query('$.iss') -m str {issuer} }}
    http-request deny deny_status 401 unless {{ var(txn.token),jwt_payload_query('$.aud') -m str {audience} }}
    http-request deny deny_status 401 if rs256 !{{ var(txn.token),jwt_verify(txn.alg,"{rs256}") -m int 1 }}
    http-request deny deny_status 401 if es256 !{{ var(txn.token),jwt_verify(txn.alg,"{es256}") -m int 1 }}
    http-request deny deny_status 401 unless {{ var(txn.exp),sub(txn.now) -m int gt 0 }}
    http-request deny deny_status 403 unless {{ var(txn.token),jwt_payload_query('$.scope') -m sub {scope} }}
    http-request del-header Authorization
    option forwardfor
    default_backend orders

backend orders
    http-reuse always
    server orders 127.0.0.1:{upstream}
"""


def _command(setting: Setting) -> Sequence[str]:
    routes = setting.folder / "routes.map"
    routes.write_text("".join(f"{prefix} {SCOPE}\n" for prefix in setting.prefixes))
    file = setting.folder / "haproxy.cfg"
    file.write_text(
        _CONFIGURATION.format(
            workers=setting.workers,
            port=setting.port,
            upstream=setting.upstream_port,
            map=routes,
            issuer=ISSUER,
            audience=AUDIENCE,
            scope=SCOPE,
            rs256=setting.issuer.pem_files["RS256"],
            es256=setting.issuer.pem_files["ES256"],
        )
    )
    return [str(find("haproxy")), "-db", "-f", str(file)]


def _version() -> str:
    return " ".join(first_line("haproxy", "-v").split()[:3])


HAPROXY = Peer("haproxy", "HAProxy, jwt_verify", lambda: find("haproxy"), _command, _version)
