"""nginx as a proxy that checks nothing and keeps nothing on disk: the floor that all others are compared with."""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.processes import find, first_line
from benchmarks.servers.peer import Peer, Setting

_FRAME = """
daemon off;
{user}
worker_processes {workers};
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 16000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/client;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 100000000;
    keepalive_timeout 300s;
    {content}
}}
"""

_PROXY = """
    client_max_body_size 10m;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_request_buffering off;
    proxy_max_temp_file_size 0;
    proxy_set_header X-Forwarded-For $remote_addr;
    upstream orders {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096 reuseport;
        {locations}
    }}
"""


def command(folder: Path, content: str, workers: int = 1) -> Sequence[str]:
    """nginx with this content of its `http` block."""
    # Workers of a root's nginx would be of another user, who may not look into the folder.
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    file = folder / "nginx.conf"
    file.write_text(_FRAME.format(folder=folder, user=user, workers=workers, content=content))
    return [str(find("nginx")), "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(file)]


def _proxy(setting: Setting) -> Sequence[str]:
    locations = "\n        ".join(f"location {prefix} {{ proxy_pass http://orders; }}" for prefix in setting.prefixes)
    content = _PROXY.format(port=setting.port, upstream=setting.upstream_port, locations=locations)
    return command(setting.folder, content, setting.workers)


def version() -> str:
    """As nginx tells it."""
    return first_line("nginx", "-v").removeprefix("nginx version: ")


NGINX = Peer("nginx", "nginx, no check", lambda: find("nginx"), _proxy, version, checks_tokens=False)
