//! The streams of a device, played for some seconds.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use porthole_gateway_core::question::{MAX_NAME_CHARS, Progress};
use porthole_gateway_core::store;
use porthole_signaling_proto::manage::{
    PROVISIONAL_PREFIX, ProbeProgress, ProbedCamera, ProbedStream,
};
use porthole_signaling_proto::{CameraId, StreamRole};
use tokio::sync::oneshot;

use super::probe::Probe;
use super::{Provisional, Reporter};
use crate::ingest::{Caution, Credentials, SourceError};
use crate::onvif;
use crate::onvif::{
    Camera, Encoding, Finding, MAX_REFUSED, Measured, ServiceAddress, Stream, StreamTest,
};

/// Maximum number of streams that are played at once: some cameras serve few viewers.
const AT_ONCE: usize = 2;

/// The device whose streams are played.
#[derive(Debug, Clone)]
pub(super) struct Device {
    pub(super) host: String,
    pub(super) model: Option<String>,
    pub(super) mac: Option<String>,
    pub(super) uuid: Option<String>,
}

/// A camera that was found, as it is told.
struct Found {
    provisional: Provisional,
    told: ProbedCamera,
}

/// A stream to play.
#[derive(Clone)]
struct Job {
    /// Index of the camera.
    camera: usize,
    role: StreamRole,
    test: StreamTest,
}

type Outcome = (Job, Result<Measured, SourceError>);

/// The cameras of a device while they are measured.
pub(super) struct Measuring<'a> {
    reporter: &'a Reporter,
    device: Device,
    credentials: Option<Credentials>,
    allows_text: bool,
    /// The camera whose address or password is changed.
    replaces: Option<CameraId>,
    /// True: connect only while somebody watches.
    on_demand: bool,
    /// Number of requests with the password that were refused, those of ONVIF included.
    refused: u8,
    /// True if ONVIF has accepted the password.
    has_onvif: bool,
    found: Vec<Found>,
    is_announced: bool,
}

impl<'a> Measuring<'a> {
    pub(super) fn new(probe: &'a Probe, device: Device, refused: u8) -> Self {
        Self {
            reporter: &probe.reporter,
            credentials: probe.credentials.clone(),
            allows_text: probe.params.allows_text,
            replaces: probe.params.camera.clone(),
            on_demand: probe.imported.as_ref().is_some_and(|imported| imported.on_demand),
            has_onvif: device.model.is_some() || device.mac.is_some(),
            device,
            refused,
            found: Vec::new(),
            is_announced: false,
        }
    }

    /// Plays the streams of the cameras. Returns the number of requests with the password that the
    /// device has refused in all.
    ///
    /// The first stream is played alone, so that a wrong password is shown no more often than
    /// allowed. The cameras are told, and can be watched, once the device has accepted it.
    pub(super) async fn run(mut self, cameras: Vec<Camera>) -> u8 {
        let mut jobs = Vec::new();
        for camera in cameras {
            jobs.extend(self.jobs(&camera));
            self.add(camera);
        }
        let mut jobs = jobs.into_iter();
        while !self.is_announced {
            let Some(job) = jobs.next() else { return self.refused };
            let outcome = self.play_first(job).await;
            if !self.handle_outcome(outcome).await {
                return self.refused;
            }
        }
        let mut running = FuturesUnordered::new();
        let mut goes_on = true;
        loop {
            let room = AT_ONCE.min(usize::from(MAX_REFUSED.saturating_sub(self.refused)));
            while goes_on && running.len() < room {
                let Some(mut job) = jobs.next() else { break };
                job.test.caution.max_refused = 1;
                running.push(play(job));
            }
            let Some(outcome) = running.next().await else { return self.refused };
            goes_on &= self.handle_outcome(outcome).await;
        }
    }

