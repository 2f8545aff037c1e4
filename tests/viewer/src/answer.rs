//! The viewer's answer: takes the first video section of an offer, with its preferred codec, and
//! sound if there is any, which it does not play.

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
    sound: Option<Section>,
}

/// Reads an offer; `role` is our role in the DTLS handshake.
pub(crate) fn read(offer: &str, role: DtlsRole) -> Result<Chosen, AnswerError> {
    let offer = sdp::parse(offer)?;
    let mut sections = offer.sections.into_iter().filter(|section| !section.is_rejected());
    let section = sections.find(|section| section.media == "video");
    let section = section.ok_or(AnswerError::Missing("video"))?;
    let sound = sections.find(|section| section.media == "audio" && section.mid.is_some());
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
        sound,
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
    let Ours { origin, version, .. } = ours;
    let types: Vec<_> =
        [Some(chosen.payload_type), chosen.rtx_payload_type].into_iter().flatten().collect();
    let taken = |section: &Section| {
        section.codecs.first().map(|codec| codec.payload_type).into_iter().collect::<Vec<_>>()
    };
    let sound = chosen.sound.as_ref().map(|section| (section, taken(section)));
    let sections: Vec<_> = [Some((&chosen.section, types)), sound].into_iter().flatten().collect();
    let mids = sections.iter().filter_map(|(section, _)| section.mid.as_deref());
    let mut lines = vec![
        "v=0".to_owned(),
        format!("o=- {origin} {version} IN IP4 0.0.0.0"),
        "s=-".to_owned(),
        "t=0 0".to_owned(),
        format!("a=group:BUNDLE {}", mids.collect::<Vec<_>>().join(" ")),
        "a=ice-options:trickle".to_owned(),
    ];
    for (section, types) in &sections {
        write_section(&mut lines, section, types, chosen.remote.role, ours);
    }
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = write!(text, "{line}\r\n");
        text
    })
}

/// Writes a section that takes these payload types.
fn write_section(
    lines: &mut Vec<String>,
    section: &Section,
    types: &[u8],
    role: DtlsRole,
    Ours { credentials, fingerprint, .. }: &Ours<'_>,
) {
    let setup = match role {
        DtlsRole::Client => "active",
        DtlsRole::Server => "passive",
    };
    let list: Vec<_> = types.iter().map(u8::to_string).collect();
    lines.extend([
        format!("m={} 9 {} {}", section.media, section.protocol, list.join(" ")),
        "c=IN IP4 0.0.0.0".to_owned(),
        format!("a=mid:{}", section.mid.as_deref().unwrap_or_default()),
        "a=recvonly".to_owned(),
        format!("a=ice-ufrag:{}", credentials.ufrag),
        format!("a=ice-pwd:{}", credentials.pwd),
        format!("a=fingerprint:sha-256 {fingerprint}"),
        format!("a=setup:{setup}"),
        "a=rtcp-mux".to_owned(),
    ]);
    let extensions = &section.extensions;
    lines.extend(extensions.iter().map(|known| format!("a=extmap:{} {}", known.id, known.uri)));
    let taken = section.codecs.iter().filter(|codec| types.contains(&codec.payload_type));
    for RemoteCodec { payload_type, name, clock_rate, channels, fmtp, feedback } in taken {
        let channels = channels.map(|channels| format!("/{channels}")).unwrap_or_default();
        lines.push(format!("a=rtpmap:{payload_type} {name}/{clock_rate}{channels}"));
        lines.extend(feedback.iter().map(|kind| format!("a=rtcp-fb:{payload_type} {kind}")));
        if !fmtp.is_empty() {
            lines.push(format!("a=fmtp:{payload_type} {fmtp}"));
        }
    }
}
