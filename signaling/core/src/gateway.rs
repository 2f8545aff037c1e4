//! Gateways: how they become known, come in, and are missed.

use crate::{Bucket, Close, ConnId, Hub, Question, connection::Stage, hub::Then, timer::Timer};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, VerifyingKey};
use porthole_clock::Now;
use porthole_signaling_proto::{
    CameraId, CameraReport, CameraState, GatewayId, SessionId,
    identity::{GatewayToken, enroll_message, gateway_id, register_message},
    method::{
        Challenge, ChallengeResult, Enroll, EnrollParams, EnrollResult, Register, RegisterResult,
    },
    rpc::{self, Fault, Message, RequestId, code},
};
use serde_json::Value;
use std::{collections::BTreeSet, time::Instant};
use tracing::info;

/// The longest name of a gateway or a camera that is kept; more does not fit a tile.
pub(crate) const MAX_NAME_CHARS: usize = 64;
/// The most capabilities a gateway can have; the standard knows two.
const MAX_CAPABILITIES: usize = 16;
/// The longest claim code that is looked at.
const MAX_CLAIM_CHARS: usize = 64;

#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) name: String,
    pub(crate) conn: Option<ConnId>,
    /// Since when it has no WebSocket, if it had one.
    pub(crate) away_since: Option<Instant>,
    pub(crate) capabilities: Vec<String>,
    pub(crate) cameras: Vec<CameraReport>,
    /// What was written down last.
    pub(crate) saved: Option<(String, Vec<(CameraId, String)>)>,
    pub(crate) sessions: BTreeSet<SessionId>,
}

impl Gateway {
    pub(crate) fn stored(name: String, cameras: Vec<(CameraId, String)>) -> Self {
        let reports = cameras.iter().map(|(id, name)| CameraReport {
            id: id.clone(),
            name: name.clone(),
            state: CameraState::Offline,
            reason: None,
            codec: None,
            width: None,
            height: None,
            viewers: 0,
        });
        Self {
            conn: None,
            away_since: None,
            capabilities: Vec::new(),
            cameras: reports.collect(),
            saved: Some((name.clone(), cameras)),
            sessions: BTreeSet::new(),
            name,
        }
    }
}

impl Hub {
    pub(crate) fn challenge(&mut self, conn: ConnId, id: &RequestId) -> Result<(), Fault> {
        self.stranger(conn)?;
        let nonce = self.random_name("n");
        self.stranger(conn)?.nonce = Some(nonce.clone());
        let result = ChallengeResult { nonce };
        self.send(conn, Message::result::<Challenge>(id.clone(), &result));
        Ok(())
    }

    pub(crate) fn enroll(
        &mut self,
        conn: ConnId,
        id: &RequestId,
        params: Value,
    ) -> Result<(), Fault> {
        let nonce = self.use_nonce(conn)?;
        let params: EnrollParams = rpc::read(params)?;
        let claim: String = params.claim.chars().take(MAX_CLAIM_CHARS + 1).collect();
        let public_key = read_key(&params.public_key)?;
        check_signature(&public_key, &params.signature, &enroll_message(&nonce, &params.claim))?;
        if claim.len() > MAX_CLAIM_CHARS {
            return Err(Fault::new(code::FORBIDDEN, "that is not a claim code"));
        }
        let gateway = gateway_id(&public_key);
        let name = plain_name(&params.name);
        let name = if name.is_empty() { gateway.to_string() } else { name };
        let then = Then::Enroll { gateway: gateway.clone(), name: name.clone() };
        self.ask(conn, id, Question::Enroll { claim, gateway, public_key, name }, then)
    }

    pub(crate) fn enrolled(
        &mut self,
        conn: ConnId,
        id: &RequestId,
        gateway: GatewayId,
        name: String,
    ) {
        let known = self
            .gateways
            .entry(gateway.clone())
            .or_insert_with(|| Gateway::stored(name.clone(), Vec::new()));
        known.name = name;
        let result = EnrollResult { id: gateway };
        self.send(conn, Message::result::<Enroll>(id.clone(), &result));
    }

