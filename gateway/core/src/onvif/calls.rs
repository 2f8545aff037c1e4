//! The calls of a probe: their requests, and the address of the service that answers each.

use super::xml::escape;

/// Namespace of the device service (ONVIF Core).
pub(super) const DEVICE: &str = "http://www.onvif.org/ver10/device/wsdl";

/// Namespace of the first media service.
pub(super) const MEDIA1: &str = "http://www.onvif.org/ver10/media/wsdl";

/// Namespace of the second media service, which knows H.265.
pub(super) const MEDIA2: &str = "http://www.onvif.org/ver20/media/wsdl";

/// Namespace of the PTZ service.
pub(super) const PTZ: &str = "http://www.onvif.org/ver20/ptz/wsdl";

/// Namespace of the event service.
pub(super) const EVENTS: &str = "http://www.onvif.org/ver10/events/wsdl";

/// The two media services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    /// The service of every device.
    First,
    /// The service of devices since 2016.
    Second,
}

/// A call of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    /// The camera's clock, which needs no credentials.
    SystemTime,
    /// The services and their addresses.
    Services,
    /// The same as older devices know it.
    Capabilities,
    /// Vendor, model, firmware and serial number.
    Information,
    /// The MAC address.
    Interfaces,
    /// The profiles: sources and encoders.
    Profiles(Media),
    /// The RTSP address of a profile.
    StreamUri(Media, String),
    /// The address of a profile's still picture.
    SnapshotUri(Media, String),
}

impl Call {
    /// Returns the name of the call.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::SystemTime => "GetSystemDateAndTime",
            Self::Services => "GetServices",
            Self::Capabilities => "GetCapabilities",
            Self::Information => "GetDeviceInformation",
            Self::Interfaces => "GetNetworkInterfaces",
            Self::Profiles(_) => "GetProfiles",
            Self::StreamUri(..) => "GetStreamUri",
            Self::SnapshotUri(..) => "GetSnapshotUri",
        }
    }

    /// Returns the media service that answers; `None` for the device service.
    pub(super) fn media(&self) -> Option<Media> {
        match self {
            Self::Profiles(media) | Self::StreamUri(media, _) | Self::SnapshotUri(media, _) => {
                Some(*media)
            }
            Self::SystemTime
            | Self::Services
            | Self::Capabilities
            | Self::Information
            | Self::Interfaces => None,
        }
    }

    /// Returns the namespace of the call.
    fn namespace(&self) -> &'static str {
        match self.media() {
            None => DEVICE,
            Some(Media::First) => MEDIA1,
            Some(Media::Second) => MEDIA2,
        }
    }

    /// Returns the value of `action` in the content type.
    pub(super) fn action(&self) -> String {
        format!("{}/{}", self.namespace(), self.name())
    }

    /// Returns the content of the request's body.
    pub(super) fn body(&self) -> String {
        let content = match self {
            Self::SystemTime
            | Self::Information
            | Self::Interfaces
            | Self::Profiles(Media::First) => String::new(),
            Self::Services => "<c:IncludeCapability>false</c:IncludeCapability>".to_owned(),
            Self::Capabilities => "<c:Category>All</c:Category>".to_owned(),
            Self::Profiles(Media::Second) => "<c:Type>All</c:Type>".to_owned(),
            Self::StreamUri(Media::First, token) => format!(
                "<c:StreamSetup xmlns:t=\"http://www.onvif.org/ver10/schema\">\
                 <t:Stream>RTP-Unicast</t:Stream>\
                 <t:Transport><t:Protocol>RTSP</t:Protocol></t:Transport></c:StreamSetup>\
                 <c:ProfileToken>{}</c:ProfileToken>",
                escape(token)
            ),
            Self::StreamUri(Media::Second, token) => format!(
                "<c:Protocol>RtspUnicast</c:Protocol><c:ProfileToken>{}</c:ProfileToken>",
                escape(token)
            ),
            Self::SnapshotUri(_, token) => {
                format!("<c:ProfileToken>{}</c:ProfileToken>", escape(token))
            }
        };
        let (name, namespace) = (self.name(), self.namespace());
        format!("<c:{name} xmlns:c=\"{namespace}\">{content}</c:{name}>")
    }
}
