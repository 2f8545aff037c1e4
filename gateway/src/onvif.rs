//! Finding cameras and asking them for their streams: the sockets for the values of
//! [`porthole_gateway_core::onvif`].
//!
//! Architecture invariant: nothing here reads an answer or decides what to ask; a request goes to
//! the address that the core names, and no redirect is followed.

mod discover;
pub(crate) mod exchange;
mod interfaces;
mod probe;
mod settings;
mod streams;
mod target;

pub use discover::{ask, search};
pub use interfaces::{Link, links, networks};
pub use porthole_gateway_core::onvif::discovery::{
    Device, Output as Discovered, PORT as DISCOVERY_PORT,
};
pub use porthole_gateway_core::onvif::probe::{Camera, Config, Output as Probed, Stream};
pub use porthole_gateway_core::onvif::{
    Cidr, Encoding, Finding, Information, MAX_REFUSED, Measured, Networks, NotAllowed, Preset,
    ServiceAddress,
};
pub use probe::probe;
pub(crate) use settings::settings;
pub use streams::{StreamTest, check_stream, try_paths};
pub use target::{InvalidTarget, Target, USUAL_SERVICE};
