"""Proxies: what stands before a site says who asks, and how; nobody else can.

What they say counts only when the connection comes from an address of ``trusted_proxies``, and only in the
header of ``proxy_header``: most proxies write one and hand the other on as the client made it. The chain is
read from its end: the first address that is no trusted proxy is the client; what stands before that was
written by it. Where there is no usable address, that of the proxy stays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final, Literal, TypeAlias

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["TrustedProxies"]

_Network: TypeAlias = IPv4Network | IPv6Network

#: Longer chains are no chains.
_MOST_HOPS: Final = 20
_PAIR: Final = re.compile(r'\s*([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^";,\s]*)\s*')


class TrustedProxies:
    """Let an application see the client and the scheme that trusted proxies name."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        networks: Sequence[_Network],
        header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for",
    ) -> None:
        self.app = app
        self.header = header
        self.networks = tuple(networks)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Replace client and scheme of what comes from a trusted proxy."""
        client = scope.get("client")
        if scope["type"] in ("http", "websocket") and client and self._trusts(client[0]):
            scope = {**scope, **self._named(scope)}
        await self.app(scope, receive, send)

    def _named(self, scope: Scope) -> dict[str, Any]:
        """Return what the headers change of a scope."""
        headers = Headers(scope=scope)
        text = ", ".join(headers.getlist(self.header))
        if self.header == "forwarded":
            hops = _hops(text)
        else:
            hops = [{"for": each} for each in text.split(",")]
            hops[-1]["proto"] = ", ".join(headers.getlist("x-forwarded-proto"))
        changed: dict[str, Any] = {}
        if len(hops) > _MOST_HOPS:
            return changed
        for hop in reversed(hops):
            scheme = hop.get("proto", "").strip().lower()
            if scheme in ("http", "https"):
                is_socket = scope["type"] == "websocket"
                changed["scheme"] = scheme.replace("http", "ws") if is_socket else scheme
            address = _address(hop.get("for", ""))
            if address is None:
                break
            changed["client"] = (address, 0)
            if not self._trusts(address):
                break
        return changed

    def _trusts(self, host: str) -> bool:
        try:
            address = ip_address(host)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self.networks)


def _hops(text: str) -> list[dict[str, str]]:
    """Read ``Forwarded``; what is malformed has no hops."""
    hops: list[dict[str, str]] = [{}]
    position = 0
    while position < len(text):
        found = _PAIR.match(text, position)
        if found is None:
            return []
        name, value = found[1].lower(), found[2]
        if name in hops[-1]:
            return []
        hops[-1][name] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        position = found.end()
        separator = text[position : position + 1]
        if separator == ",":
            hops.append({})
        elif separator not in (";", ""):
            return []
        position += 1
    return hops


def _address(text: str) -> str | None:
    """Return the address of a hop, without its port; None where there is none (``unknown``, ``_hidden``)."""
    text = text.strip()
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?", text)
    with_port = re.fullmatch(r"([0-9.]+):\d{1,5}", text)
    found = bracketed or with_port
    try:
        return str(ip_address(found[1] if found else text))
    except ValueError:
        return None
