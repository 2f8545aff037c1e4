//! The keys of SRTP, one set for each direction (RFC 3711, RFC 7714).

use bytes::BytesMut;
use rtc_crypto::RTCCrypto;
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile as DtlsProfile;
use rtc_dtls::state::State;
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
