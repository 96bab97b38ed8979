"""Where a listener may stand: beyond this machine only with authentication and TLS, or where it is told so."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schema.serving import TlsConfig


def danger(endpoint: str, *, insecure: bool, asks_for_keys: bool, tls: TlsConfig | None, doing: str) -> str:
    """Return what is wrong with listening on host:port, "" where nothing is; `doing` is what strangers could do."""
    if insecure or is_loopback(endpoint.rpartition(":")[0].strip("[]")):
        return ""
    if not asks_for_keys and (tls is None or tls.client_ca_file is None):
        return (
            f"{endpoint} can be reached from other machines, and anyone there could {doing}; bind 127.0.0.1, set auth: "
            "{mode: keys}, ask for client certificates (tls.client_ca_file), or set insecure: true where a firewall or "
            "proxy stands before it"
        )
    if tls is None:
        return (
            f"{endpoint} can be reached from other machines, and keys could be read on the way; set tls: {{cert_file, "
            "key_file}, or insecure: true where a proxy before it ends TLS"
        )
    return ""


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
