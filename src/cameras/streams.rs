//! The streams that a probe has found, played for some seconds.

use porthole_gateway::ingest::{Caution, Credentials, SourceError};
use porthole_gateway::onvif;
use porthole_gateway::onvif::{Camera, Finding, Stream, StreamTest};

use super::report::ProbeReport;

/// Maximum number of cameras whose streams are played, some seconds each.
const MAX_CAMERAS: usize = 8;

/// Plays the streams of the cameras, the first one alone: a password that RTSP refuses is shown
/// once only.
pub(super) async fn check(
    report: &mut ProbeReport,
    credentials: Option<Credentials>,
    caution: Caution,
) -> anyhow::Result<()> {
    let cameras: Vec<Camera> = report.cameras().iter().take(MAX_CAMERAS).cloned().collect();
    for camera in cameras {
        let streams = [Some(("main", camera.main)), camera.sub.map(|sub| ("sub", sub))];
        for (which, stream) in streams.into_iter().flatten() {
            let name = format!("{which} {}", camera.number);
            if !check_one(report, &name, &stream, credentials.clone(), caution).await? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Plays one stream. Returns false if the others need not be tried.
async fn check_one(
    report: &mut ProbeReport,
    name: &str,
    stream: &Stream,
    credentials: Option<Credentials>,
    caution: Caution,
) -> anyhow::Result<bool> {
    // A stream at another machine is told, and left alone.
    if !report.is_device(stream.address.host()) {
        return Ok(true);
    }
    let is_known = credentials.is_some();
    let test = StreamTest { address: stream.address.clone(), credentials, caution };
    match onvif::check_stream(test, None).await {
        Ok(measured) => {
            report.handle_measured(name, &measured)?;
            Ok(true)
        }
        Err(SourceError::Refused { .. }) => {
            report.handle_finding(Finding::RtspOff)?;
            Ok(false)
        }
        Err(SourceError::WrongPassword { .. }) if is_known => {
            report.handle_finding(Finding::SeparateUser)?;
            Ok(false)
        }
        Err(SourceError::WantsText { .. }) => {
            report.handle_finding(Finding::WantsText)?;
            Ok(false)
        }
        Err(error @ SourceError::PasswordMissing { .. }) => {
            let (stream, reason) = (name.to_owned(), error.to_string());
            report.handle_finding(Finding::NoPicture { stream, reason })?;
            Ok(false)
        }
        Err(error) => {
            let (stream, reason) = (name.to_owned(), error.to_string());
            report.handle_finding(Finding::NoPicture { stream, reason })?;
            Ok(true)
        }
    }
}

/// Tries the RTSP paths of a vendor on a device without ONVIF.
pub(super) async fn try_paths(
    report: &mut ProbeReport,
    vendor: &str,
    credentials: Option<Credentials>,
    allows_text: bool,
    refused: u8,
) -> anyhow::Result<()> {
    let host = report.host().to_owned();
    let tried = onvif::try_paths(&host, vendor, credentials, allows_text, refused).await;
    if let Ok((camera, measured)) = tried {
        report.handle_camera(camera)?;
        report.handle_measured("main 1", &measured)?;
        report.handle_finding(Finding::PictureWithoutOnvif)?;
    }
    Ok(())
}
