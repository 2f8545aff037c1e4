//! Database lookups: the requests that cannot be answered from memory, and how each continues
//! when its result arrives.

use std::collections::HashMap;

use porthole_clock::Now;
use porthole_signaling_proto::identity::GatewayToken;
use porthole_signaling_proto::method::ConnectParams;
use porthole_signaling_proto::rest::Removed;
use porthole_signaling_proto::rpc::{Fault, Message, RequestId, code};
use porthole_signaling_proto::{GatewayId, SessionId};
use serde_json::Value;

use crate::call::Call;
use crate::directory::Introduction;
use crate::exchanges::Asker;
use crate::{Action, Admitted, CameraChange, CameraRemoval, Hub, Output, Principal, Sender};

/// Identifier of a lookup, unique within a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupId(pub(crate) u64);

/// A question that only the database can answer.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// Find the owner of an access token.
    Token(String),
    /// Find a gateway's public key.
    GatewayKey(GatewayId),
    /// Use up a claim code and record the gateway, both or neither.
    Enroll {
        /// The claim code as it was typed.
        claim: String,
        /// The gateway, which has proved that it holds the key.
        gateway: GatewayId,
        /// The gateway's Ed25519 public key.
        public_key: [u8; 32],
        /// The gateway's display name.
        name: String,
    },
    /// Take all rights to a camera away, and tell the hub by
    /// [`Hub::handle_rights_taken`](crate::Hub::handle_rights_taken) before the result.
    TakeRights(Box<CameraRemoval>),
    /// Write down the change of a camera, which its gateway has made.
    WriteDown(Box<CameraChange>),
}

/// The result of a [`Lookup`]; each variant belongs to the lookup variant in the same place.
#[derive(Debug, Clone)]
pub enum LookupResult {
    /// The owner of the token, or a fault that says why the token is not valid.
    Token(Result<Principal, Fault>),
    /// The public key, or a fault that says why it was not found.
    GatewayKey(Result<[u8; 32], Fault>),
    /// The gateway as it is recorded, or a fault that says why it is not.
    Enrolled(Result<Enrolled, Fault>),
    /// The sum of what was removed with the rights to a camera, or a fault that says why they stay.
    RightsTaken(Result<Removed, Fault>),
    /// The change is written down, or cannot be: it has been made all the same.
    Written,
}

/// A gateway that has enrolled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// The display name.
    pub name: String,
    /// True if a person has given the name.
    pub renamed: bool,
    /// The gateway whose place it has taken, which is removed.
    pub replaces: Option<GatewayId>,
}

/// The lookups in progress, and the requests that wait for them.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    pending: HashMap<LookupId, PendingLookup>,
    last: u64,
}

impl Lookups {
    fn add(&mut self, pending: PendingLookup) -> LookupId {
        self.last += 1;
        let id = LookupId(self.last);
        self.pending.insert(id, pending);
        id
    }

    /// Returns the number of changes of cameras that are being written down.
    pub(crate) fn to_be_written(&self) -> usize {
        let is_change = |pending: &&PendingLookup| {
            matches!(pending.continuation, Continuation::CameraChanged { .. })
        };
        self.pending.values().filter(is_change).count()
    }

    fn take(&mut self, id: LookupId) -> Option<PendingLookup> {
        self.pending.remove(&id)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}

/// A request that waits for a lookup.
#[derive(Debug)]
struct PendingLookup {
    conn: crate::ConnId,
    request: RequestId,
    continuation: Continuation,
}

/// The step of a request that follows its lookup.
#[derive(Debug)]
pub(crate) enum Continuation {
    Register,
    Connect(ConnectParams),
    Extend(SessionId),
    RegisterGateway { token: GatewayToken, nonce: String, introduction: Introduction },
    Enroll { gateway: GatewayId },
    AskRemoval { removal: Box<CameraRemoval> },
    CameraRemoved { result: Value, before: Removed },
    CameraChanged { result: Value },
}

impl Hub {
    /// Starts a lookup that has to be made whether or not its client is still there, and however
    /// many it has.
    pub(crate) fn look_up_at_last(
        &mut self,
        asker: Asker,
        lookup: Lookup,
        continuation: Continuation,
    ) {
        let Asker { conn, id: request } = asker;
        if let Some(connection) = self.links.get_mut(conn) {
            connection.begin_lookup(usize::MAX);
        }
        let id = self.lookups.add(PendingLookup { conn, request, continuation });
        self.push_output(Output::Lookup { id, lookup });
    }

