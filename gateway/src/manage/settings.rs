//! The settings of a camera that spoil its picture: a look at them, and setting what was shown.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use porthole_gateway_core::onvif::settings::{Change, Config, Facts, Failure, Outcome, Task};
use porthole_gateway_core::question::{Answer, QuestionId};
use porthole_signaling_proto::CameraId;
use porthole_signaling_proto::control::{
    ApplySettingsParams, ApplySettingsResult, CheckSettingsResult, SettingChange,
};
use porthole_signaling_proto::rpc::{Fault, code};
use tokio::net::lookup_host;
use tokio::time::timeout;
use tracing::info;

use super::Manager;
use super::networks::{networks, not_allowed};
use super::probe::{told, unix_s};
use crate::cameras::{CameraConfig, OnvifPlace};
use crate::ingest::Source;
use crate::onvif;
use crate::onvif::{Cidr, Finding, StreamTest};

/// Time for playing both streams: two key frames each, or five seconds after the first one.
const MEASURE_TIME: Duration = Duration::from_secs(15);

/// The cameras whose settings are read or set, one task each.
#[derive(Debug, Clone, Default)]
pub(super) struct InSetting(Arc<Mutex<BTreeSet<CameraId>>>);

impl InSetting {
    /// Begins with a camera, until the guard is dropped.
    fn begin(&self, camera: &CameraId) -> Result<Guard, Fault> {
        let mut cameras = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !cameras.insert(camera.clone()) {
            let text = "the settings of this camera are being read or set: wait a moment";
            return Err(Fault::new(code::CONFLICT, text));
        }
        Ok(Guard { all: self.clone(), camera: camera.clone() })
    }
}

/// A camera whose settings are read or set until this is dropped.
#[derive(Debug)]
struct Guard {
    all: InSetting,
    camera: CameraId,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.camera);
    }
}

/// A task about the settings of one camera.
struct Job {
    config: CameraConfig,
    place: OnvifPlace,
    named: Vec<Cidr>,
    _guard: Guard,
}

impl Manager {
    pub(super) fn check_settings(
        &mut self,
        id: QuestionId,
        camera: &CameraId,
    ) -> Result<(), Fault> {
        let job = self.job(camera)?;
        self.start(id, job.check());
        Ok(())
    }

    pub(super) fn apply_settings(
        &mut self,
        id: QuestionId,
        params: ApplySettingsParams,
    ) -> Result<(), Fault> {
        let ApplySettingsParams { camera, plan, by, .. } = params;
        let job = self.job(&camera)?;
        // A change that has begun is finished, even if nobody waits for it any more.
        let applying = tokio::spawn(async move {
            let outcome = job.run(Task::Apply(plan)).await;
            let is_set = outcome.is_ok();
            info!(%camera, by = by.as_deref().unwrap_or("unknown"), is_set, "settings of a camera");
            outcome
        });
        self.start(id, async move {
            let outcome = applying.await.map_err(|_| {
                let text = "this gateway could not finish this because of a defect: look at the \
                            camera's settings, and please report what the gateway's log says";
                Fault::new(code::INTERNAL_ERROR, text)
            })??;
            let changes = outcome.changes.into_iter().map(shown).collect();
            Ok(Answer::AppliedSettings(ApplySettingsResult { changes }))
        });
        Ok(())
    }

    fn job(&self, camera: &CameraId) -> Result<Job, Fault> {
        let config = self.cameras.camera(camera);
        let config = config.ok_or_else(|| {
            let text = "the gateway has no such camera any more: look at the list again";
            Fault::new(code::NOT_FOUND, text)
        })?;
        let place = config.onvif.clone().ok_or_else(|| {
            let text = "the gateway does not know the ONVIF service of this camera: find the \
                        camera again by its address, or name the service in the configuration";
            Fault::new(code::NOT_FOUND, text)
        })?;
        let guard = self.in_setting.begin(camera)?;
        Ok(Job { config, place, named: self.named.clone(), _guard: guard })
    }
}

impl Job {
    /// Measures the streams, reads the settings and decides.
    async fn check(self) -> Result<Answer, Fault> {
        let facts = self.measure().await;
        let outcome = self.run(Task::Check(facts)).await?;
        Ok(Answer::CheckedSettings(CheckSettingsResult {
            plan: outcome.plan,
            changes: outcome.changes.into_iter().map(shown).collect(),
            left: outcome.left.iter().map(told).collect(),
        }))
    }

    /// Plays the streams. One without a picture has no facts.
    async fn measure(&self) -> [Facts; 2] {
        let mut facts = [Facts::default(); 2];
        let sources = [Some(&self.config.source), self.config.sub_source.as_ref()];
        let measuring = async {
            for (source, facts) in sources.into_iter().zip(&mut facts) {
                let Some(Source::Rtsp(rtsp)) = source else { continue };
                let test = StreamTest {
                    address: rtsp.address.clone(),
                    credentials: rtsp.credentials.clone(),
                    caution: rtsp.caution,
                };
                // A password that is refused once is not shown again.
                let Ok(measured) = onvif::check_stream(test, None).await else { return };
                *facts = Facts::from(&measured);
            }
        };
        // What is known by then is enough.
        let _ = timeout(MEASURE_TIME, measuring).await;
        facts
    }

    async fn run(&self, task: Task) -> Result<Outcome, Fault> {
        let OnvifPlace { service, credentials, allows_text, number } = self.place.clone();
        let found = lookup_host((service.host(), service.port())).await.ok();
        let peer = found.and_then(|mut found| found.next()).ok_or_else(|| {
            let host = service.host();
            let text = format!("no address is known for {host}: check the name of the camera");
            Fault::new(code::BAD_REQUEST, text)
        })?;
        let config = Config {
            peer,
            service,
            credentials,
            allows_text,
            networks: networks(&self.named)?,
            number: usize::try_from(number).unwrap_or(usize::MAX),
            task,
            unix_s: i64::try_from(unix_s()).unwrap_or(i64::MAX),
            seed: rand::random(),
        };
        onvif::settings(config).await.map_err(not_allowed)?.map_err(|failure| fault(&failure))
    }
}

fn shown(change: Change) -> SettingChange {
    let Change { key, stream, before, after } = change;
    SettingChange { key: key.to_owned(), stream, before, after }
}

fn fault(failure: &Failure) -> Fault {
    let code = match failure {
        Failure::Changed => code::CONFLICT,
        Failure::NoCamera(_) => code::NOT_FOUND,
        Failure::NotPermitted(_)
        | Failure::Finding(
            Finding::PasswordMissing
            | Finding::WrongPassword { .. }
            | Finding::AccountLocked
            | Finding::WantsText,
        ) => code::FORBIDDEN,
        Failure::Finding(_) => code::UNAVAILABLE,
        Failure::Unreadable | Failure::Refused { .. } => code::BAD_REQUEST,
    };
    Fault::new(code, failure.to_string())
}
