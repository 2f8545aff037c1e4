//! Negotiation: the result of an offer and an answer (RFC 3264, RFC 9429).

use super::codecs::match_score;
use super::description::{
    Description, Direction, Extension, RemoteCodec, Section, Setup, Transport,
};
use super::write::{TrackIds, VideoSection, Writer};
use super::{EXTENSION_MID, EXTENSION_PLAYOUT_DELAY, SdpError, VideoCodec};
use crate::dtls_srtp::DtlsRole;
use crate::media::Codec;

/// The result of a negotiation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// Codec of the video.
    pub codec: Codec,
    /// Payload type of the media stream.
    pub payload_type: u8,
    /// Payload type of the retransmission stream (RFC 4588); `None`: the peer supports none.
    pub rtx_payload_type: Option<u8>,
    /// Mid of the video section; a player may omit it.
    pub mid: Option<String>,
    /// Mid that candidates are trickled with: of the section whose transport the bundle uses.
    pub transport_mid: Option<String>,
    /// Id of the mid header extension.
    pub mid_extension: Option<u8>,
    /// Id of the playout delay header extension.
    pub playout_delay_extension: Option<u8>,
    /// The peer's credentials, fingerprint and DTLS role.
    pub remote: Transport,
    /// Our role in the DTLS handshake.
    pub role: DtlsRole,
    /// True if the peer is ICE-lite: it only answers checks, so we must be controlling.
    pub ice_lite: bool,
    /// True if candidates may follow the description.
    pub trickle: bool,
    /// Candidates in the peer's description, in the form `candidate:…`.
    pub remote_candidates: Vec<String>,
    /// True if no more candidates follow.
    pub end_of_candidates: bool,
    /// True if the peer sends NACKs.
    pub nack: bool,
    /// True if the peer sends picture loss indications.
    pub pli: bool,
    /// True if the peer sends full intra requests.
    pub fir: bool,
    /// SSRC of the peer's media stream, if announced.
    pub remote_ssrc: Option<u32>,
    /// SSRC of the peer's retransmission stream, if announced.
    pub remote_rtx_ssrc: Option<u32>,
}

/// Applies the answer to our offer of `codecs`.
///
/// # Errors
/// If the viewer refused the video, or if the answer has no usable transport.
pub fn apply_answer(codecs: &[VideoCodec], answer: &Description) -> Result<Negotiated, SdpError> {
    let [section] = answer.sections.as_slice() else {
        return Err(SdpError::Sections);
    };
    let ours = codecs.first().ok_or(SdpError::NoVideo)?.codec;
    if section.is_rejected() {
        return Err(SdpError::NoCommonCodec(ours));
    }
    if section.direction == Direction::Inactive {
        return Err(SdpError::Direction);
    }
    let remote = transport(section, section)?;
    let role = remote.setup.local_role().ok_or(SdpError::Setup)?;
    // The answerer lists its preferred codec first (RFC 3264 §6.1).
    let chosen = section
        .codecs
        .iter()
        .find(|theirs| codecs.iter().any(|ours| match_score(ours, theirs).is_some()));
    let chosen = chosen.ok_or(SdpError::NoCommonCodec(ours))?;
    negotiated(answer, section, section, ours, chosen, role)
}

/// Settings of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerConfig<'a> {
    /// Session id of the `o=` line (RFC 9429 §5.3.1).
    pub session_id: u64,
    /// Version of the `o=` line; it grows with each description of the session.
    pub version: u64,
    /// Our ICE user name fragment.
    pub ufrag: &'a str,
    /// Our ICE password.
    pub pwd: &'a str,
    /// Fingerprint of our DTLS certificate.
    pub fingerprint: crate::dtls_srtp::Fingerprint,
    /// Our preferred DTLS role, if the offer leaves the choice to us. A WHEP endpoint should be
    /// passive; a viewer that answers a gateway should be active (RFC 8842 §5.3).
    pub setup: Setup,
    /// Codecs of the camera, the best first; for a viewer, those it can play.
    pub codecs: &'a [VideoCodec],
    /// The track that is sent; `None`: we only receive.
    pub track: Option<&'a TrackIds>,
    /// Our candidates, in the form `candidate:…`.
    pub candidates: &'a [String],
    /// True if no more candidates follow.
    pub end_of_candidates: bool,
}

/// An answer to an offer, with the result of the negotiation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The session description.
    pub text: String,
    /// The result of the negotiation.
    pub negotiated: Negotiated,
}

