//! Answers to offers (RFC 9429 §5.3.1): every section of the offer is answered, in its order.

use super::description::{
    Description, Direction, Extension, RemoteCodec, Section, Setup, Transport,
};
use super::matching::{match_score, no_common_codec};
use super::negotiate::{
    Negotiated, NegotiatedSection, negotiated_section, negotiated_transport, transport,
};
use super::write::{LocalMedia, RtpSection, Writer};
use super::{
    EXTENSION_MID, EXTENSION_PLAYOUT_DELAY, EXTENSION_TRANSPORT_CC, MediaKind, OfferedCodec,
    SdpError,
};
use crate::dtls_srtp::{DtlsRole, Fingerprint};

/// Settings of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerConfig<'a> {
    /// Session id of the `o=` line (RFC 9429 §5.3.1).
    pub session_id: u64,
    /// Version of the `o=` line; it grows with each description of the session.
    pub version: u64,
    /// Our transports, at least one: that of the picture and of what is bundled with it, then one
    /// for each section apart from them. A section that finds none left is rejected.
    pub transports: &'a [LocalTransport<'a>],
    /// Fingerprint of our DTLS certificate.
    pub fingerprint: Fingerprint,
    /// Our preferred DTLS role, if the offer leaves the choice to us. A WHEP endpoint should be
    /// passive; a viewer that answers a gateway should be active (RFC 8842 §5.3).
    pub setup: Setup,
    /// The tracks that we have, each of which is used for at most one section.
    pub media: &'a [LocalMedia<'a>],
}

/// Our side of a transport, as an answer describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTransport<'a> {
    /// Our ICE user name fragment.
    pub ufrag: &'a str,
    /// Our ICE password.
    pub pwd: &'a str,
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

/// Answers an offer: each of our tracks goes into the first section that takes it. The picture and
/// the sections of its bundle share one transport; a track of another section has one of its own.
///
/// A section of a bundle in use that carries nothing is answered as inactive, not as rejected: some
/// players build a transport for a rejected section, and fail when nobody answers on it; others
/// give up the whole bundle when its first section is rejected.
///
/// # Errors
/// If no section takes a track, or if the offer has no usable transport.
pub fn answer(offer: &Description, config: &AnswerConfig<'_>) -> Result<Answer, SdpError> {
    let (accepted, mut groups) = accepted_sections(offer, config)?;
    let uses: Vec<_> =
        offer.sections.iter().map(|section| Use::of(section, &accepted, &groups)).collect();
    let is_used = |section: &Section| {
        let mut pairs = offer.sections.iter().zip(&uses);
        pairs.any(|(other, using)| is(section, other) && !using.is_rejected())
    };
    for group in &mut groups {
        group.members.retain(|section| is_used(section));
    }
    let mut shared = Vec::new();
    let mut transports = Vec::new();
    for (group, local) in groups.iter().zip(config.transports) {
        let carrier = group.carrier();
        let remote = transport(carrier)?;
        let (role, setup) = answer_role(carrier, config.setup);
        transports.push(negotiated_transport(offer, &group.members, carrier, remote, role));
        let transport = Transport {
            ufrag: local.ufrag.to_owned(),
            pwd: local.pwd.to_owned(),
            fingerprint: config.fingerprint,
            setup,
        };
        shared.push(Shared { group, transport, carrier, local });
    }
    let bundles: Vec<_> = groups.iter().filter_map(Group::mids).collect();
    let Some(first) = shared.first() else { return Err(SdpError::NoVideo) };
    let mut writer = AnswerWriter {
        writer: Writer::new(config.session_id, config.version, &bundles),
        config,
        first,
        shared: &shared,
    };
    for (offered, using) in offer.sections.iter().zip(&uses) {
        match using {
            Use::Track(accepted) => writer.track(accepted),
            Use::Idle(codec) => writer.idle(offered, codec),
            Use::Data => writer.data(offered),
            Use::Rejected => writer.rejected(offered),
        }
    }
    let text = writer.writer.text;
    let sections = accepted.into_iter().map(|accepted| accepted.negotiated).collect();
    Ok(Answer { text, negotiated: Negotiated { transports, sections } })
}

fn is(one: &Section, other: &Section) -> bool {
    std::ptr::eq(one, other)
}

