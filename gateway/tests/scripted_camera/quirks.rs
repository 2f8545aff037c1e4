//! The ways in which cameras differ from the standards, each as a script.

mod messages;
mod numbers;
mod passwords;
mod pictures;
mod streams;

use porthole_gateway_core::media::Codec;

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
    pub(crate) encoder: &'static [&'static str],
    pub(crate) codec: Codec,
    /// The timestamps of the camera tell the distance of its pictures.
    pub(crate) has_clock: bool,
    /// Number of key frames after which it is known.
    pub(crate) key_frames: u64,
    pub(crate) script: fn(ScriptedCamera) -> ScriptedCamera,
}

impl Quirk {
    fn new(name: &'static str, script: fn(ScriptedCamera) -> ScriptedCamera) -> Self {
        Self {
            name,
            path: "/live",
            options: "",
            user: "",
            encoder: &[],
            codec: Codec::H264,
            has_clock: true,
            key_frames: 3,
            script,
        }
    }

    /// Sends H.265 instead of H.264.
    fn h265(self) -> Self {
        Self { codec: Codec::H265, ..self }
    }

    /// Receives over UDP.
    fn udp(self) -> Self {
        self.options("#transport=udp")
    }

    fn without_clock(self) -> Self {
        Self { has_clock: false, key_frames: 8, ..self }
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

    fn encoder(self, encoder: &'static [&'static str]) -> Self {
        Self { encoder, ..self }
    }

    /// Returns the name with what else tells it from the others.
    pub(crate) fn label(&self) -> String {
        let codec = if self.codec == Codec::H264 { "" } else { ", H.265" };
        let transport = if self.options.contains("udp") { ", UDP" } else { "" };
        format!("{}{codec}{transport}", self.name)
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
    pub(crate) use super::numbers::{numbers, order, repeated, timestamps};
    pub(crate) use super::passwords::{challenges, expiring_nonces, paths};
    pub(crate) use super::pictures::{hidden_units, markers, sparse, units};
    pub(crate) use super::streams::{several_tracks, sources};
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
        groups::repeated(),
        groups::timestamps(),
        groups::units(),
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