/// Answers an offer: accepts the first video section that matches and rejects all other media.
///
/// # Errors
/// If no video section matches, or if the offer has no usable transport.
pub fn answer(offer: &Description, config: &AnswerConfig<'_>) -> Result<Answer, SdpError> {
    let index = video_section(offer, config)?;
    let section = offer.sections.get(index).ok_or(SdpError::NoVideo)?;
    let (ours, theirs) = best_codec(config.codecs, section).ok_or(no_common(config))?;
    let tagged = tagged(offer, section);
    let (role, setup) = answer_role(tagged, config.setup);
    let chosen = negotiated(offer, section, tagged, ours.codec, theirs, role)?;
    let transport = Transport {
        ufrag: config.ufrag.to_owned(),
        pwd: config.pwd.to_owned(),
        fingerprint: config.fingerprint,
        setup,
    };
    let bundled = [tagged, section].into_iter().filter_map(|section| section.mid.as_deref());
    let mut bundle: Vec<_> = bundled.filter(|mid| group_of(offer, mid).is_some()).collect();
    bundle.dedup();
    let mut writer = Writer::new(config.session_id, config.version, &bundle);
    for (position, offered) in offer.sections.iter().enumerate() {
        if position == index {
            let carries = std::ptr::eq(offered, tagged);
            write_accepted(&mut writer, offered, config, theirs, &transport, carries, &chosen);
        } else if std::ptr::eq(offered, tagged) {
            write_inactive(&mut writer, offered, config, &transport);
        } else {
            write_rejected(&mut writer, offered);
        }
    }
    Ok(Answer { text: writer.text, negotiated: chosen })
}

fn no_common(config: &AnswerConfig<'_>) -> SdpError {
    config.codecs.first().map_or(SdpError::NoVideo, |ours| SdpError::NoCommonCodec(ours.codec))
}

/// Returns the index of the first video section with a common codec and a matching direction.
fn video_section(offer: &Description, config: &AnswerConfig<'_>) -> Result<usize, SdpError> {
    let direction_matches = |section: &Section| match config.track {
        Some(_) => section.direction.receives(),
        None => section.direction.sends(),
    };
    let mut problem = SdpError::NoVideo;
    for (index, section) in offer.sections.iter().enumerate() {
        if section.media != "video" || section.is_rejected() {
            continue;
        }
        if !direction_matches(section) {
            problem = SdpError::Direction;
        } else if best_codec(config.codecs, section).is_none() {
            problem = no_common(config);
        } else {
            return Ok(index);
        }
    }
    Err(problem)
}

/// Returns the best match of our codecs with those of the section; of equal matches the first.
fn best_codec<'a>(
    ours: &'a [VideoCodec],
    section: &'a Section,
) -> Option<(&'a VideoCodec, &'a RemoteCodec)> {
    let mut best: Option<(u32, &VideoCodec, &RemoteCodec)> = None;
    for ours in ours {
        for theirs in &section.codecs {
            let Some(score) = match_score(ours, theirs) else { continue };
            if best.is_none_or(|(known, ..)| known < score) {
                best = Some((score, ours, theirs));
            }
        }
    }
    best.map(|(_, ours, theirs)| (ours, theirs))
}

/// Returns the section whose transport the bundle uses: the first of the group (RFC 9143 §7.2.1).
///
/// Rejecting it would reject the whole group (Chromium does so with `max-bundle`), so if it is
/// audio, it is answered as inactive. Any other section is rejected, and the video section carries
/// its own transport.
fn tagged<'a>(offer: &'a Description, section: &'a Section) -> &'a Section {
    let by_mid = |mid: &String| offer.sections.iter().find(|s| s.mid.as_ref() == Some(mid));
    let group = section.mid.as_deref().and_then(|mid| group_of(offer, mid)).unwrap_or(&[]);
    let first = group.iter().filter_map(by_mid).find(|member| !member.is_rejected());
    let can_be_inactive = |first: &&Section| {
        let audio = first.media == "audio" && !first.codecs.is_empty();
        audio && first.rtcp_mux && first.ufrag.is_some()
    };
    first.filter(can_be_inactive).unwrap_or(section)
}

fn group_of<'a>(offer: &'a Description, mid: &str) -> Option<&'a [String]> {
    let mut groups = offer.bundles.iter();
    groups.find(|group| group.iter().any(|member| member == mid)).map(Vec::as_slice)
}

/// Chooses our DTLS role: the preferred one if the offer has `actpass`, otherwise the opposite of
/// the offer's (RFC 8842 §5.3).
fn answer_role(tagged: &Section, preferred: Setup) -> (DtlsRole, Setup) {
    match tagged.setup.unwrap_or(Setup::Active) {
        Setup::ActPass if preferred == Setup::Active => (DtlsRole::Client, Setup::Active),
        Setup::ActPass | Setup::Active => (DtlsRole::Server, Setup::Passive),
        Setup::Passive => (DtlsRole::Client, Setup::Active),
    }
}

fn transport(section: &Section, tagged: &Section) -> Result<Transport, SdpError> {
    if !section.rtcp_mux {
        return Err(SdpError::NoRtcpMux);
    }
    let missing = SdpError::Missing;
    Ok(Transport {
        ufrag: tagged.ufrag.clone().ok_or(missing("a=ice-ufrag"))?,
        pwd: tagged.pwd.clone().ok_or(missing("a=ice-pwd"))?,
        fingerprint: tagged.fingerprint.ok_or(missing("a SHA-256 a=fingerprint"))?,
        // An offer without the attribute means active (RFC 4145 §4.1).
        setup: tagged.setup.unwrap_or(Setup::Active),
    })
}

