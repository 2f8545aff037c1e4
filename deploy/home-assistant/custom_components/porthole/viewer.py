"""A viewer in Home Assistant, from its offer to its end."""

import asyncio

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant

from .api import PortholeError, Server, Session
from .const import LOGGER, MAX_CANDIDATES
from .whep import Candidate


class Viewer:
    """A session, with the candidates that wait for its answer.

    Home Assistant passes candidates on while the offer is on its way, and may close the session
    before there is an answer.
    """

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry) -> None:
        """Begin without a session."""
        self._hass = hass
        self._entry = entry
        self._session: Session | None = None
        self._waiting: list[Candidate] = []
        self._flushing = asyncio.Lock()
        self._is_closed = False

    async def start(self, server: Server, address: str, offer: str) -> str | None:
        """Send the offer, and return the answer unless the viewer has gone meanwhile."""
        session = await server.offer(address, offer)
        if self._is_closed:
            await end(session)
            return None
        self._session = session
        return session.answer

    def add(self, candidate: Candidate) -> None:
        """Keep a candidate; those beyond the bound are dropped, as a path may be found without."""
        if not self._is_closed and len(self._waiting) < MAX_CANDIDATES:
            self._waiting.append(candidate)

    async def flush(self) -> None:
        """Send the candidates that wait, those that came together in one request."""
        async with self._flushing:
            while self._session is not None and self._waiting:
                candidates, self._waiting = self._waiting, []
                await self._session.trickle(candidates)

    def close(self) -> None:
        """End the session, in the background."""
        self._is_closed = True
        self._waiting.clear()
        session, self._session = self._session, None
        if session is not None:
            # Not a task of the entry: that would be cancelled when the entry is unloaded.
            self._hass.async_create_task(end(session), "porthole session end")


async def end(session: Session) -> None:
    """End a session. If the server cannot be told, it ends the session by itself."""
    try:
        await session.close()
    except PortholeError as error:
        LOGGER.debug("A session was not ended: %s", error)
