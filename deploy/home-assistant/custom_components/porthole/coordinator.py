"""The list of cameras, which is asked for regularly, and ICE servers held in advance."""

import time

from webrtc_models import RTCIceServer

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ConfigEntryAuthFailed
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator, UpdateFailed

from .api import CameraInfo, IceServers, PortholeError, Server, SignInError
from .const import DOMAIN, LOGGER, POLL_INTERVAL

type PortholeConfigEntry = ConfigEntry["PortholeCoordinator"]


class PortholeCoordinator(DataUpdateCoordinator[dict[str, CameraInfo]]):
    """Keeps what the entities of one server show."""

    config_entry: PortholeConfigEntry

    def __init__(self, hass: HomeAssistant, entry: PortholeConfigEntry, server: Server) -> None:
        """Begin without cameras and without ICE servers."""
        super().__init__(
            hass,
            LOGGER,
            name=DOMAIN,
            config_entry=entry,
            update_interval=POLL_INTERVAL,
        )
        self.server = server
        self._ice = IceServers([], 0)
        self._ice_since = 0.0
        self._ice_failed = False

    @property
    def ice_servers(self) -> list[RTCIceServer]:
        """Return the ICE servers whose credentials can still be used."""
        return list(self._ice.servers) if self._ice_age() < self._ice.lifetime_s else []

    def ask_for_sign_in(self) -> None:
        """Ask the person for another access token, once."""
        self.config_entry.async_start_reauth(self.hass)

    async def _async_update_data(self) -> dict[str, CameraInfo]:
        try:
            cameras = await self.server.cameras()
        except SignInError as error:
            raise ConfigEntryAuthFailed(str(error)) from error
        except PortholeError as error:
            raise UpdateFailed(str(error)) from error
        await self._update_ice_servers()
        return {camera.key: camera for camera in cameras if camera.watchable}

    async def _update_ice_servers(self) -> None:
        """Replace the ICE servers at half of their lifetime."""
        if self._ice_age() < self._ice.lifetime_s / 2:
            return
        try:
            self._ice = await self.server.ice_servers()
            self._ice_since = time.monotonic()
            self._ice_failed = False
        except PortholeError as error:
            # Cameras in the same network need none, and the next update tries again.
            if not self._ice_failed:
                LOGGER.warning("No ICE servers from Porthole: %s", error)
            self._ice_failed = True

    def _ice_age(self) -> float:
        return time.monotonic() - self._ice_since