    /// Starts a lookup for a request; the request goes on with `continuation`.
    pub(crate) fn look_up(
        &mut self,
        call: &Call,
        lookup: Lookup,
        continuation: Continuation,
    ) -> Result<(), Fault> {
        let limit = self.config.limits.lookups_per_connection;
        let Some(connection) = self.links.get_mut(call.conn) else { return Ok(()) };
        if !connection.begin_lookup(limit) {
            return Err(Fault::new(
                code::TOO_MANY_REQUESTS,
                "too many requests at once; wait for the answers",
            ));
        }
        let (conn, request) = (call.conn, call.id.clone());
        let id = self.lookups.add(PendingLookup { conn, request, continuation });
        self.push_output(Output::Lookup { id, lookup });
        Ok(())
    }

    /// Continues the request that waits for this lookup.
    pub fn handle_lookup_result(&mut self, now: Now, id: LookupId, result: LookupResult) {
        let Some(pending) = self.lookups.take(id) else { return };
        let PendingLookup { conn, request, continuation } = pending;
        let Some(connection) = self.links.get_mut(conn) else { return };
        connection.end_lookup();
        let call = Call { now, conn, id: request };
        if let Err(fault) = self.resume(&call, continuation, result) {
            self.send(conn, Message::fault(Some(call.id), fault));
        }
    }

    /// Checks what the row of an action requires of the owner of the token in a client's request.
    fn admit_owner(
        &self,
        call: &Call,
        action: Action,
        owner: Principal,
    ) -> Result<Admitted, Fault> {
        self.admit(call.now, call.conn, action)?;
        Ok(action.admit(Sender::Principal(owner), call.now)?)
    }

    /// Refuses what was valid when the database was asked, and was revoked since.
    fn refuse_revoked(&self, result: LookupResult) -> Result<LookupResult, Fault> {
        if let LookupResult::Token(Ok(principal)) = &result
            && self.is_revoked(principal)
        {
            let text = "the access token was revoked, or its rights have changed at this moment: \
                        try again";
            return Err(Fault::new(code::UNAUTHORIZED, text));
        }
        Ok(result)
    }

    fn resume(
        &mut self,
        call: &Call,
        continuation: Continuation,
        result: LookupResult,
    ) -> Result<(), Fault> {
        let result = self.refuse_revoked(result)?;
        match (continuation, result) {
            (Continuation::Register, LookupResult::Token(principal)) => {
                self.register_client(call, principal?)
            }
            (Continuation::Connect(params), LookupResult::Token(principal)) => {
                let admitted = self.admit_owner(call, Action::Connect, principal?)?;
                self.connect_as(call, &params, &admitted)
            }
            (Continuation::Extend(session), LookupResult::Token(principal)) => {
                let admitted = self.admit_owner(call, Action::Extend, principal?)?;
                self.extend_as(call, &session, &admitted)
            }
            (
                Continuation::RegisterGateway { token, nonce, introduction },
                LookupResult::GatewayKey(key),
            ) => {
                self.verify_gateway(&token, &nonce, &key?)?;
                self.register_gateway(call, token.id, introduction)
            }
            (Continuation::Enroll { gateway }, LookupResult::Enrolled(outcome)) => {
                self.finish_enroll(call, gateway, outcome?);
                Ok(())
            }
            (Continuation::AskRemoval { removal }, LookupResult::RightsTaken(removed)) => {
                self.ask_removal(call, *removal, removed?)
            }
            (
                Continuation::CameraRemoved { result, before },
                LookupResult::RightsTaken(removed),
            ) => {
                let asker = Asker { conn: call.conn, id: call.id.clone() };
                // The camera is gone, and so is what gave access to it when the gateway was asked.
                self.answer_removal(asker, result, &removed.unwrap_or(before));
                Ok(())
            }
            (Continuation::CameraChanged { result }, LookupResult::Written) => {
                self.answer(Asker { conn: call.conn, id: call.id.clone() }, Ok(result));
                Ok(())
            }
            (
                _,
                LookupResult::Token(_)
                | LookupResult::GatewayKey(_)
                | LookupResult::Enrolled(_)
                | LookupResult::RightsTaken(_)
                | LookupResult::Written,
            ) => Err(Fault::new(
                code::INTERNAL_ERROR,
                "the database returned the result of another lookup",
            )),
        }
    }
}
