//! The signaling server: HTTP, WebSocket, WHEP, tokens and the database. The decisions are made in
//! `porthole-signaling-core`; this crate drives it.
//!
//! Architecture invariant: it opens connections to the configured provider of OpenID Connect (the
//! module `openid`) and to nothing else, without one to nothing at all; and it sees no media.

#![warn(missing_docs)]

pub mod admin;
mod api;
mod app;
mod assets;
mod authority;
mod caller;
mod config;
mod device;
mod driver;
mod headers;
mod http2;
mod listener;
mod metrics;
mod network;
mod openid;
mod outbox;
mod password;
mod places;
mod prefix;
mod proxies;
mod public_key;
mod refusal;
mod secret;
mod server;
mod share_token;
mod socket;
mod store;
mod throttle;
mod totp;
mod webauthn;
mod whep;

pub use authority::{Authority, Fingerprint, InvalidFingerprint};
pub use config::{Asset, Config, Join, OpenidConnect, PlaceLimits, ProviderError, TrustProxy};
pub use listener::{Entrance, HttpVersion, Visitor};
pub use metrics::Metrics;
pub use porthole_signaling_core::{
    Limits, Rate, TurnCondition, TurnConditions, TurnConfig, TurnServer, TurnUser,
};
pub use server::{Server, StartError, TurnServers};
pub use store::{OpenError, ShareError, StoreError, TokenError, UserError};
