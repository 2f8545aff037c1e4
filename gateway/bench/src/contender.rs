//! The gateways that are measured: ours, in one or several builds, Janus, and one that is made with
//! the `webrtc` crate.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::janus::Janus;
use crate::porthole::Porthole;
use crate::process::Process;
use crate::viewer::{Counters, Viewer};
use crate::webrtc_crate::WebrtcCrate;

/// Time for a server to start, and for a viewer to join.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A viewer that has joined.
#[derive(Debug)]
pub(crate) struct Joined {
    /// The time of its first request.
    pub(crate) asked: Instant,
    pub(crate) viewer: Viewer,
}

/// A gateway to measure.
#[derive(Debug, Clone)]
pub(crate) enum Contender {
    /// A build of ours, with the name that the table gives it.
    Porthole(String, PathBuf),
    /// Janus, as Debian packages it.
    Janus,
    /// The shortest gateway with the `webrtc` crate.
    WebrtcCrate,
}

impl FromStr for Contender {
    type Err = std::convert::Infallible;

    /// Reads `PATH` or `NAME=PATH`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, path) = text.split_once('=').unwrap_or(("Porthole", text));
        Ok(Self::Porthole(name.to_owned(), path.into()))
    }
}

impl Contender {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Porthole(name, _) => name,
            Self::Janus => "Janus",
            Self::WebrtcCrate => "webrtc crate",
        }
    }

    /// Starts the gateway, with a camera for each port.
    pub(crate) async fn start(&self, ports: &[u16]) -> Result<Running> {
        Ok(match self {
            Self::Porthole(_, binary) => Running::Porthole(Porthole::start(binary, ports).await?),
            Self::Janus => Running::Janus(Janus::start(ports).await?),
            Self::WebrtcCrate => Running::WebrtcCrate(WebrtcCrate::start(ports).await?),
        })
    }
}

/// A gateway that runs until it is dropped.
pub(crate) enum Running {
    Porthole(Porthole),
    Janus(Janus),
    WebrtcCrate(WebrtcCrate),
}

impl Running {
    /// Returns the process that is measured.
    pub(crate) fn process(&self) -> &Process {
        match self {
            Self::Porthole(porthole) => &porthole.gateway,
            Self::Janus(janus) => &janus.process,
            Self::WebrtcCrate(webrtc) => &webrtc.process,
        }
    }

    /// Lets this many viewers join, each after an interval.
    pub(crate) async fn join(
        &mut self,
        viewers: usize,
        interval: Duration,
        counters: &Arc<Counters>,
    ) -> Result<Vec<Joined>> {
        match self {
            Self::Porthole(porthole) => porthole.join(viewers, interval, counters).await,
            Self::Janus(janus) => janus.join(viewers, interval, counters).await,
            Self::WebrtcCrate(webrtc) => webrtc.join(viewers, interval, counters).await,
        }
    }
}
