//! Gateways: how they enrol, connect and disconnect.

use std::collections::BTreeSet;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, VerifyingKey};
use porthole_clock::Now;
use porthole_signaling_proto::identity::{
    GatewayToken, enroll_message, gateway_id, register_message,
};
use porthole_signaling_proto::method::{
    Challenge, ChallengeResult, Enroll, EnrollParams, EnrollResult, Register, RegisterResult,
};
use porthole_signaling_proto::rpc::{Fault, Message, code};
use porthole_signaling_proto::{
    CameraId, CameraReport, CameraState, GatewayId, SessionId, rest, rpc,
};
use serde_json::Value;
use tracing::info;

use crate::call::Call;
use crate::cameras::fold_sub_streams;
use crate::connection::Stage;
use crate::lookup::Continuation;
use crate::timer::Timer;
use crate::{Admitted, Bucket, Close, ConnId, Everything, Granted, Hub, Lookup};

/// The longest display name of a gateway or camera; more does not fit a tile of the dashboard.
pub(crate) const MAX_NAME_CHARS: usize = 64;
/// The most capabilities of a gateway; the standard defines two.
const MAX_CAPABILITIES: usize = 16;
/// The longest claim code that is looked up.
const MAX_CLAIM_CHARS: usize = 64;

#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) name: String,
    pub(crate) conn: Option<ConnId>,
    /// The time its last WebSocket closed; `None` while it is connected or has never been.
    pub(crate) away_since: Option<Instant>,
    pub(crate) capabilities: Vec<String>,
    pub(crate) cameras: Vec<CameraReport>,
    /// The name and cameras in the last [`Output::Persist`](crate::Output::Persist).
    pub(crate) persisted: Option<(String, Vec<(CameraId, String)>)>,
    pub(crate) sessions: BTreeSet<SessionId>,
}

impl Gateway {
    /// Creates a gateway that is not connected and whose cameras are offline.
    pub(crate) fn restored(name: String, cameras: Vec<(CameraId, String)>) -> Self {
        let reports = cameras.iter().map(|(id, name)| CameraReport {
            id: id.clone(),
            name: name.clone(),
            state: CameraState::Offline,
            reason: None,
            codec: None,
            width: None,
            height: None,
            viewers: 0,
            streams: Vec::new(),
        });
        Self {
            conn: None,
            away_since: None,
            capabilities: Vec::new(),
            cameras: fold_sub_streams(reports.collect()),
            persisted: Some((name.clone(), cameras)),
            sessions: BTreeSet::new(),
            name,
        }
    }
}

impl Hub {
    pub(crate) fn handle_challenge(
        &mut self,
        call: &Call,
        _: Admitted,
        _: Value,
    ) -> Result<(), Fault> {
        self.unregistered(call.conn)?;
        let nonce = self.random_name("n");
        self.unregistered(call.conn)?.nonce = Some(nonce.clone());
        self.respond::<Challenge>(call, &ChallengeResult { nonce });
        Ok(())
    }

    pub(crate) fn handle_enroll(
        &mut self,
        call: &Call,
        _: Admitted,
        params: Value,
    ) -> Result<(), Fault> {
        let nonce = self.take_nonce(call.conn)?;
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
        let continuation = Continuation::Enroll { gateway: gateway.clone(), name: name.clone() };
        self.look_up(call, Lookup::Enroll { claim, gateway, public_key, name }, continuation)
    }

    pub(crate) fn finish_enroll(&mut self, call: &Call, gateway: GatewayId, name: String) {
        let known = self
            .gateways
            .entry(gateway.clone())
            .or_insert_with(|| Gateway::restored(name.clone(), Vec::new()));
        known.name = name;
        self.respond::<Enroll>(call, &EnrollResult { id: gateway });
    }

    /// Continues `register` with a gateway's token by looking up the gateway's key.
    pub(crate) fn look_up_gateway(
        &mut self,
        call: &Call,
        token: GatewayToken,
        capabilities: Vec<String>,
        name: Option<String>,
    ) -> Result<(), Fault> {
        let nonce = self.take_nonce(call.conn)?;
        let lookup = Lookup::GatewayKey(token.id.clone());
        let continuation = Continuation::RegisterGateway { token, nonce, capabilities, name };
        self.look_up(call, lookup, continuation)
    }

    pub(crate) fn verify_gateway(
        &self,
        token: &GatewayToken,
        nonce: &str,
        public_key: &[u8; 32],
    ) -> Result<(), Fault> {
        check_signature(public_key, &token.signature, &register_message(nonce, &token.id))
    }

