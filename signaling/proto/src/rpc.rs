//! JSON-RPC 2.0 envelopes: requests, notifications and responses.

use crate::method::{Method, Notice};
use serde::{Deserialize, Serialize};
pub use serde_json::Value;
use ts_rs::TS;

/// What pairs a response with its request. JSON-RPC allows numbers and strings.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(untagged)]
pub enum RequestId {
    /// What Porthole itself uses.
    Number(#[ts(type = "number")] i64),
    /// What others may use.
    Text(String),
}

/// A fault: why a request was refused (JSON-RPC 2.0 §5.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Fault {
    /// One of [`code`].
    #[ts(type = "number")]
    pub code: i64,
    /// One sentence that says what to do.
    pub message: String,
    /// The session it is about, in an `error` notification (ONVIF WebRTC 26.06 §5.8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub session: Option<crate::SessionId>,
}

impl Fault {
    /// A fault that is about no session.
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
    /// ONVIF: not allowed to do this.
    pub const FORBIDDEN: i64 = 403;
    /// ONVIF: not registered, or no such thing.
    pub const NOT_FOUND: i64 = 404;
    /// ONVIF: the peer did not react.
    pub const REQUEST_TIMEOUT: i64 = 408;
    /// Porthole: it is there already, and is another's.
    pub const CONFLICT: i64 = 409;
    /// ONVIF: the peer is no more available.
    pub const GONE: i64 = 410;
    /// Porthole: too many requests in too short a time.
    pub const TOO_MANY_REQUESTS: i64 = 429;
    /// Porthole: the server failed; its log says how.
    pub const INTERNAL_ERROR: i64 = 500;
    /// Porthole: the server cannot write to its data folder.
    pub const STORAGE_FULL: i64 = 507;
    /// ONVIF: the device is unavailable for now.
    pub const UNAVAILABLE: i64 = 480;
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
    /// Wants an answer.
    Request {
        /// To pair the answer with.
        id: RequestId,
        /// Which method.
        method: String,
        /// Its parameters, by name.
        params: Value,
    },
    /// Wants none.
    Notification {
        /// Which method.
        method: String,
        /// Its parameters, by name.
        params: Value,
    },
    /// Answers a request.
    Response {
        /// The request's; `None` when that could not be read.
        id: Option<RequestId>,
        /// What the method returns, or why not.
        outcome: Result<Value, Fault>,
    },
    /// ONVIF's `error`: a fault that answers no request.
    Error(Fault),
}

/// How a message looks on the wire; `params` and `result` are absent where they are empty.
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
    /// A request for `M`.
    pub fn request<M: Method>(id: i64, params: &M::Params) -> Self {
        Self::Request {
            id: RequestId::Number(id),
            method: M::NAME.to_owned(),
            params: write(params),
        }
    }

    /// A notification of `N`.
    pub fn notification<N: Notice>(params: &N::Params) -> Self {
        Self::Notification { method: N::NAME.to_owned(), params: write(params) }
    }

    /// The answer that `M` gives.
    pub fn result<M: Method>(id: RequestId, result: &M::Result) -> Self {
        Self::Response { id: Some(id), outcome: Ok(write(result)) }
    }

    /// A refusal.
    pub fn fault(id: Option<RequestId>, fault: Fault) -> Self {
        Self::Response { id, outcome: Err(fault) }
    }

    /// Reads a message. The fault says what is wrong with it and can be sent back.
    ///
    /// # Errors
    /// [`code::PARSE_ERROR`] or [`code::INVALID_REQUEST`].
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

    /// Writes a message.
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

/// Reads parameters or a result.
///
/// # Errors
/// [`code::INVALID_PARAMS`], naming the field.
pub fn read<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, Fault> {
    let value = if value.is_null() { Value::Object(serde_json::Map::new()) } else { value };
    serde_json::from_value(value).map_err(|e| Fault::new(code::INVALID_PARAMS, e.to_string()))
}

/// Writes parameters or a result.
///
/// # Panics
/// Never for the types of this crate: plain structs with text keys are always JSON.
pub fn write<T: Serialize>(params: &T) -> Value {
    serde_json::to_value(params).expect("plain structs with text keys are always JSON")
}

#[cfg(test)]
mod tests;
