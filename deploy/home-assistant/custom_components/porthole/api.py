"""A Porthole server: its REST interface and WHEP."""

import asyncio
from dataclasses import dataclass
import json
from typing import Any, Self

import aiohttp
from webrtc_models import RTCIceServer
from yarl import URL

from .const import (
    MAX_ANSWER_BYTES,
    MAX_CAMERAS,
    MAX_ICE_SERVERS,
    MAX_LIFETIME_S,
    MAX_NAME_CHARS,
    MAX_REASON_CHARS,
    MAX_RESPONSE_BYTES,
    REQUEST_TIMEOUT_S,
)
from .whep import Candidate, Offer, fragment

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
ICE_SCHEMES = ("stun:", "stuns:", "turn:", "turns:")


class PortholeError(Exception):
    """A request that has failed, with a sentence for whoever reads the log."""


class UnreachableError(PortholeError):
    """The server does not answer, or something else does."""


class SignInError(PortholeError):
    """The access token is wrong, has ended or was revoked."""


class RefusedError(PortholeError):
    """The server has refused the request and said why."""

    def __init__(self, status: int, reason: str) -> None:
        """Keep the status beside the reason."""
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class CameraInfo:
    """A camera in the list of the server."""

    gateway: str
    id: str
    address: str
    name: str
    state: str
    reason: str | None
    watchable: bool

    @property
    def key(self) -> str:
        """Return what identifies the camera: its id is unique at its gateway only."""
        return f"{self.gateway}/{self.id}"

    @classmethod
    def parse(cls, entry: Any) -> Self | None:
        """Read an entry; one that has no name or address is left out."""
        if not isinstance(entry, dict):
            return None
        texts = [entry.get(name) for name in ("gateway", "id", "address", "name", "state")]
        if not all(isinstance(text, str) and text for text in texts):
            return None
        gateway, camera, address, name, state = texts
        if "/" in address or not address.isprintable():
            return None
        reason, permissions = entry.get("reason"), entry.get("permissions")
        return cls(
            gateway=gateway[:MAX_NAME_CHARS],
            id=camera[:MAX_NAME_CHARS],
            address=address,
            name=name[:MAX_NAME_CHARS],
            state=state,
            reason=reason[:MAX_REASON_CHARS] if isinstance(reason, str) else None,
            watchable=isinstance(permissions, list) and "watch" in permissions,
        )


@dataclass(frozen=True)
class IceServers:
    """STUN and TURN servers, and for how long one may begin to use them."""

    servers: list[RTCIceServer]
    lifetime_s: float