/// A section of the offer that carries one of our tracks.
struct Accepted<'a> {
    offered: &'a Section,
    theirs: &'a RemoteCodec,
    negotiated: NegotiatedSection,
}

/// Returns the sections that take our tracks, at least one, and the groups of sections that share a
/// transport, of which the picture's is the first.
fn accepted_sections<'a>(
    offer: &'a Description,
    config: &AnswerConfig<'_>,
) -> Result<(Vec<Accepted<'a>>, Vec<Group<'a>>), SdpError> {
    let mut accepted: Vec<Accepted<'a>> = Vec::new();
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut problem = SdpError::NoVideo;
    let mut sections: Vec<_> = offer.sections.iter().filter(|s| !s.is_rejected()).collect();
    // The picture decides which transport is the first.
    sections.sort_by_key(|section| section.media != MediaKind::Video.as_str());
    for offered in sections {
        let known = groups.iter().position(|group| group.has(offered));
        let is_apart = known.is_none() && !groups.is_empty();
        if is_apart && (groups.len() >= config.transports.len() || transport(offered).is_err()) {
            continue;
        }
        for (index, ours) in config.media.iter().enumerate() {
            let is_taken = accepted.iter().any(|accepted| accepted.negotiated.media == index);
            if is_taken || offered.media != ours.kind.as_str() {
                continue;
            }
            match accept(offered, index, ours, known.unwrap_or(groups.len())) {
                Ok(section) => {
                    accepted.push(section);
                    if known.is_none() {
                        groups.push(Group::new(offer, offered));
                    }
                    break;
                }
                Err(error) if ours.kind == MediaKind::Video => problem = error,
                // A picture without sound is better than none.
                Err(_) => {}
            }
        }
    }
    let place = |accepted: &Accepted<'_>| {
        offer.sections.iter().position(|section| is(section, accepted.offered))
    };
    accepted.sort_by_key(place);
    let is_picture = |accepted: &Accepted<'_>| accepted.negotiated.kind == MediaKind::Video;
    if accepted.iter().any(is_picture) { Ok((accepted, groups)) } else { Err(problem) }
}

fn accept<'a>(
    offered: &'a Section,
    index: usize,
    ours: &LocalMedia<'_>,
    transport: usize,
) -> Result<Accepted<'a>, SdpError> {
    let can_send = !ours.direction.sends() || offered.direction.receives();
    let can_receive = !ours.direction.receives() || offered.direction.sends();
    if !can_send || !can_receive {
        return Err(SdpError::Direction);
    }
    let Some((codec, theirs)) = best_codec(ours.codecs, offered) else {
        let ours = ours.codecs.first().ok_or(SdpError::NoVideo)?;
        return Err(no_common_codec(ours, &offered.codecs));
    };
    if !offered.rtcp_mux {
        return Err(SdpError::NoRtcpMux);
    }
    let mut negotiated = negotiated_section(index, ours.kind, offered, codec, theirs);
    negotiated.transport = transport;
    Ok(Accepted { offered, theirs, negotiated })
}

/// Returns the best match of our codecs with those of the section; of equal matches the first.
fn best_codec<'a, 'b>(
    ours: &'a [OfferedCodec],
    section: &'b Section,
) -> Option<(&'a OfferedCodec, &'b RemoteCodec)> {
    let mut best: Option<(u32, &OfferedCodec, &RemoteCodec)> = None;
    for ours in ours.iter().filter(|ours| !ours.is_fallback) {
        for theirs in &section.codecs {
            let Some(score) = match_score(ours, theirs) else { continue };
            if best.is_none_or(|(known, ..)| known < score) {
                best = Some((score, ours, theirs));
            }
        }
    }
    best.map(|(_, ours, theirs)| (ours, theirs))
}

/// The sections of the offer that share a transport, in the order of their bundle.
struct Group<'a> {
    /// The section for whose track the transport is made.
    first: &'a Section,
    /// The sections of its bundle, or that section alone.
    members: Vec<&'a Section>,
    is_bundled: bool,
}

