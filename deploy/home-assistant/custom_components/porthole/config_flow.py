"""The dialogs in which a server is added, and its access token replaced."""

from collections.abc import Mapping
from typing import Any

import voluptuous as vol
from yarl import URL

from homeassistant.config_entries import ConfigFlow, ConfigFlowResult
from homeassistant.const import CONF_TOKEN, CONF_URL, CONF_VERIFY_SSL
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.helpers.selector import (
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)

from .address import InvalidAddressError, check_transport, normalise
from .api import PortholeError, RefusedError, Server, SignInError
from .const import DOMAIN, LOGGER

TOKEN = TextSelector(TextSelectorConfig(type=TextSelectorType.PASSWORD))
# An access token has 43 characters after its prefix; more than this is something else.
MAX_TOKEN_CHARS = 512


def schema(data: Mapping[str, Any]) -> vol.Schema:
    """Return the form for a server, filled with what is known."""
    return vol.Schema(
        {
            vol.Required(CONF_URL, default=data.get(CONF_URL, vol.UNDEFINED)): str,
            vol.Required(CONF_TOKEN): TOKEN,
            vol.Required(CONF_VERIFY_SSL, default=data.get(CONF_VERIFY_SSL, True)): bool,
        }
    )


class PortholeConfigFlow(ConfigFlow, domain=DOMAIN):
    """Adds a server."""

    VERSION = 1

    async def async_step_user(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for the address of a server and an access token."""
        errors: dict[str, str] = {}
        if user_input is not None:
            data, errors = await self._check(user_input)
            if not errors:
                self._async_abort_entries_match({CONF_URL: data[CONF_URL]})
                title = URL(data[CONF_URL]).host or "Porthole"
                return self.async_create_entry(title=title, data=data)
        return self.async_show_form(
            step_id="user", data_schema=schema(user_input or {}), errors=errors
        )

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for another address of the same server."""
        entry = self._get_reconfigure_entry()
        errors: dict[str, str] = {}
        if user_input is not None:
            data, errors = await self._check(user_input)
            if not errors:
                return self.async_update_reload_and_abort(entry, data=data)
        return self.async_show_form(
            step_id="reconfigure",
            data_schema=schema(user_input or entry.data),
            errors=errors,
        )

    async def async_step_reauth(self, entry_data: Mapping[str, Any]) -> ConfigFlowResult:
        """Begin when the access token is refused."""
        return await self.async_step_reauth_confirm()

    async def async_step_reauth_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for another access token."""
        entry = self._get_reauth_entry()
        errors: dict[str, str] = {}
        if user_input is not None:
            data, errors = await self._check({**entry.data, **user_input})
            if not errors:
                return self.async_update_reload_and_abort(entry, data=data)
        return self.async_show_form(
            step_id="reauth_confirm",
            data_schema=vol.Schema({vol.Required(CONF_TOKEN): TOKEN}),
            description_placeholders={"url": entry.data[CONF_URL]},
            errors=errors,
        )

    async def _check(self, data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the settings as they are stored, or what is wrong with them."""
        token = data[CONF_TOKEN].strip()
        if not token.isascii() or not token.isprintable() or len(token) > MAX_TOKEN_CHARS:
            return data, {CONF_TOKEN: "invalid_auth"}
        try:
            url = normalise(data[CONF_URL])
            await check_transport(url)
        except InvalidAddressError as error:
            return data, {CONF_URL: error.key}
        session = async_get_clientsession(self.hass, data[CONF_VERIFY_SSL])
        try:
            await Server(session, url, token).cameras()
        except SignInError:
            return data, {CONF_TOKEN: "invalid_auth"}
        except RefusedError as error:
            LOGGER.warning("Porthole has refused the list of cameras: %s", error)
            return data, {"base": "refused" if error.status == 403 else "cannot_connect"}
        except PortholeError as error:
            LOGGER.warning("Porthole cannot be reached: %s", error)
            return data, {"base": "cannot_connect"}
        return {CONF_URL: url, CONF_TOKEN: token, CONF_VERIFY_SSL: data[CONF_VERIFY_SSL]}, {}