class Server:
    """A Porthole server, as one access token sees it."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        """Make a client; nothing is sent yet."""
        self._session = session
        self._url = URL(url)
        self._headers = {"Authorization": f"Bearer {token}"}

    async def cameras(self) -> list[CameraInfo]:
        """Return the cameras that the token may see."""
        body = await self._get("api/v1/cameras")
        entries = body.get("cameras")
        if not isinstance(entries, list):
            raise UnreachableError("the answer is not that of a Porthole server")
        cameras = [CameraInfo.parse(entry) for entry in entries[:MAX_CAMERAS]]
        return [camera for camera in cameras if camera is not None]

    async def ice_servers(self) -> IceServers:
        """Return the ICE servers for viewers, with credentials for a few minutes."""
        body = await self._get("api/v1/ice-servers")
        entries, lifetime_s = body.get("iceServers"), body.get("lifetimeS")
        if not isinstance(entries, list) or not isinstance(lifetime_s, int):
            raise UnreachableError("the answer is not that of a Porthole server")
        servers = [parse_ice_server(entry) for entry in entries[:MAX_ICE_SERVERS]]
        lifetime_s = min(max(0, lifetime_s), MAX_LIFETIME_S)
        return IceServers([server for server in servers if server], lifetime_s)

    async def offer(self, address: str, sdp: str) -> "Session":
        """Start a session with a camera."""
        url = self._url / "whep" / address
        response, body = await self.send("POST", url, MAX_ANSWER_BYTES, (SDP, sdp))
        if response.status != 201:
            raise refusal(response.status, body)
        return Session(
            server=self,
            resource=self._resource(url, response.headers.get("Location", "")),
            offer=Offer.parse(sdp),
            answer=decode(body),
            etag=response.headers.get("ETag"),
        )

    def _resource(self, url: URL, location: str) -> URL:
        """Return the address of a session: the token goes to its own server, and to no other."""
        try:
            resource = url.join(URL(location))
            if location and resource.origin() == self._url.origin():
                return resource
        except ValueError:
            pass
        raise UnreachableError("the answer names no session of this server")

    async def _get(self, path: str) -> dict[str, Any]:
        response, body = await self.send("GET", self._url / path, MAX_RESPONSE_BYTES)
        if response.status != 200:
            raise refusal(response.status, body)
        return parse_object(body)

    async def send(
        self,
        method: str,
        url: URL,
        limit: int,
        content: tuple[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """Send a request, and read at most `limit` bytes of the response."""
        headers = {**self._headers, **(headers or {})}
        if content is not None:
            headers["Content-Type"] = content[0]
        try:
            async with (
                asyncio.timeout(REQUEST_TIMEOUT_S),
                self._session.request(
                    method,
                    url,
                    headers=headers,
                    data=None if content is None else content[1].encode(),
                    # A redirect would take the token elsewhere.
                    allow_redirects=False,
                ) as response,
            ):
                body = bytearray()
                async for chunk in response.content.iter_chunked(65536):
                    body += chunk
                    if len(body) > limit:
                        raise UnreachableError(f"the answer has more than {limit} bytes")
                return response, bytes(body)
        except TimeoutError as error:
            text = f"no answer within {REQUEST_TIMEOUT_S} s"
            raise UnreachableError(text) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UnreachableError(f"no connection to the server: {error}") from error


class Session:
    """A session of a viewer with a camera."""

    def __init__(
        self, *, server: Server, resource: URL, offer: Offer, answer: str, etag: str | None
    ) -> None:
        """Keep what the server has answered."""
        self.answer = answer
        self._server = server
        self._resource = resource
        self._offer = offer
        self._etag = etag

    async def trickle(self, candidates: list[Candidate]) -> None:
        """Pass candidates of the viewer on."""
        headers = {} if self._etag is None else {"If-Match": self._etag}
        content = (FRAGMENT, fragment(self._offer, candidates))
        await self._request("PATCH", content, headers)

    async def close(self) -> None:
        """End the session. One that is over already is no error."""
        try:
            await self._request("DELETE")
        except RefusedError as error:
            if error.status != 404:
                raise

    async def _request(
        self,
        method: str,
        content: tuple[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        response, body = await self._server.send(
            method, self._resource, MAX_ANSWER_BYTES, content, headers
        )
        if not 200 <= response.status < 300:
            raise refusal(response.status, body)


def parse_ice_server(entry: Any) -> RTCIceServer | None:
    """Read an ICE server; one without addresses, or with other ones, is left out."""
    urls = entry.get("urls") if isinstance(entry, dict) else None
    if not isinstance(urls, list):
        return None
    urls = [url for url in urls if isinstance(url, str) and url.startswith(ICE_SCHEMES)]
    username, credential = entry.get("username"), entry.get("credential")
    if not urls:
        return None
    if isinstance(username, str) and isinstance(credential, str):
        return RTCIceServer(urls, username, credential)
    return RTCIceServer(urls)


def parse_object(body: bytes) -> dict[str, Any]:
    """Read the body of a response as a JSON object."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        text = "the answer is not that of a Porthole server; check the address"
        raise UnreachableError(text) from error
    if not isinstance(value, dict):
        raise UnreachableError("the answer is not that of a Porthole server; check the address")
    return value


def decode(body: bytes) -> str:
    """Return a body as text."""
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise UnreachableError("the answer is not text") from error


def refusal(status: int, body: bytes) -> PortholeError:
    """Return the error for a status, with the reason that the server gives."""
    try:
        reason = parse_object(body).get("error")
    except UnreachableError:
        reason = None
    reason = reason if isinstance(reason, str) else f"the server has answered {status}"
    if status == 401:
        return SignInError(reason[:MAX_REASON_CHARS])
    if 300 <= status < 400:
        return UnreachableError("the server names another address; use that one")
    return RefusedError(status, reason[:MAX_REASON_CHARS])
