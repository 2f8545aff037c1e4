//! The TURN server's part of the admin API: its metrics, the list of its sessions, and a way to end
//! one.
//!
//! Architecture invariants: nothing here runs a command or takes a path from a request; no user
//! name and no address is a label of a metric.

#![warn(missing_docs)]

mod metrics;
mod routes;
mod views;

use porthole_admin::Change;
use porthole_metrics::Exposition;
use porthole_turn_server::{Effect, Server};

pub use routes::routes;

/// Writes the metrics of a server.
pub fn write_metrics(server: &Server, out: &mut Exposition) {
    metrics::write(&server.stats(), &server.fast_path(), out);
}

/// Returns a change of the server's settings as the API shows it.
pub fn change(change: porthole_turn_server::Change) -> Change {
    let porthole_turn_server::Change { setting, effect, description } = change;
    let needs_restart = effect == Effect::AtRestart;
    Change { setting: setting.to_owned(), what: description, needs_restart }
}
