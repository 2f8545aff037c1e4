//! JSON-RPC 2.0 messages: requests, notifications and responses.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::method::{Method, Notification};

pub use serde_json::Value;

/// The id that pairs a response with its request. JSON-RPC allows numbers and strings.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(untagged)]
pub enum RequestId {
    /// A number, which Porthole itself uses.
    Number(#[ts(type = "number")] i64),
    /// A string, which other implementations may use.
    Text(String),
}

/// A fault: the reason why a request was refused (JSON-RPC 2.0 §5.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Fault {
    /// The number of the fault, one of `code`.
    #[ts(type = "number")]
    pub code: i64,
    /// One sentence that says what to do.
    pub message: String,
    /// The session that an `error` notification is about (ONVIF WebRTC 26.06 §5.8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub session: Option<crate::SessionId>,
}

impl Fault {
    /// Creates a fault that is not about a session.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), session: None }
    }
}

/// The numbers that faults and errors carry.
pub mod code {
    /// JSON-RPC: the message is not JSON.
    pub const PARSE_ERROR: i64 = -32700;
    /// JSON-RPC: the message is not a request, notification or response.
    pub const INVALID_REQUEST: i64 = -32600;
    /// JSON-RPC: there is no such method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// JSON-RPC: the parameters do not fit the method.
    pub const INVALID_PARAMS: i64 = -32602;
    /// ONVIF: the session or the SDP is not valid.
    pub const BAD_REQUEST: i64 = 400;
    /// ONVIF: the access token cannot be verified or has expired.
    pub const UNAUTHORIZED: i64 = 401;
    /// ONVIF: the sender is not allowed to do this.
    pub const FORBIDDEN: i64 = 403;
    /// ONVIF: the sender is not registered, or the requested object does not exist.
    pub const NOT_FOUND: i64 = 404;
    /// ONVIF: the peer did not respond in time.
    pub const REQUEST_TIMEOUT: i64 = 408;
    /// Porthole: the object already exists, or another change to it is in progress.
    pub const CONFLICT: i64 = 409;
    /// ONVIF: the peer is no longer available.
    pub const GONE: i64 = 410;
    /// Porthole: too many requests in too short a time.
    pub const TOO_MANY_REQUESTS: i64 = 429;
    /// Porthole: the server failed; its log has the details.
    pub const INTERNAL_ERROR: i64 = 500;
    /// Porthole: the server cannot write to its data folder.
    pub const STORAGE_FULL: i64 = 507;
    /// ONVIF: the device is unavailable for now.
    pub const UNAVAILABLE: i64 = 480;
    /// The camera gives no picture that can be played; the message says why. Not in the standard.
    pub const NO_VIDEO: i64 = 503;
    /// ONVIF: the peer does not have sufficient resources.
    pub const INSUFFICIENT_RESOURCES: i64 = 1001;
    /// ONVIF: a peer of the session has closed its WebSocket.
    pub const PEER_DISCONNECTED: i64 = 1002;
    /// ONVIF: the trickled candidate is malformed.
    pub const MALFORMED_CANDIDATE: i64 = 1003;
}

/// One message, in either direction.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A request, which is answered by a response.
    Request {
        /// The id to answer under.
        id: RequestId,
        /// The name of the method.
        method: String,
        /// The parameters, by name.
        params: Value,
    },
    /// A notification, which is not answered.
    Notification {
        /// The name of the method.
        method: String,
        /// The parameters, by name.
        params: Value,
    },
    /// A response to a request.
    Response {
        /// The id of the request; `None` if that could not be read.
        id: Option<RequestId>,
        /// The result of the method, or the reason why it was refused.
        outcome: Result<Value, Fault>,
    },
    /// ONVIF's `error` notification: a fault that is not a response.
    Error(Fault),
}

/// A message on the wire; `params` and `result` are left out where they are empty.
#[derive(Serialize, Deserialize)]
struct Envelope {
    #[serde(default)]
    jsonrpc: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<RequestId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    params: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Fault>,
}

