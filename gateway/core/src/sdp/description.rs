//! The contents of a session description, as far as they are used.

use std::time::Duration;

use crate::dtls_srtp::{DtlsRole, Fingerprint};

/// A session description received from a peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// Session id and version of the `o=` line.
    pub session: (u64, u64),
    /// The mids of each `a=group:BUNDLE`.
    pub bundles: Vec<Vec<String>>,
    /// True if `a=ice-options:trickle` appears anywhere.
    pub trickle: bool,
    /// True with `a=ice-lite`: the peer sends no connectivity checks, so we must be controlling.
    pub ice_lite: bool,
    /// True if `a=ice-options:ice2` appears anywhere: the peer follows RFC 8445, not RFC 5245.
    pub ice2: bool,
    /// The interval between checks that the peer proposes (RFC 8839 §5.5).
    pub ice_pacing: Option<Duration>,
    /// The media sections, in order.
    pub sections: Vec<Section>,
}

/// A media section, with the attributes of the session level filled in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// Media type: `audio`, `video`, `application`, …
    pub media: String,
    /// Port of the `m=` line.
    pub port: u16,
    /// Transport protocol of the `m=` line.
    pub protocol: String,
    /// Formats of the `m=` line: for RTP, payload types.
    pub formats: Vec<String>,
    /// The section's name, `a=mid`.
    pub mid: Option<String>,
    /// The direction, seen from the peer.
    pub direction: Direction,
    /// True with `a=bundle-only`: with port 0, the section uses another one's transport.
    pub bundle_only: bool,
    /// The peer's ICE user name fragment, `a=ice-ufrag`.
    pub ufrag: Option<String>,
    /// The peer's ICE password, `a=ice-pwd`.
    pub pwd: Option<String>,
    /// SHA-256 fingerprint of the peer's certificate, `a=fingerprint`.
    pub fingerprint: Option<Fingerprint>,
    /// The peer's role in the DTLS handshake, `a=setup`.
    pub setup: Option<Setup>,
    /// True with `a=rtcp-mux`: RTP and RTCP share one port.
    pub rtcp_mux: bool,
    /// Codecs of the section, the peer's preferred one first.
    pub codecs: Vec<RemoteCodec>,
    /// Header extensions of the section.
    pub extensions: Vec<Extension>,
    /// The first announced SSRC, which is that of the media stream.
    pub ssrc: Option<u32>,
    /// The SSRC of the retransmission stream, from `a=ssrc-group:FID`.
    pub rtx_ssrc: Option<u32>,
    /// Candidates in the form `candidate:…`, without `a=`.
    pub candidates: Vec<String>,
    /// True if no more candidates follow.
    pub end_of_candidates: bool,
}

impl Section {
    /// Returns the section's name.
    #[must_use]
    pub fn mid(&self) -> Option<&str> {
        self.mid.as_deref()
    }

    /// Returns true if the section is rejected, or was removed from a session (RFC 9429 §5.2.2).
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        self.port == 0 && !self.bundle_only
    }

    /// Returns the id of the header extension with this URI, if one-byte headers can carry it.
    #[must_use]
    pub fn extension(&self, uri: &str) -> Option<u8> {
        self.extensions.iter().find(|extension| extension.uri == uri).map(|found| found.id)
    }
}

/// The direction of a section (RFC 8866 §6.7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Direction {
    /// The writer sends and receives; without an attribute, this is meant (RFC 8866 §6.7.1).
    #[default]
    SendRecv,
    /// The writer only sends.
    SendOnly,
    /// The writer only receives.
    RecvOnly,
    /// The writer neither sends nor receives.
    Inactive,
}

impl Direction {
    pub(super) const ALL: [Self; 4] =
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];

    /// Returns the name of the attribute.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// Returns true if the writer of the description sends.
    #[must_use]
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Returns true if the writer of the description receives.
    #[must_use]
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

/// The role in the DTLS handshake that a description proposes (RFC 8842 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// Either role: the answerer chooses.
    ActPass,
    /// The writer begins the handshake, as the client.
    Active,
    /// The writer waits for the handshake, as the server.
    Passive,
}

impl Setup {
    pub(super) const ALL: [Self; 3] = [Self::ActPass, Self::Active, Self::Passive];

    /// Returns the value of the attribute.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ActPass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }

    /// Returns our role if the peer's answer has this value; `None` if an answer must not have it.
    #[must_use]
    pub fn local_role(self) -> Option<DtlsRole> {
        match self {
            Self::Active => Some(DtlsRole::Server),
            Self::Passive => Some(DtlsRole::Client),
            Self::ActPass => None,
        }
    }
}

/// ICE credentials, DTLS fingerprint and DTLS role of one side.
#[derive(Clone, PartialEq, Eq)]
pub struct Transport {
    /// ICE user name fragment.
    pub ufrag: String,
    /// The ICE password.
    pub pwd: String,
    /// Fingerprint of the DTLS certificate.
    pub fingerprint: Fingerprint,
    /// Role in the DTLS handshake.
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

/// A payload type of the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteCodec {
    /// The RTP payload type.
    pub payload_type: u8,
    /// Encoding name, as written.
    pub name: String,
    /// RTP clock rate in hertz.
    pub clock_rate: u32,
    /// Number of channels; only for audio.
    pub channels: Option<u8>,
    /// Format parameters, the value of `a=fmtp`.
    pub fmtp: String,
    /// Supported feedback: `nack`, `nack pli`, `ccm fir`, …
    pub feedback: Vec<String>,
}

impl RemoteCodec {
    /// Returns the value of a format parameter. Ignores the case of the name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        parameter(&self.fmtp, name)
    }

    /// Returns true if the peer supports this feedback, such as `nack pli`.
    #[must_use]
    pub fn has_feedback(&self, feedback: &str) -> bool {
        self.feedback.iter().any(|known| known == feedback)
    }
}

/// Returns the value of a parameter of an `a=fmtp` line.
pub(super) fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    fmtp.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A header extension and its id (RFC 8285).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// The id, 1 to 14.
    pub id: u8,
    /// The URI of the extension.
    pub uri: String,
}
