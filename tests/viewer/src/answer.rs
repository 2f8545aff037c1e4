//! The viewer's answer: takes the first video section of an offer, with its preferred codec.

use std::fmt::Write as _;

use porthole_gateway_core::dtls_srtp::{DtlsRole, Fingerprint};
use porthole_gateway_core::ice::{BadCredentials, Credentials};
use porthole_gateway_core::media::Codec;
use porthole_gateway_core::sdp::{self, EXTENSION_TRANSPORT_CC, RemoteCodec, SdpError, Section};
use porthole_gateway_core::transport::RemoteTransport;

/// Reason for which the viewer cannot answer an offer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The offer is malformed.
    #[error(transparent)]
    Description(#[from] SdpError),
    /// The offer's ICE credentials are malformed.
    #[error(transparent)]
    Credentials(#[from] BadCredentials),
    /// The offer has nothing that this viewer plays, or lacks what every offer has; its name.
    #[error("the offer has no {0}")]
    Missing(&'static str),
}

/// The part of an offer that the viewer takes.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The gateway's side of the transport.
    pub remote: RemoteTransport,
    /// Codec of the video.
    pub codec: Codec,
    /// Payload type of the media stream.
    pub payload_type: u8,
    /// Payload type of the retransmission stream.
    pub rtx_payload_type: Option<u8>,
    /// Mid of the video section.
    pub mid: String,
    /// SSRC of the media stream.
    pub ssrc: Option<u32>,
    /// Id of the header extension with the transport-wide number.
    pub transport_cc: Option<u8>,
    /// Candidates in the offer.
    pub candidates: Vec<String>,
    section: Section,
}

/// Reads an offer; `role` is our role in the DTLS handshake.
pub(crate) fn read(offer: &str, role: DtlsRole) -> Result<Chosen, AnswerError> {
    let offer = sdp::parse(offer)?;
    let mut sections = offer.sections.into_iter();
    let section = sections.find(|section| section.media == "video" && !section.is_rejected());
    let section = section.ok_or(AnswerError::Missing("video"))?;
    let known = |offered: &RemoteCodec| {
        Codec::from_encoding_name(&offered.name).map(|codec| (codec, offered.payload_type))
    };
    let (codec, payload_type) =
        section.codecs.iter().find_map(known).ok_or(AnswerError::Missing("known codec"))?;
    let missing = AnswerError::Missing;
    let ufrag = section.ufrag.as_deref().ok_or(missing("a=ice-ufrag"))?;
    let pwd = section.pwd.as_deref().ok_or(missing("a=ice-pwd"))?;
    Ok(Chosen {
        remote: RemoteTransport {
            credentials: Credentials::parse(ufrag, pwd)?,
            fingerprint: section.fingerprint.ok_or(missing("a=fingerprint"))?,
            role,
            ice_lite: offer.ice_lite,
            ice_pacing: offer.ice_pacing,
        },
        codec,
        payload_type,
        rtx_payload_type: rtx_of(&section, payload_type),
        mid: section.mid.clone().ok_or(missing("a=mid"))?,
        ssrc: section.ssrc,
        transport_cc: section.extension(EXTENSION_TRANSPORT_CC),
        candidates: section.candidates.clone(),
        section,
    })
}

fn rtx_of(section: &Section, payload_type: u8) -> Option<u8> {
    let apt = payload_type.to_string();
    let is_rtx = |codec: &&RemoteCodec| codec.name == "rtx" && codec.parameter("apt") == Some(&apt);
    section.codecs.iter().find(is_rtx).map(|codec| codec.payload_type)
}

/// Our side of an answer.
pub(crate) struct Ours<'a> {
    pub(crate) origin: u64,
    pub(crate) version: u64,
    pub(crate) credentials: &'a Credentials,
    pub(crate) fingerprint: Fingerprint,
}

/// Writes the answer; candidates are trickled after it.
pub(crate) fn write(chosen: &Chosen, ours: &Ours<'_>) -> String {
    let Ours { origin, version, credentials, fingerprint } = ours;
    let setup = match chosen.remote.role {
        DtlsRole::Client => "active",
        DtlsRole::Server => "passive",
    };
    let mid = &chosen.mid;
    let types: Vec<_> = [Some(chosen.payload_type), chosen.rtx_payload_type]
        .into_iter()
        .flatten()
        .map(|payload_type| payload_type.to_string())
        .collect();
    let mut lines = vec![
        "v=0".to_owned(),
        format!("o=- {origin} {version} IN IP4 0.0.0.0"),
        "s=-".to_owned(),
        "t=0 0".to_owned(),
        format!("a=group:BUNDLE {mid}"),
        "a=ice-options:trickle".to_owned(),
        format!("m=video 9 {} {}", chosen.section.protocol, types.join(" ")),
        "c=IN IP4 0.0.0.0".to_owned(),
        format!("a=mid:{mid}"),
        "a=recvonly".to_owned(),
        format!("a=ice-ufrag:{}", credentials.ufrag),
        format!("a=ice-pwd:{}", credentials.pwd),
        format!("a=fingerprint:sha-256 {fingerprint}"),
        format!("a=setup:{setup}"),
        "a=rtcp-mux".to_owned(),
    ];
    let extensions = &chosen.section.extensions;
    lines.extend(extensions.iter().map(|known| format!("a=extmap:{} {}", known.id, known.uri)));
    let taken = |codec: &&RemoteCodec| types.contains(&codec.payload_type.to_string());
    for RemoteCodec { payload_type, name, clock_rate, fmtp, feedback, .. } in
        chosen.section.codecs.iter().filter(taken)
    {
        lines.push(format!("a=rtpmap:{payload_type} {name}/{clock_rate}"));
        lines.extend(feedback.iter().map(|kind| format!("a=rtcp-fb:{payload_type} {kind}")));
        if !fmtp.is_empty() {
            lines.push(format!("a=fmtp:{payload_type} {fmtp}"));
        }
    }
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = write!(text, "{line}\r\n");
        text
    })
}