impl Envelope {
    fn empty() -> Self {
        Self {
            jsonrpc: "2.0".to_owned(),
            id: None,
            method: None,
            params: Value::Null,
            result: None,
            error: None,
        }
    }
}

impl Message {
    /// Creates a request of method `M`.
    pub fn request<M: Method>(id: i64, params: &M::Params) -> Self {
        Self::Request {
            id: RequestId::Number(id),
            method: M::NAME.to_owned(),
            params: write(params),
        }
    }

    /// Creates a notification `N`.
    pub fn notification<N: Notification>(params: &N::Params) -> Self {
        Self::Notification { method: N::NAME.to_owned(), params: write(params) }
    }

    /// Creates the response with the result of method `M`.
    pub fn result<M: Method>(id: RequestId, result: &M::Result) -> Self {
        Self::Response { id: Some(id), outcome: Ok(write(result)) }
    }

    /// Creates the response that refuses a request.
    pub fn fault(id: Option<RequestId>, fault: Fault) -> Self {
        Self::Response { id, outcome: Err(fault) }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// The fault to send back: [`code::PARSE_ERROR`] or [`code::INVALID_REQUEST`].
    pub fn from_json(text: &str) -> Result<Self, Fault> {
        let envelope: Envelope = serde_json::from_str(text)
            .map_err(|e| Fault::new(code::PARSE_ERROR, format!("not a JSON-RPC message: {e}")))?;
        match (envelope.method, envelope.id, envelope.result, envelope.error) {
            (Some(method), Some(id), None, None) => {
                Ok(Self::Request { id, method, params: envelope.params })
            }
            (Some(method), None, None, None) => {
                Ok(Self::Notification { method, params: envelope.params })
            }
            (_, None, None, Some(fault)) => Ok(Self::Error(fault)),
            (None, id, None, Some(fault)) => Ok(Self::Response { id, outcome: Err(fault) }),
            (None, Some(id), result, None) => {
                Ok(Self::Response { id: Some(id), outcome: Ok(result.unwrap_or(Value::Null)) })
            }
            _ => Err(Fault::new(
                code::INVALID_REQUEST,
                "neither a request, a notification nor a response",
            )),
        }
    }

    /// Writes the message as JSON.
    ///
    /// # Panics
    /// Never: JSON values are always JSON.
    pub fn to_json(&self) -> String {
        let mut envelope = Envelope::empty();
        match self.clone() {
            Self::Request { id, method, params } => {
                envelope.id = Some(id);
                envelope.method = Some(method);
                envelope.params = params;
            }
            Self::Notification { method, params } => {
                envelope.method = Some(method);
                envelope.params = params;
            }
            Self::Response { id, outcome: Ok(result) } => {
                envelope.id = id;
                envelope.result = Some(result);
            }
            Self::Response { id, outcome: Err(fault) } => {
                envelope.id = id;
                envelope.error = Some(fault);
            }
            Self::Error(fault) => {
                envelope.method = Some("error".to_owned());
                envelope.error = Some(fault);
            }
        }
        serde_json::to_string(&envelope).expect("an envelope of JSON values is always JSON")
    }
}

/// Reads the parameters or the result of a method.
///
/// # Errors
/// [`code::INVALID_PARAMS`], with a message that names the field.
pub fn read<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, Fault> {
    let value = if value.is_null() { Value::Object(serde_json::Map::new()) } else { value };
    serde_json::from_value(value).map_err(|e| Fault::new(code::INVALID_PARAMS, e.to_string()))
}

/// Writes the parameters or the result of a method.
///
/// # Panics
/// Never for the types of this crate: plain structs with text keys are always JSON.
pub fn write<T: Serialize>(params: &T) -> Value {
    serde_json::to_value(params).expect("plain structs with text keys are always JSON")
}

#[cfg(test)]
mod tests;