    /// `register` with a gateway's token: its key has to be looked up.
    pub(crate) fn ask_gateway(
        &mut self,
        conn: ConnId,
        id: &RequestId,
        token: GatewayToken,
        capabilities: Vec<String>,
        name: Option<String>,
    ) -> Result<(), Fault> {
        let nonce = self.use_nonce(conn)?;
        let question = Question::GatewayKey(token.id.clone());
        self.ask(conn, id, question, Then::RegisterGateway { token, nonce, capabilities, name })
    }

    pub(crate) fn prove_gateway(
        &self,
        token: &GatewayToken,
        nonce: &str,
        public_key: &[u8; 32],
    ) -> Result<(), Fault> {
        check_signature(public_key, &token.signature, &register_message(nonce, &token.id))
    }

    /// The gateway is who it says. A connection it still has is an old one.
    pub(crate) fn register_gateway(
        &mut self,
        now: Now,
        conn: ConnId,
        id: &RequestId,
        gateway: GatewayId,
        capabilities: Vec<String>,
        name: Option<String>,
    ) -> Result<(), Fault> {
        let bucket = Bucket::new(self.config.limits.gateway_rate, now.instant);
        let connection = self.stranger(conn)?;
        connection.stage = Stage::Gateway(gateway.clone());
        connection.bucket = bucket;
        let known = self
            .gateways
            .entry(gateway.clone())
            .or_insert_with(|| Gateway::stored(gateway.to_string(), Vec::new()));
        let replaced = known.conn.replace(conn);
        known.away_since = None;
        known.capabilities = capabilities
            .into_iter()
            .take(MAX_CAPABILITIES)
            .map(|capability| plain_name(&capability))
            .collect();
        if let Some(name) = name.map(|name| plain_name(&name)).filter(|name| !name.is_empty()) {
            known.name = name;
        }
        if let Some(old) = replaced {
            self.close(now, old, Close::REPLACED);
        }
        info!(%gateway, "gateway is online");
        let result = RegisterResult { id: gateway.to_string() };
        self.send(conn, Message::result::<Register>(id.clone(), &result));
        self.cameras_changed(now);
        Ok(())
    }

    pub(crate) fn gateway_lost(&mut self, now: Now, conn: ConnId, id: &GatewayId) {
        let Some(gateway) = self.gateways.get_mut(id) else { return };
        if gateway.conn != Some(conn) {
            return;
        }
        info!(gateway = %id, "gateway is offline");
        gateway.conn = None;
        gateway.away_since = Some(now.instant);
        let away = now.instant + self.config.limits.route_kept;
        self.timers.add(away, Timer::GatewayAway(id.clone()));
        self.tell_gateway_lost(id);
        self.cameras_changed(now);
    }

    /// Nobody can speak for its sessions any more; whether they go on is not ours to say.
    pub(crate) fn gateway_away_due(&mut self, now: Now, id: &GatewayId) {
        let kept = self.config.limits.route_kept;
        let Some(gateway) = self.gateways.get(id) else { return };
        if gateway.away_since.is_some_and(|since| since + kept <= now.instant) {
            for session in gateway.sessions.clone() {
                self.forget(&session);
            }
        }
    }

    /// A nonce is good once, whatever comes of it.
    fn use_nonce(&mut self, conn: ConnId) -> Result<String, Fault> {
        self.stranger(conn)?.nonce.take().ok_or_else(|| {
            Fault::new(code::UNAUTHORIZED, "no unused nonce: send `portholeChallenge` first")
        })
    }
}

fn read_key(text: &str) -> Result<[u8; 32], Fault> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes
        .ok_or_else(|| Fault::new(code::INVALID_PARAMS, "`publicKey` is not 32 bytes in base64url"))
}

fn check_signature(public_key: &[u8; 32], signature: &str, message: &[u8]) -> Result<(), Fault> {
    let wrong = || Fault::new(code::UNAUTHORIZED, "the signature is not of this gateway's key");
    let key = VerifyingKey::from_bytes(public_key).map_err(|_| wrong())?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| wrong())?;
    let signature = Signature::from_slice(&signature).map_err(|_| wrong())?;
    key.verify_strict(message, &signature).map_err(|_| wrong())
}

/// A name as it can be shown: one line, not too long.
pub(crate) fn plain_name(text: &str) -> String {
    let shown = text.trim().chars().filter(|c| !c.is_control());
    shown.take(MAX_NAME_CHARS).collect()
}