fn negotiated(
    description: &Description,
    section: &Section,
    tagged: &Section,
    codec: Codec,
    chosen: &RemoteCodec,
    role: DtlsRole,
) -> Result<Negotiated, SdpError> {
    let sections = description.sections.iter().filter(|section| !section.is_rejected());
    // All sections share one transport, so the candidates of all of them count.
    let remote_candidates = sections.clone().flat_map(|s| s.candidates.iter().cloned()).collect();
    Ok(Negotiated {
        codec,
        payload_type: chosen.payload_type,
        rtx_payload_type: rtx_of(section, chosen.payload_type),
        mid: section.mid.clone(),
        transport_mid: tagged.mid.clone(),
        mid_extension: section.extension(EXTENSION_MID),
        playout_delay_extension: section.extension(EXTENSION_PLAYOUT_DELAY),
        remote: transport(section, tagged)?,
        role,
        ice_lite: description.ice_lite,
        trickle: description.trickle,
        remote_candidates,
        end_of_candidates: sections.clone().any(|section| section.end_of_candidates),
        nack: chosen.has_feedback("nack"),
        pli: chosen.has_feedback("nack pli"),
        fir: chosen.has_feedback("ccm fir"),
        remote_ssrc: section.ssrc,
        remote_rtx_ssrc: section.rtx_ssrc,
    })
}

/// Returns the payload type that retransmits this one (RFC 4588 §8.1).
fn rtx_of(section: &Section, payload_type: u8) -> Option<u8> {
    let apt = payload_type.to_string();
    let mut codecs = section.codecs.iter();
    let rtx = codecs.find(|codec| {
        codec.name.eq_ignore_ascii_case("rtx") && codec.parameter("apt") == Some(&apt)
    });
    rtx.map(|codec| codec.payload_type)
}

/// Writes the accepted video section.
fn write_accepted(
    writer: &mut Writer,
    offered: &Section,
    config: &AnswerConfig<'_>,
    theirs: &RemoteCodec,
    transport: &Transport,
    carries: bool,
    chosen: &Negotiated,
) {
    let codec = VideoCodec {
        codec: chosen.codec,
        payload_type: chosen.payload_type,
        rtx_payload_type: chosen.rtx_payload_type,
        // The parameters of the offer: profile and mode must not change (RFC 6184 §8.2.2); the
        // level may, because it is asymmetric.
        fmtp: theirs.fmtp.clone(),
    };
    let feedback = [("nack", chosen.nack), ("nack pli", chosen.pli), ("ccm fir", chosen.fir)];
    let feedback: Vec<_> = feedback.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    let extensions = [
        (chosen.mid_extension, EXTENSION_MID),
        (chosen.playout_delay_extension, EXTENSION_PLAYOUT_DELAY),
    ];
    let extensions = extensions
        .into_iter()
        .filter_map(|(id, uri)| id.map(|id| Extension { id, uri: uri.to_owned() }));
    writer.video(&VideoSection {
        protocol: &offered.protocol,
        mid: offered.mid.as_deref(),
        transport,
        codecs: &[codec],
        feedback: &feedback,
        extensions: &extensions.collect::<Vec<_>>(),
        track: config.track,
        candidates: if carries { config.candidates } else { &[] },
        end_of_candidates: carries && config.end_of_candidates,
        direction: match config.track {
            Some(_) => Direction::SendOnly,
            None => Direction::RecvOnly,
        },
    });
}

/// Writes a section that is used only for its transport.
fn write_inactive(
    writer: &mut Writer,
    offered: &Section,
    config: &AnswerConfig<'_>,
    transport: &Transport,
) {
    let Some(codec) = offered.codecs.first() else {
        return write_rejected(writer, offered);
    };
    let Section { media, protocol, mid, .. } = offered;
    let RemoteCodec { payload_type, name, clock_rate, channels, fmtp, .. } = codec;
    let formats = payload_type.to_string();
    writer.media(media, 9, protocol, &formats, mid.as_deref(), Direction::Inactive);
    writer.transport(transport);
    writer.line(format_args!("a=rtcp-mux"));
    let channels = channels.map(|channels| format!("/{channels}")).unwrap_or_default();
    writer.line(format_args!("a=rtpmap:{payload_type} {name}/{clock_rate}{channels}"));
    if !fmtp.is_empty() {
        writer.line(format_args!("a=fmtp:{payload_type} {fmtp}"));
    }
    writer.candidates(config.candidates, config.end_of_candidates);
}

/// Writes a rejected section: port 0 and not in the bundle (RFC 9429 §5.3.1, RFC 9143 §7.3.3).
fn write_rejected(writer: &mut Writer, offered: &Section) {
    let Section { media, protocol, formats, mid, .. } = offered;
    writer.media(media, 0, protocol, &formats.join(" "), mid.as_deref(), Direction::Inactive);
}
