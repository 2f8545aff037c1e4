"""What a person may attach to a report of a problem."""

from typing import Any

from homeassistant.components.diagnostics import async_redact_data
from homeassistant.const import CONF_TOKEN, CONF_URL
from homeassistant.core import HomeAssistant

from .coordinator import PortholeConfigEntry


async def async_get_config_entry_diagnostics(
    hass: HomeAssistant, entry: PortholeConfigEntry
) -> dict[str, Any]:
    """Return the state of the connection, without addresses, names and secrets."""
    coordinator = entry.runtime_data
    return {
        "entry": async_redact_data(dict(entry.data), {CONF_TOKEN, CONF_URL}),
        "connected": coordinator.last_update_success,
        "cameras": sorted(camera.state for camera in coordinator.data.values()),
        "ice_servers": len(coordinator.ice_servers),
    }
