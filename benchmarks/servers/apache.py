"""Apache with mod_auth_openidc as an OAuth 2 resource server: keys from an address, issuer, audience and scope."""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.issuer import AUDIENCE, ISSUER, SCOPE
from benchmarks.processes import find, first_line
from benchmarks.servers.peer import Peer, Setting

_FOLDERS = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/libexec/apache2")
_MODULES = ("mpm_event", "authn_core", "authz_core", "authz_user", "proxy", "proxy_http", "auth_openidc")
_THREADS = 64

_CONFIGURATION = """
{modules}
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/apache.pid
ErrorLog /dev/stderr
LogLevel error
ServerName localhost
{user}
Listen 127.0.0.1:{port}
ListenBacklog 4096
ServerLimit {workers}
StartServers {workers}
ThreadLimit {threads}
ThreadsPerChild {threads}
MaxRequestWorkers {all_threads}
MinSpareThreads 1
MaxSpareThreads {all_threads}
AsyncRequestWorkerFactor 200
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 300
Timeout 300

OIDCCryptoPassphrase only-for-a-benchmark
# Version 2.4.12 ends with a fault when it is given the keys as files.
OIDCOAuthVerifyJwksUri {jwks}
OIDCOAuthSSLValidateServer Off
OIDCOAuthRemoteUserClaim sub
{routes}
"""

_ROUTE = r"""
<Location {prefix}>
    AuthType oauth20
    <RequireAll>
        Require claim iss:{issuer}
        Require claim aud:{audience}
        Require claim scope~^(.*[[:space:]])?{scope}([[:space:]].*)?$
    </RequireAll>
</Location>
ProxyPass {prefix} http://127.0.0.1:{upstream}{prefix}
"""


def _module(name: str) -> Path | None:
    found = (Path(folder) / f"mod_{name}.so" for folder in _FOLDERS)
    return next((path for path in found if path.exists()), None)


def _program() -> Path | None:
    return (find("apache2") or find("httpd")) if _module("auth_openidc") else None


def _user() -> str:
    """Apache's children never run as root; they read no file of ours."""
    return "User www-data\nGroup www-data" if os.geteuid() == 0 else f"# runs as {getpass.getuser()}"


def _command(setting: Setting) -> Sequence[str]:
    upstream = setting.upstream_port
    routes = (
        _ROUTE.format(prefix=prefix, issuer=ISSUER, audience=AUDIENCE, scope=SCOPE, upstream=upstream)
        for prefix in setting.prefixes
    )
    file = setting.folder / "apache.conf"
    file.write_text(
        _CONFIGURATION.format(
            modules="\n".join(f"LoadModule {name}_module {_module(name)}" for name in _MODULES),
            folder=setting.folder,
            user=_user(),
            port=setting.port,
            workers=setting.workers,
            threads=_THREADS,
            all_threads=_THREADS * setting.workers,
            upstream=upstream,
            jwks=setting.jwks_uri,
            routes="".join(routes),
        )
    )
    return [str(_program()), "-f", str(file), "-D", "FOREGROUND"]


def _version() -> str:
    apache = first_line("apache2" if find("apache2") else "httpd", "-v").partition(":")[2].split()[0]
    asked = ["dpkg-query", "-W", "-f", "${Version}", "libapache2-mod-auth-openidc"]
    if find("dpkg-query") is None:
        return apache
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return f"{apache} mod_auth_openidc/{done.stdout.partition('-')[0] or 'unknown'}"


APACHE = Peer("apache", "Apache, mod_auth_openidc", _program, _command, _version)
