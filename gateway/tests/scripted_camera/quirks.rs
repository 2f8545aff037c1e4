//! The ways in which cameras differ from the standards, each as a script.

mod messages;
mod passwords;
mod streams;

use super::{Reply, Request, ScriptedCamera};

/// One way, by its name.
pub(crate) struct Quirk {
    pub(crate) name: &'static str,
    /// Path and query of the address.
    pub(crate) path: &'static str,
    /// Options that follow the address.
    pub(crate) options: &'static str,
    /// User and password in the address.
    pub(crate) user: &'static str,
    /// Further parameters of the encoder.
    pub(crate) x264: &'static [&'static str],
    pub(crate) script: fn(ScriptedCamera) -> ScriptedCamera,
}

impl Quirk {
    fn new(name: &'static str, script: fn(ScriptedCamera) -> ScriptedCamera) -> Self {
        Self { name, path: "/live", options: "", user: "", x264: &[], script }
    }

    fn options(self, options: &'static str) -> Self {
        Self { options, ..self }
    }

    fn path(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    fn with_password(self) -> Self {
        Self { user: super::password::USER, ..self }
    }

    fn x264(self, x264: &'static [&'static str]) -> Self {
        Self { x264, ..self }
    }

    /// Returns the address at a camera on this port, without the options.
    pub(crate) fn url(&self, port: u16) -> String {
        format!("rtsp://{}127.0.0.1:{port}{}", self.user, self.path)
    }
}

/// The groups of quirks, each of which has a test.
pub(crate) mod groups {
    pub(crate) use super::messages::{
        addresses, all_tracks, camera_requests, descriptions, folded_headers, keepalives, noise,
        redirects, refusals, replies, sessions, transports,
    };
    pub(crate) use super::passwords::{challenges, expiring_nonces, paths};
    pub(crate) use super::streams::{
        hidden_units, markers, numbers, order, several_tracks, sources, sparse,
    };
}

/// Returns every quirk.
pub(crate) fn all() -> Vec<Quirk> {
    [
        groups::redirects(),
        groups::hidden_units(),
        groups::sources(),
        groups::folded_headers(),
        groups::order(),
        groups::descriptions(),
        groups::markers(),
        groups::challenges(),
        groups::camera_requests(),
        groups::sessions(),
        groups::transports(),
        groups::paths(),
        groups::replies(),
        groups::noise(),
        groups::addresses(),
        groups::refusals(),
        groups::keepalives(),
        groups::expiring_nonces(),
        groups::all_tracks(),
        groups::numbers(),
        groups::several_tracks(),
        groups::sparse(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Changes the replies to one method.
fn on(
    camera: ScriptedCamera,
    method: &'static str,
    change: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static,
) -> ScriptedCamera {
    camera.answer(
        move |request, reply| {
            if request.method() == method { change(request, reply) } else { reply }
        },
    )
}
