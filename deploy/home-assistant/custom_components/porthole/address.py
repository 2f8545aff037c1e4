"""The address of a server, as a person enters it."""

import asyncio
import ipaddress

from yarl import URL


class InvalidAddressError(Exception):
    """An address that cannot be that of a server; `key` names the reason in `strings.json`."""

    def __init__(self, key: str) -> None:
        """Keep the reason."""
        super().__init__(key)
        self.key = key


def normalise(text: str) -> str:
    """Return the address without what does not belong to it."""
    try:
        url = URL(text.strip())
        port = url.port
    except ValueError as error:
        raise InvalidAddressError("invalid_url") from error
    if url.scheme not in ("http", "https") or not url.host or not port or url.user:
        raise InvalidAddressError("invalid_url")
    return str(url.with_query(None).with_fragment(None)).rstrip("/")


async def check_transport(url: str) -> None:
    """Refuse to send a token over the Internet without TLS.

    Plain http is for the own network, as for gateways.
    """
    parsed = URL(url)
    if parsed.scheme == "https":
        return
    try:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(parsed.host, parsed.port, proto=6)
    except (OSError, UnicodeError) as error:
        raise InvalidAddressError("cannot_connect") from error
    # A scope, as in fe80::1%eth0, does not belong to the address.
    addresses = [ipaddress.ip_address(entry[4][0].partition("%")[0]) for entry in found]
    if not addresses or any(address.is_global for address in addresses):
        raise InvalidAddressError("insecure_url")