    /// Tries the paths of a vendor on a device without ONVIF, and tells the finding if there is no
    /// picture at any of them. Returns the number of requests with the password that the device has
    /// refused in all.
    pub(super) async fn try_paths(mut self, vendor: &str, no_onvif: &Finding) -> u8 {
        let (host, credentials) = (self.device.host.clone(), self.credentials.clone());
        let tried = onvif::try_paths(&host, vendor, credentials, self.allows_text, self.refused);
        match tried.await {
            Ok((camera, measured)) => {
                self.add(camera);
                self.announce().await;
                self.tell_measured(0, StreamRole::Main, &measured).await;
                self.reporter.finding(&Finding::PictureWithoutOnvif).await;
            }
            Err(refused) if refused > self.refused => {
                self.refused = refused;
                let finding = Finding::WrongPassword { refused, may_want_text: false };
                self.reporter.finding(&finding).await;
            }
            Err(_) => self.reporter.finding(no_onvif).await,
        }
        self.refused
    }

    fn jobs(&self, camera: &Camera) -> Vec<Job> {
        let job = |role, stream: &Stream| {
            let (address, credentials) = (stream.address.clone(), self.credentials.clone());
            let caution = Caution { allows_text: self.allows_text, max_refused: 1 };
            let test = StreamTest { address, credentials, caution };
            Job { camera: self.found.len(), role, test }
        };
        let sub = self.sub_of(camera).map(|sub| job(StreamRole::Sub, sub));
        std::iter::once(job(StreamRole::Main, &camera.main)).chain(sub).collect()
    }

    /// Returns the sub stream of a camera, if it is at the device itself.
    fn sub_of<'b>(&self, camera: &'b Camera) -> Option<&'b Stream> {
        camera.sub.as_ref().filter(|sub| sub.address.host() == self.device.host)
    }

    fn add(&mut self, camera: Camera) {
        // The driver's generator: an id that cannot be guessed, and is not used twice.
        let number: u64 = rand::random();
        let Ok(id) = format!("{PROVISIONAL_PREFIX}{number:016x}").parse::<CameraId>() else {
            return;
        };
        let number = u32::try_from(camera.number).unwrap_or(u32::MAX);
        let name = name_of(&camera, &self.device);
        let sub = self.sub_of(&camera).cloned();
        let streams =
            [Some((StreamRole::Main, &camera.main)), sub.as_ref().map(|it| (StreamRole::Sub, it))];
        let streams = streams.into_iter().flatten();
        let streams = streams.filter_map(|(role, stream)| told_stream(&id, role, stream)).collect();
        let is_here = |service: &ServiceAddress| service.host() == camera.main.address.host();
        let place = store::Place {
            onvif: camera.service.filter(is_here),
            main: camera.main.address,
            sub: sub.map(|sub| sub.address),
            uuid: self.device.uuid.clone(),
            mac: self.device.mac.clone(),
            number,
            allows_text: self.allows_text,
        };
        let probed = store::Probed { place, credentials: self.credentials.clone() };
        let provisional = Provisional {
            id: id.clone(),
            name: name.clone(),
            probed,
            on_demand: self.on_demand,
            replaces: self.replaces.clone(),
        };
        self.found.push(Found { provisional, told: ProbedCamera { id, number, name, streams } });
    }

    /// Tells the cameras: from now on they can be watched.
    async fn announce(&mut self) {
        if std::mem::replace(&mut self.is_announced, true) {
            return;
        }
        for Found { provisional, told } in &self.found {
            self.reporter.camera(provisional.clone()).await;
            let told = ProbeProgress::Camera(told.clone());
            self.reporter.tell(Progress::Probed(told)).await;
        }
    }

    /// Plays a stream, and tells the cameras as soon as it begins.
    async fn play_first(&mut self, mut job: Job) -> Outcome {
        job.test.caution.max_refused = MAX_REFUSED.saturating_sub(self.refused).max(1);
        let (connected, is_connected) = oneshot::channel();
        let playing = onvif::check_stream(job.test.clone(), Some(connected));
        tokio::pin!(playing);
        tokio::select! {
            result = &mut playing => return (job, result),
            Ok(()) = is_connected => {}
        }
        self.announce().await;
        let result = playing.await;
        (job, result)
    }

    /// Handles the result of a stream; returns false if the others need not be tried.
    async fn handle_outcome(&mut self, (job, result): Outcome) -> bool {
        let has_password = self.credentials.is_some();
        let (finding, goes_on) = match result {
            Ok(measured) => {
                self.announce().await;
                self.tell_measured(job.camera, job.role, &measured).await;
                return true;
            }
            Err(SourceError::WrongPassword { .. }) if has_password => {
                self.refused = self.refused.saturating_add(job.test.caution.max_refused);
                let (refused, may_want_text) = (self.refused, false);
                let finding = if self.has_onvif {
                    Finding::SeparateUser
                } else {
                    Finding::WrongPassword { refused, may_want_text }
                };
                (finding, false)
            }
            Err(SourceError::WantsText { .. }) => (Finding::WantsText, false),
            Err(SourceError::PasswordMissing { .. }) => (Finding::PasswordMissing, false),
            Err(SourceError::Refused { .. }) => (Finding::RtspOff, false),
            Err(error) => {
                let (stream, reason) = (self.name_of_stream(&job), error.to_string());
                (Finding::NoPicture { stream, reason }, true)
            }
        };
        self.reporter.finding(&finding).await;
        goes_on
    }

    fn name_of_stream(&self, job: &Job) -> String {
        stream_name(job.role, self.found.get(job.camera).map_or(1, |found| found.told.number))
    }

    async fn tell_measured(&mut self, camera: usize, role: StreamRole, measured: &Measured) {
        let Some(found) = self.found.get_mut(camera) else { return };
        for stream in found.told.streams.iter_mut().filter(|stream| stream.role == role) {
            measured.codec.encoding_name().clone_into(&mut stream.codec);
            (stream.width, stream.height) = (measured.width, measured.height);
            stream.frames_per_second = measured.frames_per_second;
            stream.key_frame_distance_s = measured.key_frame_distance_s;
            stream.has_picture = true;
        }
        let number = found.told.number;
        let told = ProbeProgress::Camera(found.told.clone());
        self.reporter.tell(Progress::Probed(told)).await;
        for finding in measured.findings(&stream_name(role, number)) {
            self.reporter.finding(&finding).await;
        }
    }
}

