//! The keys of SRTP, one set for each direction (RFC 3711, RFC 7714).

use bytes::BytesMut;
use rtc_crypto::RTCCrypto;
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile as DtlsProfile;
use rtc_dtls::state::State;
use rtc_srtp::config::{Config, LABEL_EXTRACTOR_DTLS_SRTP};
use rtc_srtp::context::Context;
use rtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use rtc_srtp::protection_profile::ProtectionProfile;

use super::{DtlsRole, DtlsSrtpError, handshake};

/// Size of the replay window in packets; older packets are dropped (RFC 3711 §3.3.2: at least 64).
const REPLAY_WINDOW: usize = 1024;

/// SRTP protection profiles in order of preference. AES-GCM takes a third of the work of AES-CM
/// with HMAC-SHA1, which remains for players that support nothing newer.
pub(super) const PROFILES: [DtlsProfile; 3] = [
    DtlsProfile::Srtp_Aead_Aes_128_Gcm,
    DtlsProfile::Srtp_Aead_Aes_256_Gcm,
    DtlsProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
];

/// The SRTP keys of an association.
pub(super) struct Srtp {
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
        let profile = match state.srtp_protection_profile() {
            DtlsProfile::Srtp_Aead_Aes_128_Gcm => ProtectionProfile::AeadAes128Gcm,
            DtlsProfile::Srtp_Aead_Aes_256_Gcm => ProtectionProfile::AeadAes256Gcm,
            DtlsProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
            DtlsProfile::Srtp_Aes128_Cm_Hmac_Sha1_32 | DtlsProfile::Unsupported | _ => {
                return Err(DtlsSrtpError::Handshake("no common SRTP profile".to_owned()));
            }
        };
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
        Ok(Self { outbound: outbound.map_err(handshake)?, inbound: inbound.map_err(handshake)? })
    }

    pub(super) fn protect_rtp(&mut self, packet: &[u8]) -> Result<BytesMut, DtlsSrtpError> {
        self.outbound.encrypt_rtp(packet).map_err(|_| DtlsSrtpError::NotReady)
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
