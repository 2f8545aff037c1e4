//! What two descriptions apply_answer between them.

use super::codecs::fit;
use super::description::{
    Description, Direction, Extension, RemoteCodec, Section, Setup, Transport,
};
use super::write::{TrackIds, VideoSection, Writer};
use super::{EXTENSION_MID, EXTENSION_PLAYOUT_DELAY, SdpError, VideoCodec};
use crate::dtls_srtp::DtlsRole;
use crate::media::Codec;

/// What both sides agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    pub codec: Codec,
    pub payload_type: u8,
    pub rtx_payload_type: Option<u8>,
    /// The mid of the video section; a player may name none.
    pub mid: Option<String>,
    /// The mid candidates are trickled under: of the section whose transport the bundle uses.
    pub transport_mid: Option<String>,
    /// Header extensions by their numbers.
    pub mid_extension: Option<u8>,
    pub playout_delay_extension: Option<u8>,
    /// How the other side is reached and recognised.
    pub remote: Transport,
    /// Our part in the DTLS handshake.
    pub role: DtlsRole,
    /// The other side answers checks only: ours must control.
    pub ice_lite: bool,
    /// Whether candidates may follow the description.
    pub trickle: bool,
    pub remote_candidates: Vec<String>,
    pub end_of_candidates: bool,
    /// What the other side reports.
    pub nack: bool,
    pub pli: bool,
    pub fir: bool,
    /// What the other side sends, if it names it.
    pub remote_ssrc: Option<u32>,
    pub remote_rtx_ssrc: Option<u32>,
}

/// What an answer to our offer negotiated.
///
/// # Errors
/// When the viewer refused the video or left out what a transport needs.
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
    // The answerer put what it likes best first (RFC 3264 §6.1).
    let chosen =
        section.codecs.iter().find(|theirs| codecs.iter().any(|ours| fit(ours, theirs).is_some()));
    let chosen = chosen.ok_or(SdpError::NoCommonCodec(ours))?;
    negotiated(answer, section, section, ours, chosen, role)
}

/// How to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerConfig<'a> {
    pub session_id: u64,
    pub version: u64,
    pub ufrag: &'a str,
    pub pwd: &'a str,
    pub fingerprint: crate::dtls_srtp::Fingerprint,
    /// The part we like in the DTLS handshake when the offer leaves it to us. A WHEP endpoint
    /// should be passive; a viewer that answers a gateway should be active (RFC 8842 §5.3).
    pub setup: Setup,
    /// The camera's, the best first; of a viewer, what it can play.
    pub codecs: &'a [VideoCodec],
    /// What is sent; none when only receiving.
    pub track: Option<&'a TrackIds>,
    /// `candidate:…`
    pub candidates: &'a [String],
    /// Whether these are all.
    pub end_of_candidates: bool,
}

/// An answer and what it settles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub text: String,
    pub negotiated: Negotiated,
}

/// Answers an offer: takes the first video section that fits and refuses everything else.
///
/// # Errors
/// When no video section fits.
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
            accept(&mut writer, offered, config, theirs, &transport, carries, &chosen);
        } else if std::ptr::eq(offered, tagged) {
            idle(&mut writer, offered, config, &transport);
        } else {
            reject(&mut writer, offered);
        }
    }
    Ok(Answer { text: writer.text, negotiated: chosen })
}

fn no_common(config: &AnswerConfig<'_>) -> SdpError {
    config.codecs.first().map_or(SdpError::NoVideo, |ours| SdpError::NoCommonCodec(ours.codec))
}

/// Where the first video section is that shares a codec and goes the right way.
fn video_section(offer: &Description, config: &AnswerConfig<'_>) -> Result<usize, SdpError> {
    let fits = |section: &Section| match config.track {
        Some(_) => section.direction.receives(),
        None => section.direction.sends(),
    };
    let mut problem = SdpError::NoVideo;
    for (index, section) in offer.sections.iter().enumerate() {
        if section.media != "video" || section.is_rejected() {
            continue;
        }
        if !fits(section) {
            problem = SdpError::Direction;
        } else if best_codec(config.codecs, section).is_none() {
            problem = no_common(config);
        } else {
            return Ok(index);
        }
    }
    Err(problem)
}

/// Our best codec that the section has, and what the section calls it. Of equals the first.
fn best_codec<'a>(
    ours: &'a [VideoCodec],
    section: &'a Section,
) -> Option<(&'a VideoCodec, &'a RemoteCodec)> {
    let mut best: Option<(u32, &VideoCodec, &RemoteCodec)> = None;
    for ours in ours {
        for theirs in &section.codecs {
            let Some(fit) = fit(ours, theirs) else { continue };
            if best.is_none_or(|(known, ..)| known < fit) {
                best = Some((fit, ours, theirs));
            }
        }
    }
    best.map(|(_, ours, theirs)| (ours, theirs))
}

/// The section whose transport the bundle uses: the first of the group (RFC 9143 §7.2.1). It
/// cannot be rejected, the group would go with it (Chromium with `max-bundle` holds to that), so
/// audio stands there idle. Anything else is rejected, and the video carries its own transport.
fn tagged<'a>(offer: &'a Description, section: &'a Section) -> &'a Section {
    let named = |name: &String| offer.sections.iter().find(|s| s.mid.as_ref() == Some(name));
    let group = section.mid.as_deref().and_then(|mid| group_of(offer, mid)).unwrap_or(&[]);
    let first = group.iter().filter_map(named).find(|member| !member.is_rejected());
    let carries = |first: &&Section| {
        let audio = first.media == "audio" && !first.codecs.is_empty();
        audio && first.rtcp_mux && first.ufrag.is_some()
    };
    first.filter(carries).unwrap_or(section)
}

fn group_of<'a>(offer: &'a Description, mid: &str) -> Option<&'a [String]> {
    let mut groups = offer.bundles.iter();
    groups.find(|group| group.iter().any(|member| member == mid)).map(Vec::as_slice)
}

/// RFC 8842 §5.3: `actpass` leaves it to us, otherwise the offer decides.
fn answer_role(tagged: &Section, liked: Setup) -> (DtlsRole, Setup) {
    match tagged.setup.unwrap_or(Setup::Active) {
        Setup::ActPass if liked == Setup::Active => (DtlsRole::Client, Setup::Active),
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
    // Whatever section a candidate stands in, all share one transport.
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

/// The payload type that repeats this one (RFC 4588 §8.1).
fn rtx_of(section: &Section, payload_type: u8) -> Option<u8> {
    let apt = payload_type.to_string();
    let mut codecs = section.codecs.iter();
    let rtx = codecs.find(|codec| {
        codec.name.eq_ignore_ascii_case("rtx") && codec.parameter("apt") == Some(&apt)
    });
    rtx.map(|codec| codec.payload_type)
}

fn accept(
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
        // The parameters of the offer, of which profile and mode must not change
        // (RFC 6184 §8.2.2); the level may, and is asymmetric.
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

/// Takes a section for its transport alone.
fn idle(writer: &mut Writer, offered: &Section, config: &AnswerConfig<'_>, transport: &Transport) {
    let Some(codec) = offered.codecs.first() else {
        return reject(writer, offered);
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

/// Port 0, and outside of the bundle (RFC 9429 §5.3.1, RFC 9143 §7.3.3).
fn reject(writer: &mut Writer, offered: &Section) {
    let Section { media, protocol, formats, mid, .. } = offered;
    writer.media(media, 0, protocol, &formats.join(" "), mid.as_deref(), Direction::Inactive);
}
