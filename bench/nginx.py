"""nginx's settings for the benches: one worker, sendfile, no access log but where upstream GETs are counted."""

import os
from pathlib import Path
from typing import Final

from bench.content import MANIFEST_TYPE

# Nothing but the answer: a reconnect after 1,000 requests, nginx's default, would be measured with it.
_FRAME: Final = """daemon off;
{user}
worker_processes 1;
pid {root}/pid;
error_log {root}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log {access_log};
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_temp_path {root}/body;
  proxy_temp_path {root}/proxy;
  fastcgi_temp_path {root}/fastcgi;
  uwsgi_temp_path {root}/uwsgi;
  scgi_temp_path {root}/scgi;
  default_type application/octet-stream;
  types {{ }}
  {extra}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    root {root}/files;
    add_header Docker-Distribution-Api-Version registry/2.0;
    {locations}
  }}
}}
"""
_FILES: Final = (
    f"location ~ /manifests/ {{ default_type {MANIFEST_TYPE}; }}\n    location = /v2/ {{ index index.html; }}"
)


def files_config(root: Path, port: int, access_log: str = "off") -> str:
    """Serve files."""
    return _frame(root, port, _FILES, access_log=access_log)


def dav_config(root: Path, port: int) -> str:
    """Take files by PUT, into a folder of the same filesystem so that the last step is a rename."""
    return _frame(root, port, "location /pushed/ { dav_methods PUT; create_full_put_path on; }")


def cache_config(root: Path, port: int, upstream_port: int) -> str:
    """Cache the upstream, one fetch for all that wait."""
    extra = f"proxy_cache_path {root}/cache keys_zone=blobs:10m max_size=10g use_temp_path=off;"
    locations = (
        "location / { proxy_cache blobs; proxy_cache_valid 200 1h; proxy_cache_lock on; proxy_cache_lock_age 60s; "
        f"proxy_cache_lock_timeout 60s; proxy_max_temp_file_size 4096m; proxy_pass http://127.0.0.1:{upstream_port}; }}"
    )
    return _frame(root, port, locations, extra=extra)


def _frame(root: Path, port: int, locations: str, *, access_log: str = "off", extra: str = "") -> str:
    # Workers give up root by default, and could not read a scratch folder of root's then.
    user = "user root;" if os.geteuid() == 0 else ""
    return _FRAME.format(user=user, root=root, port=port, locations=locations, access_log=access_log, extra=extra)
