//! The keys of SRTP, one set for each direction (RFC 3711, RFC 7714).

use bytes::BytesMut;
use rtc_crypto::RTCCrypto;
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile as DtlsProfile;
use rtc_dtls::state::State;
use rtc_rtp::header::Header;
use rtc_srtp::config::{Config, LABEL_EXTRACTOR_DTLS_SRTP};
use rtc_srtp::context::Context;
use rtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use rtc_srtp::protection_profile::ProtectionProfile;

use super::{DtlsRole, DtlsSrtpError, SrtpProfile, handshake};

/// Size of the replay window in packets; older packets are dropped (RFC 3711 §3.3.2: at least 64).
const REPLAY_WINDOW: usize = 1024;

/// Returns the engine's name of a profile in the handshake.
pub(super) fn of_dtls(profile: SrtpProfile) -> DtlsProfile {
    match profile {
        SrtpProfile::AeadAes128Gcm => DtlsProfile::Srtp_Aead_Aes_128_Gcm,
        SrtpProfile::AeadAes256Gcm => DtlsProfile::Srtp_Aead_Aes_256_Gcm,
        SrtpProfile::Aes128CmHmacSha1_80 => DtlsProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
    }
}

/// Returns the engine's name of a profile for packets.
fn of_srtp(profile: SrtpProfile) -> ProtectionProfile {
    match profile {
        SrtpProfile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        SrtpProfile::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
        SrtpProfile::Aes128CmHmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
    }
}

/// The SRTP keys of an association.
pub(super) struct Srtp {
    profile: SrtpProfile,
    outbound: Context,
    inbound: Context,
}

impl Srtp {
    /// Derives the keys from a finished handshake (RFC 5764 §4.2).
    pub(super) fn new(
        state: &State,
        role: DtlsRole,
        crypto: &dyn RTCCrypto,
    ) -> Result<Self, DtlsSrtpError> {
        let negotiated = state.srtp_protection_profile();
        let ours = SrtpProfile::PREFERRED.into_iter().find(|each| of_dtls(*each) == negotiated);
        let ours =
            ours.ok_or_else(|| DtlsSrtpError::Handshake("no common SRTP profile".to_owned()))?;
        let profile = of_srtp(ours);
        let mut config = Config { profile, ..Default::default() };
        let length = config.keying_material_len();
        let keys = state
            .export_keying_material(LABEL_EXTRACTOR_DTLS_SRTP, &[], length)
            .map_err(handshake)?;
        config
            .set_session_keys_from_keying_material(keys.as_ref(), role == DtlsRole::Client)
            .map_err(handshake)?;
        let keys = &config.keys;
        let outbound = Context::new(
            &keys.local_master_key,
            &keys.local_master_salt,
            profile,
            None,
            None,
            crypto,
        );
        let inbound = Context::new(
            &keys.remote_master_key,
            &keys.remote_master_salt,
            profile,
            Some(srtp_replay_protection(REPLAY_WINDOW)),
            Some(srtcp_replay_protection(REPLAY_WINDOW)),
            crypto,
        );
        Ok(Self {
            profile: ours,
            outbound: outbound.map_err(handshake)?,
            inbound: inbound.map_err(handshake)?,
        })
    }

    pub(super) fn profile(&self) -> SrtpProfile {
        self.profile
    }

    pub(super) fn protect_rtp(&mut self, packet: &[u8]) -> Result<BytesMut, DtlsSrtpError> {
        let header = outline(packet).ok_or(DtlsSrtpError::NotReady)?;
        self.outbound.encrypt_rtp_with_header(packet, &header).map_err(|_| DtlsSrtpError::NotReady)
    }

    pub(super) fn protect_rtcp(&mut self, packet: &[u8]) -> Result<BytesMut, DtlsSrtpError> {
        self.outbound.encrypt_rtcp(packet).map_err(|_| DtlsSrtpError::NotReady)
    }

    pub(super) fn unprotect_rtp(&mut self, packet: &[u8]) -> Result<BytesMut, DtlsSrtpError> {
        self.inbound.decrypt_rtp(packet).map_err(|_| DtlsSrtpError::NotAuthentic)
    }