async fn play(job: Job) -> Outcome {
    let result = onvif::check_stream(job.test.clone(), None).await;
    (job, result)
}

/// Returns the name of a stream in findings, such as `main 1`.
fn stream_name(role: StreamRole, camera: u32) -> String {
    match role {
        StreamRole::Main => format!("main {camera}"),
        StreamRole::Sub => format!("sub {camera}"),
    }
}

fn told_stream(id: &CameraId, role: StreamRole, stream: &Stream) -> Option<ProbedStream> {
    let id = match role {
        StreamRole::Main => id.clone(),
        StreamRole::Sub => id.sub_stream()?,
    };
    let codec = match stream.encoding {
        Encoding::H264 => "H264",
        Encoding::H265 => "H265",
        // It is known once it is measured.
        Encoding::Other => "",
    };
    Some(ProbedStream {
        id,
        role,
        codec: codec.to_owned(),
        width: stream.width,
        height: stream.height,
        frames_per_second: stream.frames_per_second.map(f64::from),
        key_frame_distance_s: None,
        has_picture: false,
    })
}

/// Returns a name to begin with: that of the main profile is rarely one for people, but a
/// recorder's channels have nothing else.
fn name_of(camera: &Camera, device: &Device) -> String {
    let model = device.model.as_deref().unwrap_or("Camera");
    let own = camera.name.as_deref().filter(|_| camera.number > 1);
    let name = match own {
        Some(own) => own.to_owned(),
        None if camera.number > 1 => format!("{model} {}", camera.number),
        None => model.to_owned(),
    };
    let name: String = name.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect();
    if name.trim().is_empty() { "Camera".to_owned() } else { name.trim().to_owned() }
}
