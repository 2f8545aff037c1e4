//! Gateways: how they enrol, connect and disconnect.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, VerifyingKey};
use porthole_clock::Now;
use porthole_signaling_proto::identity::{
    GatewayToken, enroll_message, gateway_id, register_message,
};
use porthole_signaling_proto::method::{
    Challenge, ChallengeResult, Enroll, EnrollParams, EnrollResult, PROTOCOL, Register,
    RegisterResult,
};
use porthole_signaling_proto::rpc::{Fault, code};
use porthole_signaling_proto::{CameraId, GatewayId, rest, rpc};
use serde_json::Value;
use tracing::info;

use crate::call::Call;
use crate::directory::{Introduction, plain_name};
use crate::lookup::Continuation;
use crate::stats::EndReason;
use crate::timer::Timer;
use crate::{Admitted, Bucket, Close, ConnId, Enrolled, Everything, Granted, Hub, Lookup, Output};

/// The longest claim code that is looked up.
const MAX_CLAIM_CHARS: usize = 64;

impl Hub {
    pub(crate) fn handle_challenge(
        &mut self,
        call: &Call,
        _: Admitted,
        _: Value,
    ) -> Result<(), Fault> {
        self.links.unregistered(call.conn)?;
        let nonce = self.random_name("n");
        self.links.unregistered(call.conn)?.set_nonce(nonce.clone());
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
        let origin = params.origin.as_deref();
        let message = enroll_message(origin, &nonce, &params.claim);
        check_signature(&public_key, &params.signature, &message)?;
        self.config.origins.check(origin)?;
        if claim.len() > MAX_CLAIM_CHARS {
            return Err(Fault::new(code::FORBIDDEN, "that is not a claim code"));
        }
        let gateway = gateway_id(&public_key);
        let name = plain_name(&params.name);
        let name = if name.is_empty() { gateway.to_string() } else { name };
        let continuation = Continuation::Enroll { gateway: gateway.clone() };
        self.look_up(call, Lookup::Enroll { claim, gateway, public_key, name }, continuation)
    }

    pub(crate) fn finish_enroll(&mut self, call: &Call, gateway: GatewayId, enrolled: Enrolled) {
        if let Some(old) = &enrolled.replaces {
            info!(%gateway, %old, "a gateway takes the place of another");
            self.directory.enroll(gateway.clone(), enrolled.name.clone(), enrolled.renamed);
            self.directory.replace(old, &gateway);
            self.forget_gateway(call.now, old);
        }
        self.revoked.forget(&key_of(&gateway));
        self.directory.enroll(gateway.clone(), enrolled.name, enrolled.renamed);
        self.respond::<Enroll>(call, &EnrollResult { id: gateway });
    }

    /// Continues `register` with a gateway's token by looking up the gateway's key.
    pub(crate) fn look_up_gateway(
        &mut self,
        call: &Call,
        token: GatewayToken,
        introduction: Introduction,
    ) -> Result<(), Fault> {
        let nonce = self.take_nonce(call.conn)?;
        let lookup = Lookup::GatewayKey(token.id.clone());
        let continuation = Continuation::RegisterGateway { token, nonce, introduction };
        self.look_up(call, lookup, continuation)
    }

    pub(crate) fn verify_gateway(
        &self,
        token: &GatewayToken,
        nonce: &str,
        public_key: &[u8; 32],
    ) -> Result<(), Fault> {
        let origin = token.origin.as_deref();
        let message = register_message(origin, nonce, &token.id);
        check_signature(public_key, &token.signature, &message)?;
        self.config.origins.check(origin)
    }

    /// Registers a gateway that has proved its identity. A connection that it still has is older
    /// and is closed.
    pub(crate) fn register_gateway(
        &mut self,
        call: &Call,
        gateway: GatewayId,
        introduction: Introduction,
    ) -> Result<(), Fault> {
        if self.revoked.has(&key_of(&gateway)) {
            return Err(Fault::new(code::UNAUTHORIZED, "this gateway was removed from the server"));
        }
        let bucket = Bucket::new(self.config.limits.gateway_rate, call.now.instant);
        self.links.unregistered(call.conn)?.register_gateway(gateway.clone(), bucket);
        let replaced = self.directory.connect_gateway(&gateway, call.conn, introduction, call.now);
        if let Some(old) = replaced {
            self.close_connection(call.now, old, Close::REPLACED);
        }
        self.push_output(Output::Registered { conn: call.conn, owner: gateway.to_string() });
        info!(%gateway, "gateway is online");
        let result = RegisterResult { id: gateway.to_string(), protocol: Some(PROTOCOL) };
        self.respond::<Register>(call, &result);
        self.schedule_cameras(call.now);
        Ok(())
    }

