"""Cameras of a Porthole server, watched over WebRTC."""

from homeassistant.const import CONF_TOKEN, CONF_URL, CONF_VERIFY_SSL, Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.helpers.device_registry import DeviceEntry

from .api import Server
from .const import DOMAIN
from .coordinator import PortholeConfigEntry, PortholeCoordinator

PLATFORMS = [Platform.CAMERA]


async def async_setup_entry(hass: HomeAssistant, entry: PortholeConfigEntry) -> bool:
    """Connect to a server, and make its cameras."""
    session = async_get_clientsession(hass, entry.data[CONF_VERIFY_SSL])
    server = Server(session, entry.data[CONF_URL], entry.data[CONF_TOKEN])
    coordinator = PortholeCoordinator(hass, entry, server)
    await coordinator.async_config_entry_first_refresh()
    entry.runtime_data = coordinator
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    return True


async def async_unload_entry(hass: HomeAssistant, entry: PortholeConfigEntry) -> bool:
    """End the sessions of all viewers, and remove the cameras."""
    return await hass.config_entries.async_unload_platforms(entry, PLATFORMS)


async def async_remove_config_entry_device(
    hass: HomeAssistant, entry: PortholeConfigEntry, device: DeviceEntry
) -> bool:
    """Allow the removal of a gateway that has no cameras any more."""
    gateways = {camera.gateway for camera in entry.runtime_data.data.values()}
    named = {name for domain, name in device.identifiers if domain == DOMAIN}
    return not named & gateways
