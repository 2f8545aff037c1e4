//! The signaling server: HTTP, WebSocket, SQL, tokens, WHEP. What it decides is in
//! `porthole-signaling-core`; here it is carried out.
//!
//! Architecture invariant: it never dials anything, and it sees no media.

#![warn(missing_docs)]

pub mod admin;
mod api;
mod app;
mod assets;
mod caller;
mod config;
mod drive;
mod line;
mod password;
mod peer;
mod refusal;
mod secret;
mod server;
mod socket;
mod store;
mod throttle;
mod whep;

pub use config::{Asset, Config};
pub use porthole_signaling_core::{Limits, Rate, TurnConfig};
pub use server::{Server, StartError};
pub use store::{OpenError, StoreError};