impl<'a> Group<'a> {
    fn new(offer: &'a Description, first: &'a Section) -> Self {
        let bundle = first.mid().and_then(|mid| {
            let mut bundles = offer.bundles.iter();
            bundles.find(|bundle| bundle.iter().any(|member| member == mid))
        });
        let by_mid = |mid: &String| offer.sections.iter().find(|s| s.mid.as_ref() == Some(mid));
        let members: Vec<_> = bundle.into_iter().flatten().filter_map(by_mid).collect();
        if members.iter().any(|member| is(member, first)) {
            Self { first, members, is_bundled: true }
        } else {
            Self { first, members: vec![first], is_bundled: false }
        }
    }

    fn has(&self, section: &Section) -> bool {
        self.members.iter().any(|member| is(member, section))
    }

    /// Returns the first section with a transport, which carries that of the bundle
    /// (RFC 9143 §7.2.1).
    fn carrier(&self) -> &'a Section {
        let mut members = self.members.iter().copied();
        members.find(|section| section.ufrag.is_some()).unwrap_or(self.first)
    }

    /// Returns the mids of the bundle in our answer, that of the carrier first.
    fn mids(&self) -> Option<Vec<&'a str>> {
        let carrier = self.carrier();
        let others = self.members.iter().copied().filter(|section| !is(section, carrier));
        let all = [carrier].into_iter().chain(others);
        self.is_bundled.then(|| all.filter_map(Section::mid).collect())
    }
}

/// The use of a section of the offer.
enum Use<'a> {
    /// A section that carries one of our tracks.
    Track(&'a Accepted<'a>),
    /// A section that carries nothing, but belongs to a bundle in use; one of its codecs.
    Idle(&'a RemoteCodec),
    /// A section of such a bundle for data channels, which nobody opens yet.
    Data,
    /// A section that is not used.
    Rejected,
}

impl<'a> Use<'a> {
    fn of(offered: &'a Section, accepted: &'a [Accepted<'a>], groups: &[Group<'_>]) -> Self {
        if let Some(track) = accepted.iter().find(|accepted| is(accepted.offered, offered)) {
            return Self::Track(track);
        }
        if offered.is_rejected() || !groups.iter().any(|group| group.has(offered)) {
            return Self::Rejected;
        }
        match offered.media.as_str() {
            "audio" | "video" if offered.rtcp_mux => {
                offered.codecs.first().map_or(Self::Rejected, Self::Idle)
            }
            _ if is_data(offered) => Self::Data,
            _ => Self::Rejected,
        }
    }

    fn is_rejected(&self) -> bool {
        matches!(self, Self::Rejected)
    }
}

/// Returns true for a section of data channels (RFC 8841).
fn is_data(section: &Section) -> bool {
    section.media == "application" && section.protocol.ends_with("DTLS/SCTP")
}

/// Chooses our DTLS role: the preferred one if the offer has `actpass`, otherwise the opposite of
/// the offer's (RFC 8842 §5.3).
fn answer_role(carrier: &Section, preferred: Setup) -> (DtlsRole, Setup) {
    match carrier.setup.unwrap_or(Setup::Active) {
        Setup::ActPass if preferred == Setup::Active => (DtlsRole::Client, Setup::Active),
        Setup::ActPass | Setup::Active => (DtlsRole::Server, Setup::Passive),
        Setup::Passive => (DtlsRole::Client, Setup::Active),
    }
}

/// A transport of the answer, and the sections that share it.
struct Shared<'a> {
    group: &'a Group<'a>,
    transport: Transport,
    /// The section that carries the transport, and with it our candidates.
    carrier: &'a Section,
    local: &'a LocalTransport<'a>,
}

impl Shared<'_> {
    /// Returns our candidates if this section carries them, and whether they are all.
    fn candidates_in(&self, section: &Section) -> (&[String], bool) {
        let carries = is(section, self.carrier);
        (if carries { self.local.candidates } else { &[] }, carries && self.local.end_of_candidates)
    }
}

/// Writes the sections of an answer.
struct AnswerWriter<'a> {
    writer: Writer,
    config: &'a AnswerConfig<'a>,
    /// The transport of the picture, which is also written into rejected sections.
    first: &'a Shared<'a>,
    shared: &'a [Shared<'a>],
}

impl<'a> AnswerWriter<'a> {
    fn shared(&self, section: &Section) -> &'a Shared<'a> {
        self.shared.iter().find(|shared| shared.group.has(section)).unwrap_or(self.first)
    }

