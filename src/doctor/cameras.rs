//! The cameras: does something listen at their addresses?

use std::time::Duration;

use porthole_gateway::ingest::Source;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Patient;
use super::finding::Finding;

/// Time for a camera to accept a connection.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Number of cameras that are tried at a time.
const AT_A_TIME: usize = 16;

/// Tries each camera of the configuration.
pub(super) async fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let mut waiting = patient.config.camera.iter().filter_map(|(id, camera)| {
        let Source::Rtsp(camera) = camera.source.parsed() else { return None };
        Some((id.to_string(), camera.address.host_and_port()))
    });
    let mut trying = JoinSet::new();
    let mut findings = Vec::new();
    loop {
        while trying.len() < AT_A_TIME
            && let Some((id, address)) = waiting.next()
        {
            trying.spawn(try_camera(id, address));
        }
        let Some(done) = trying.join_next().await else { break };
        findings.extend(done.ok());
    }
    findings.sort_by(|one, other| one.subject.cmp(&other.subject));
    findings
}

async fn try_camera(id: String, address: String) -> Finding {
    let subject = format!("camera {id}");
    let advice = "check that it is switched on and in a network that this machine reaches, and its \
                  address and port; `porthole probe` says more";
    match timeout(TIMEOUT, TcpStream::connect(&address)).await {
        Ok(Ok(_)) => Finding::ok(subject, format!("accepts connections at {address}")),
        Ok(Err(error)) => Finding::failure(subject, format!("{address} refuses: {error}"), advice),
        Err(_) => Finding::failure(subject, format!("no answer from {address} in 3 s"), advice),
    }
}
