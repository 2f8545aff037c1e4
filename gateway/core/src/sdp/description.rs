//! What a session description says, as far as it matters here.

use crate::dtls_srtp::{DtlsRole, Fingerprint};

/// A description somebody else wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// `<sess-id>` and `<sess-version>` of the origin line.
    pub session: (u64, u64),
    /// The mids of each `a=group:BUNDLE`.
    pub bundles: Vec<Vec<String>>,
    /// `a=ice-options:trickle` anywhere.
    pub trickle: bool,
    /// `a=ice-lite`: the other side makes no checks, so ours must control.
    pub ice_lite: bool,
    pub sections: Vec<Section>,
}

/// One `m=` section. What the session level says for all sections is filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// `audio`, `video`, `application`, …
    pub media: String,
    pub port: u16,
    pub protocol: String,
    pub formats: Vec<String>,
    pub mid: Option<String>,
    pub direction: Direction,
    /// `a=bundle-only`: with port 0, the section lives on another one's transport.
    pub bundle_only: bool,
    pub ufrag: Option<String>,
    pub pwd: Option<String>,
    pub fingerprint: Option<Fingerprint>,
    pub setup: Option<Setup>,
    pub rtcp_mux: bool,
    pub codecs: Vec<RemoteCodec>,
    pub extensions: Vec<Extension>,
    /// The first SSRC that is announced: the media itself.
    pub ssrc: Option<u32>,
    /// From `a=ssrc-group:FID`: the one that repeats `ssrc`.
    pub rtx_ssrc: Option<u32>,
    /// `candidate:…`, without `a=`.
    pub candidates: Vec<String>,
    pub end_of_candidates: bool,
}

impl Section {
    /// Refused, or taken out of a running session (RFC 9429 §5.2.2).
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        self.port == 0 && !self.bundle_only
    }

    /// The number of the extension with this URI, if one-byte headers can carry it.
    #[must_use]
    pub fn extension(&self, uri: &str) -> Option<u8> {
        self.extensions.iter().find(|extension| extension.uri == uri).map(|found| found.id)
    }
}

/// `a=sendrecv` and the like (RFC 8866 §6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    pub(super) const ALL: [Self; 4] =
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    #[must_use]
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    #[must_use]
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

/// Who begins the DTLS handshake (RFC 8842 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    ActPass,
    Active,
    Passive,
}

impl Setup {
    pub(super) const ALL: [Self; 3] = [Self::ActPass, Self::Active, Self::Passive];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ActPass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }

    /// Our role when the other side's answer says this.
    #[must_use]
    pub fn local_role(self) -> Option<DtlsRole> {
        match self {
            Self::Active => Some(DtlsRole::Server),
            Self::Passive => Some(DtlsRole::Client),
            Self::ActPass => None,
        }
    }
}

/// How one side is reached and recognised.
#[derive(Clone, PartialEq, Eq)]
pub struct Transport {
    pub ufrag: String,
    pub pwd: String,
    pub fingerprint: Fingerprint,
    pub setup: Setup,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport")
            .field("ufrag", &self.ufrag)
            .field("fingerprint", &self.fingerprint)
            .field("setup", &self.setup)
            .finish_non_exhaustive()
    }
}

/// A payload type the other side knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteCodec {
    pub payload_type: u8,
    /// The encoding name, as written.
    pub name: String,
    pub clock_rate: u32,
    /// Audio only.
    pub channels: Option<u8>,
    pub fmtp: String,
    /// `nack`, `nack pli`, `ccm fir`, …
    pub feedback: Vec<String>,
}

impl RemoteCodec {
    /// The value of one format parameter; names are case-insensitive.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        parameter(&self.fmtp, name)
    }

    #[must_use]
    pub fn has_feedback(&self, feedback: &str) -> bool {
        self.feedback.iter().any(|known| known == feedback)
    }
}

/// The value of one parameter of an `a=fmtp` line.
pub(super) fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    fmtp.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A header extension and its number (RFC 8285).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    pub id: u8,
    pub uri: String,
}