    fn track(&mut self, accepted: &Accepted<'_>) {
        let Accepted { offered, theirs, negotiated } = accepted;
        let Some(ours) = self.config.media.get(negotiated.media) else { return };
        let codec = OfferedCodec {
            codec: negotiated.codec,
            profile: None,
            is_fallback: false,
            payload_type: negotiated.payload_type,
            rtx_payload_type: negotiated.rtx_payload_type,
            // The parameters of the offer: profile and mode must not change (RFC 6184 §8.2.2); the
            // level may, because it is asymmetric.
            fmtp: theirs.fmtp.clone(),
        };
        let NegotiatedSection { nack, pli, fir, remb, .. } = *negotiated;
        let transport_cc = negotiated.transport_cc_extension;
        let feedback = [
            ("nack", nack),
            ("nack pli", pli),
            ("ccm fir", fir),
            ("transport-cc", transport_cc.is_some()),
            ("goog-remb", remb && negotiated.kind == MediaKind::Video),
        ];
        let feedback: Vec<_> =
            feedback.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
        let extensions = [
            (negotiated.mid_extension, EXTENSION_MID),
            (negotiated.playout_delay_extension, EXTENSION_PLAYOUT_DELAY),
            (transport_cc, EXTENSION_TRANSPORT_CC),
        ];
        let extensions = extensions
            .into_iter()
            .filter_map(|(id, uri)| id.map(|id| Extension { id, uri: uri.to_owned() }));
        let shared = self.shared(offered);
        let (candidates, end_of_candidates) = shared.candidates_in(offered);
        self.writer.rtp(&RtpSection {
            kind: ours.kind,
            protocol: &offered.protocol,
            mid: offered.mid(),
            transport: &shared.transport,
            codecs: &[codec],
            feedback: &feedback,
            extensions: &extensions.collect::<Vec<_>>(),
            track: ours.track,
            candidates,
            end_of_candidates,
            direction: ours.direction,
            is_mux_only: false,
        });
    }

    /// Writes a section that carries nothing, with the codec that a later offer may use.
    fn idle(&mut self, offered: &Section, codec: &RemoteCodec) {
        self.unused(offered, 9, &codec.payload_type.to_string());
        self.writer.remote_codec(codec);
        self.write_candidates(offered);
    }

    /// Writes a section for data channels (RFC 8841 §4), whose association nobody answers.
    fn data(&mut self, offered: &Section) {
        self.unused(offered, 9, &offered.formats.join(" "));
        self.sctp_port(offered);
        self.write_candidates(offered);
    }

    fn sctp_port(&mut self, offered: &Section) {
        let format = offered.formats.first().map(String::as_str).unwrap_or_default();
        // Before RFC 8841 the format was the port.
        if format.bytes().all(|byte| byte.is_ascii_digit()) {
            self.writer.line(format_args!("a=sctpmap:{format} webrtc-datachannel 1024"));
        } else {
            self.writer.line(format_args!("a=sctp-port:5000"));
        }
    }

    /// Writes a rejected section: port 0 and not in the bundle (RFC 9429 §5.3.1, RFC 9143 §7.3.3).
    /// Its transport and its codec mean nothing, but some players refuse an answer without them,
    /// and some wait for the candidates of every section before they connect the next one.
    fn rejected(&mut self, offered: &Section) {
        if let Some(codec) = offered.codecs.first() {
            self.unused(offered, 0, &codec.payload_type.to_string());
            self.writer.remote_codec(codec);
        } else {
            self.unused(offered, 0, &offered.formats.join(" "));
        }
        if is_data(offered) {
            self.sctp_port(offered);
        }
        self.writer.candidates(&[], true);
    }

    fn unused(&mut self, offered: &Section, port: u16, formats: &str) {
        let Section { media, protocol, .. } = offered;
        let is_rtp = MediaKind::ALL.iter().any(|kind| kind.as_str() == media);
        let direction = is_rtp.then_some(Direction::Inactive);
        self.writer.media(media, port, protocol, formats, offered.mid(), direction);
        self.writer.transport(&self.shared(offered).transport);
        if is_rtp && offered.rtcp_mux {
            self.writer.line(format_args!("a=rtcp-mux"));
        }
    }

    fn write_candidates(&mut self, offered: &Section) {
        let (candidates, ended) = self.shared(offered).candidates_in(offered);
        self.writer.candidates(candidates, ended);
    }
}