    pub(crate) fn handle_gateway_lost(&mut self, now: Now, conn: ConnId, id: &GatewayId) {
        if !self.directory.disconnect_gateway(id, conn, now) {
            return;
        }
        if let Some(stored) = self.directory.stored(id) {
            // With the time at which it was seen last.
            self.push_output(Output::Persist(stored));
        }
        info!(gateway = %id, "gateway is offline");
        let deadline = now.instant + self.config.limits.reconnect_window;
        self.timers.set(deadline, Timer::GatewayAway(id.clone()));
        self.notify_gateway_lost(id);
        self.schedule_cameras(now);
    }

    /// Forgets the sessions of a gateway that did not reconnect in time. They may well go on
    /// between their peers.
    pub(crate) fn handle_gateway_away_timeout(&mut self, now: Now, id: &GatewayId) {
        let window = self.config.limits.reconnect_window;
        if self.directory.is_away(id, window, now.instant) {
            for session in self.sessions.of_gateway(id) {
                self.forget_session(now, &session);
            }
        }
    }

    /// Takes the connection's nonce, which is valid once, whether or not its use succeeds.
    fn take_nonce(&mut self, conn: ConnId) -> Result<String, Fault> {
        self.links.unregistered(conn)?.take_nonce().ok_or_else(|| {
            Fault::new(code::UNAUTHORIZED, "no unused nonce: send `portholeChallenge` first")
        })
    }

    /// Handles a new name that a person has given to a gateway, and that is in the database.
    pub fn rename_gateway(&mut self, gateway: &Granted<GatewayId>, name: &str) {
        self.directory.rename(gateway.object(), plain_name(name));
    }

    /// Handles the removal of a gateway from the database: ends its sessions and its connection.
    /// Returns how many sessions were ended by this removal, of which the hub may be told more than
    /// once.
    pub fn handle_gateway_removed(&mut self, now: Now, gateway: &GatewayId) -> usize {
        if self.directory.knows(gateway) {
            info!(%gateway, "gateway is removed");
        }
        let sessions = self.sessions.of_gateway(gateway).len();
        self.forget_gateway(now, gateway);
        self.revoked.add(now.instant, &key_of(gateway), sessions)
    }

    /// Returns true if a gateway had a camera that it no longer has, and its id is kept for it.
    pub fn is_former_camera(&self, gateway: &GatewayId, camera: &CameraId) -> bool {
        self.directory.is_former(gateway, camera)
    }

    /// Forgets that a gateway had a camera that it no longer has: its id alone can mean that of
    /// another from now on. Returns false if the gateway has the camera, or did not have it.
    pub fn release_camera(
        &mut self,
        now: Now,
        _: &Granted<Everything>,
        gateway: &GatewayId,
        camera: &CameraId,
    ) -> bool {
        if !self.directory.release(gateway, camera) {
            return false;
        }
        info!(%gateway, %camera, "the id of a camera is released");
        if let Some(changed) = self.directory.take_changed(gateway) {
            self.push_output(Output::Persist(changed));
        }
        self.schedule_cameras(now);
        true
    }

    fn forget_gateway(&mut self, now: Now, gateway: &GatewayId) {
        for session in self.sessions.of_gateway(gateway) {
            self.end_session_on_both_sides(now, &session, EndReason::GatewayRemoved);
        }
        for session in self.forgotten.take_of_gateway(gateway) {
            self.end_forgotten(&session, gateway);
        }
        if let Some(conn) = self.directory.remove(gateway) {
            self.close_connection(now, conn, Close::REMOVED);
        }
        // Those who had rights to its cameras have others in the database now.
        for conn in self.links.of_principals(|principal| principal.has_rights_on(gateway)) {
            self.close_connection(now, conn, Close::RIGHTS_CHANGED);
        }
        self.end_turn_users_without_rights(now, |principal| principal.has_rights_on(gateway));
        self.schedule_cameras(now);
    }

    /// Returns all gateways, sorted by name.
    pub fn gateways(&self, _: &Granted<Everything>) -> Vec<rest::Gateway> {
        self.directory.gateways()
    }
}

/// Returns the name under which the removal of a gateway is remembered.
fn key_of(gateway: &GatewayId) -> String {
    format!("gateway:{gateway}")
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