    pub(super) fn unprotect_rtcp(&mut self, packet: &[u8]) -> Result<BytesMut, DtlsSrtpError> {
        self.inbound.decrypt_rtcp(packet).map_err(|_| DtlsSrtpError::NotAuthentic)
    }
}

/// Returns what encryption has to know of the header of a packet of ours: its SSRC, its sequence
/// number and its length. The contents of its extensions are not read, which would cost an
/// allocation for each.
fn outline(packet: &[u8]) -> Option<Header> {
    let [first, _, s0, s1, _, _, _, _, ssrc @ ..] = *packet.first_chunk::<12>()?;
    let has_extensions = first & 0x10 != 0;
    let mut header = Header {
        extension: has_extensions,
        sequence_number: u16::from_be_bytes([s0, s1]),
        ssrc: u32::from_be_bytes(ssrc),
        ..Header::default()
    };
    let mut length = 12;
    // Nobody contributes to a stream of ours (RFC 3550 §5.1).
    if first & 0x0f != 0 {
        return None;
    }
    if has_extensions {
        // Their number of words (RFC 3550 §5.3.1), which count as padding of an empty list.
        let words = packet.get(14..16)?.try_into().ok().map(u16::from_be_bytes)?;
        header.extensions_padding = usize::from(words) * 4;
        length += 4 + header.extensions_padding;
    }
    (packet.len() >= length).then_some(header)
}

#[cfg(test)]
mod tests {
    use rtc_crypto::default_provider;

    use super::*;

    fn context(profile: ProtectionProfile) -> Context {
        let (key, salt) = (vec![7; profile.key_len()], vec![9; profile.salt_len()]);
        let provider = default_provider().unwrap();
        Context::new(&key, &salt, profile, None, None, provider.crypto()).unwrap()
    }

    /// Returns a packet with this first byte and these words of extensions.
    fn packet(first: u8, words: &[[u8; 4]], payload: usize) -> Vec<u8> {
        let mut packet = vec![first, 96, 0xff, 0xfe, 0, 0, 0, 1, 1, 2, 3, 4];
        packet.extend(words.concat());
        packet.resize(packet.len() + payload, 0x55);
        packet
    }

    #[test]
    fn the_outline_of_a_header_encrypts_as_the_parsed_header_does() {
        let one = [0xbe, 0xde, 0, 1];
        let profiles = SrtpProfile::PREFERRED.map(of_srtp);
        for (name, packet) in [
            ("no extensions", packet(0x80, &[], 1000)),
            ("one word", packet(0x90, &[one, [0x10, b'0', 0, 0]], 1000)),
            (
                "two words",
                packet(0x90, &[[0xbe, 0xde, 0, 2], [0x22, 0, 0, 0], [0x10, 48, 0, 0]], 9),
            ),
            ("an empty block", packet(0x90, &[[0xbe, 0xde, 0, 0]], 5)),
            ("no payload", packet(0x80, &[], 0)),
        ] {
            for profile in profiles {
                let (mut parsing, mut ours) = (context(profile), context(profile));
                // Over the wrap of the sequence number.
                for sequence in [0xfffe_u16, 0xffff, 0, 1] {
                    let mut packet = packet.clone();
                    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
                    let expected = parsing.encrypt_rtp(&packet).unwrap();
                    let header = outline(&packet).unwrap();
                    let found = ours.encrypt_rtp_with_header(&packet, &header).unwrap();
                    assert_eq!(found, expected, "{name} {profile:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_packet_of_ours_is_not_encrypted() {
        for (name, packet) in [
            ("nothing", Vec::new()),
            ("a short header", vec![0x80; 11]),
            ("contributors", packet(0x81, &[[0; 4]], 10)),
            ("a short block", packet(0x90, &[[0xbe, 0xde, 0, 3]], 8)),
            ("no block", packet(0x90, &[], 2)),
        ] {
            assert_eq!(outline(&packet), None, "{name}");
        }
    }
}
