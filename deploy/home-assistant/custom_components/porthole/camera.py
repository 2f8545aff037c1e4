"""Cameras, played by Home Assistant's own offer and answer."""

from typing import Any

from webrtc_models import RTCConfiguration, RTCIceCandidateInit

from homeassistant.components.camera import (
    Camera,
    CameraEntityFeature,
    WebRTCAnswer,
    WebRTCClientConfiguration,
    WebRTCSendMessage,
)
from homeassistant.const import CONF_URL
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.update_coordinator import CoordinatorEntity

from .api import CameraInfo, PortholeError, SignInError
from .const import DOMAIN, LOGGER, MAX_CANDIDATE_CHARS, MAX_SESSIONS
from .coordinator import PortholeConfigEntry, PortholeCoordinator
from .viewer import Viewer
from .whep import Candidate

# Updates come from the coordinator.
PARALLEL_UPDATES = 0

# No picture passes a Porthole server, so that none can be had without a session.
PLACEHOLDER = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 360">\
<rect width="640" height="360" fill="#1c2733"/>\
<circle cx="320" cy="180" r="72" fill="none" stroke="#8fa6bd" stroke-width="16"/>\
<path d="M300 148v64l52-32z" fill="#8fa6bd"/></svg>"""


async def async_setup_entry(
    hass: HomeAssistant,
    entry: PortholeConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Make an entity for each camera, and for those that come later."""
    coordinator = entry.runtime_data
    known: set[str] = set()

    @callback
    def add_new() -> None:
        new = coordinator.data.keys() - known
        known.update(new)
        async_add_entities(PortholeCamera(coordinator, coordinator.data[key]) for key in new)

    entry.async_on_unload(coordinator.async_add_listener(add_new))
    add_new()


class PortholeCamera(CoordinatorEntity[PortholeCoordinator], Camera):
    """A camera of a gateway."""

    _attr_supported_features = CameraEntityFeature.STREAM
    _attr_brand = "Porthole"

    def __init__(self, coordinator: PortholeCoordinator, camera: CameraInfo) -> None:
        """Take the camera from the first list that it is in."""
        super().__init__(coordinator)
        Camera.__init__(self)
        self.content_type = "image/svg+xml"
        self._key = camera.key
        self._viewers: dict[str, Viewer] = {}
        self._attr_unique_id = camera.key
        self._attr_device_info = DeviceInfo(
            identifiers={(DOMAIN, camera.gateway)},
            name=f"Porthole gateway {camera.gateway}",
            manufacturer="Porthole",
            model="Gateway",
            configuration_url=coordinator.config_entry.data[CONF_URL],
        )
        self._show(camera)

    @property
    def available(self) -> bool:
        """Return true while the server lists the camera and its gateway is connected."""
        camera = self._camera()
        return super().available and camera is not None and camera.state != "offline"

    @property
    def extra_state_attributes(self) -> dict[str, Any]:
        """Return why there is no picture, if there is none."""
        camera = self._camera()
        reason = camera.reason if camera is not None else None
        return {} if reason is None else {"reason": reason}

    async def async_camera_image(
        self, width: int | None = None, height: int | None = None
    ) -> bytes | None:
        """Return a drawing: pictures go from the gateway to the viewer only."""
        return PLACEHOLDER

    async def async_handle_async_webrtc_offer(
        self, offer_sdp: str, session_id: str, send_message: WebRTCSendMessage
    ) -> None:
        """Pass the offer of a viewer on, and send it the answer."""
        camera = self._camera()
        if camera is None or not self.available:
            raise HomeAssistantError("The gateway of this camera is not connected")
        if len(self._viewers) >= MAX_SESSIONS:
            raise HomeAssistantError("Too many viewers of this camera; close one")
        viewer = Viewer(self.hass, self.coordinator.config_entry)
        self._viewers[session_id] = viewer
        try:
            answer = await viewer.start(self.coordinator.server, camera.address, offer_sdp)
        except PortholeError as error:
            self._viewers.pop(session_id, None)
            self._note(error)
            raise HomeAssistantError(f"Porthole: {error}") from error
        if answer is None:
            return
        send_message(WebRTCAnswer(answer))
        await self._flush(viewer)

    async def async_on_webrtc_candidate(
        self, session_id: str, candidate: RTCIceCandidateInit
    ) -> None:
        """Pass a candidate of a viewer on, or keep it until there is an answer."""
        viewer = self._viewers.get(session_id)
        if viewer is None or len(candidate.candidate) > MAX_CANDIDATE_CHARS:
            return
        text = candidate.candidate.strip()
        if not text.isprintable():
            return
        viewer.add(Candidate(text, candidate.sdp_mid, candidate.sdp_m_line_index))
        await self._flush(viewer)

    @callback
    def close_webrtc_session(self, session_id: str) -> None:
        """End the session of a viewer that has gone."""
        if (viewer := self._viewers.pop(session_id, None)) is not None:
            viewer.close()

    async def async_will_remove_from_hass(self) -> None:
        """End the sessions of all viewers."""
        await super().async_will_remove_from_hass()
        for session_id in list(self._viewers):
            self.close_webrtc_session(session_id)

    @callback
    def _async_get_webrtc_client_configuration(self) -> WebRTCClientConfiguration:
        """Return the ICE servers of Porthole, for this camera only."""
        servers = self.coordinator.ice_servers
        return WebRTCClientConfiguration(configuration=RTCConfiguration(ice_servers=servers))

    @callback
    def _handle_coordinator_update(self) -> None:
        if (camera := self._camera()) is not None:
            self._show(camera)
        super()._handle_coordinator_update()

    def _show(self, camera: CameraInfo) -> None:
        self._attr_name = camera.name
        self._attr_is_streaming = camera.state == "live"

    def _camera(self) -> CameraInfo | None:
        return self.coordinator.data.get(self._key)

    async def _flush(self, viewer: Viewer) -> None:
        try:
            await viewer.flush()
        except PortholeError as error:
            self._note(error)

    def _note(self, error: PortholeError) -> None:
        LOGGER.debug("Session with %s: %s", self.entity_id, error)
        if isinstance(error, SignInError):
            self.coordinator.ask_for_sign_in()