    /// Registers a gateway that has proved its identity. A connection that it still has is older
    /// and is closed.
    pub(crate) fn register_gateway(
        &mut self,
        call: &Call,
        gateway: GatewayId,
        capabilities: Vec<String>,
        name: Option<String>,
    ) -> Result<(), Fault> {
        let bucket = Bucket::new(self.config.limits.gateway_rate, call.now.instant);
        let connection = self.unregistered(call.conn)?;
        connection.stage = Stage::Gateway(gateway.clone());
        connection.bucket = bucket;
        let known = self
            .gateways
            .entry(gateway.clone())
            .or_insert_with(|| Gateway::restored(gateway.to_string(), Vec::new()));
        let replaced = known.conn.replace(call.conn);
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
            self.close_connection(call.now, old, Close::REPLACED);
        }
        info!(%gateway, "gateway is online");
        self.respond::<Register>(call, &RegisterResult { id: gateway.to_string() });
        self.schedule_cameras(call.now);
        Ok(())
    }

    pub(crate) fn handle_gateway_lost(&mut self, now: Now, conn: ConnId, id: &GatewayId) {
        let Some(gateway) = self.gateways.get_mut(id) else { return };
        if gateway.conn != Some(conn) {
            return;
        }
        info!(gateway = %id, "gateway is offline");
        gateway.conn = None;
        gateway.away_since = Some(now.instant);
        let deadline = now.instant + self.config.limits.reconnect_window;
        self.timers.add(deadline, Timer::GatewayAway(id.clone()));
        self.notify_gateway_lost(id);
        self.schedule_cameras(now);
    }

    /// Forgets the sessions of a gateway that did not reconnect in time. They may well go on
    /// between their peers.
    pub(crate) fn handle_gateway_away_timeout(&mut self, now: Now, id: &GatewayId) {
        let window = self.config.limits.reconnect_window;
        let Some(gateway) = self.gateways.get(id) else { return };
        if gateway.away_since.is_some_and(|since| since + window <= now.instant) {
            for session in gateway.sessions.clone() {
                self.remove_session(&session);
            }
        }
    }

    /// Takes the connection's nonce, which is valid once, whether or not its use succeeds.
    fn take_nonce(&mut self, conn: ConnId) -> Result<String, Fault> {
        self.unregistered(conn)?.nonce.take().ok_or_else(|| {
            Fault::new(code::UNAUTHORIZED, "no unused nonce: send `portholeChallenge` first")
        })
    }

    /// Returns all gateways, sorted by name.
    pub fn gateways(&self, _: &Granted<Everything>) -> Vec<rest::Gateway> {
        let mut gateways: Vec<_> = self
            .gateways
            .iter()
            .map(|(id, gateway)| rest::Gateway {
                id: id.clone(),
                name: gateway.name.clone(),
                online: gateway.conn.is_some(),
            })
            .collect();
        gateways.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id)));
        gateways
    }

    /// Returns the connection of a gateway.
    pub(crate) fn gateway_connection(&self, gateway: &GatewayId) -> Result<ConnId, Fault> {
        let conn = self.gateways.get(gateway).and_then(|gateway| gateway.conn);
        conn.ok_or_else(|| {
            Fault::new(code::UNAVAILABLE, "the camera's gateway is not connected; try again later")
        })
    }

    /// Sends a message to a gateway if it is connected.
    pub(crate) fn notify_gateway(&mut self, gateway: &GatewayId, message: Message) {
        let conn = self.gateways.get(gateway).and_then(|gateway| gateway.conn);
        if let Some(conn) = conn {
            self.send(conn, message);
        }
    }
}

fn read_key(text: &str) -> Result<[u8; 32], Fault> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes
        .ok_or_else(|| Fault::new(code::INVALID_PARAMS, "`publicKey` is not 32 bytes in base64url"))
}

fn check_signature(public_key: &[u8; 32], signature: &str, message: &[u8]) -> Result<(), Fault> {
    let wrong = || Fault::new(code::UNAUTHORIZED, "the signature does not match the gateway's key");
    let key = VerifyingKey::from_bytes(public_key).map_err(|_| wrong())?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| wrong())?;
    let signature = Signature::from_slice(&signature).map_err(|_| wrong())?;
    key.verify_strict(message, &signature).map_err(|_| wrong())
}

/// Makes a name fit for display: one line, at most [`MAX_NAME_CHARS`] characters.
pub(crate) fn plain_name(text: &str) -> String {
    let shown = text.trim().chars().filter(|c| !c.is_control());
    shown.take(MAX_NAME_CHARS).collect()
}
