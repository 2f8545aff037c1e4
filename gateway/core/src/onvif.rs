//! Finding cameras and asking them for their streams, with ONVIF (Core and Media specifications).
//!
//! Values with the contract of every core: [`discovery::Search`] finds devices with WS-Discovery,
//! [`probe::Probe`] asks one device, [`settings::Settings`] puts the settings of a camera right,
//! and [`control::Control`] moves a camera and watches its events for as long as it is there. All
//! are lenient in what they take and strict in their bounds, because every device of a network may
//! answer.
//!
//! The files depend on each other in one direction: `xml`, `address`, `networks` and `http` know
//! nothing of ONVIF; `scopes`, `clock`, `soap`, `calls` and `answers` read and write its messages;
//! `ptz` and `events` do so for what a camera can do; `vendors` and `finding` are tables;
//! `stream_check` measures a stream; `ladder` proves who we are; `discovery`, `probe`, `settings`
//! and `control` put them together.
//!
//! Architecture invariant: a probe or control contacts one address only, whatever the device says.
//! A probe never has more than two requests with a password refused, and changes nothing in a
//! device.

mod address;
mod answers;
mod calls;
mod clock;
pub mod control;
pub mod discovery;
mod events;
mod finding;
mod http;
mod ladder;
mod networks;
pub mod probe;
mod ptz;
mod scopes;
pub mod settings;
mod soap;
mod stream_check;
pub mod vendors;
pub(crate) mod xml;

pub use address::ServiceAddress;
pub use answers::{Encoding, Information};
pub use finding::Finding;
pub use http::{Reply, ReplyError, ReplyReader};
pub use ladder::MAX_REFUSED;
pub use networks::{Cidr, Networks, NotAllowed};
pub use ptz::{MAX_PRESET_NAME, MAX_PRESETS, Preset, Velocity};
pub use stream_check::{Measured, StreamCheck};
