//! The answers to questions of the signaling server that belong to no session.
//!
//! [`Manager`] is a task of its own. Searches and probes run in tasks below it, so that it hears at
//! once what is cancelled; it alone keeps the provisional cameras and changes the stored ones.

mod changes;
mod discover;
mod import;
mod lost;
mod measure;
mod networks;
mod probe;
mod settings;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use porthole_gateway_core::import::Imports;
use porthole_gateway_core::question::{
    Answer, Progress, Question, QuestionEvent, QuestionId, QuestionOutput,
};
use porthole_gateway_core::sealing::{Purpose, Sealing};
use porthole_gateway_core::store;
use porthole_gateway_core::store::{Store, Vault};
use porthole_signaling_proto::CameraId;
use porthole_signaling_proto::manage::{
    DiscoverParams, ProbeParams, ProbeProgress, ProbedDevice, SealingKeyResult, sealing_key_message,
};
use porthole_signaling_proto::rpc::{Fault, code};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::cameras::Cameras;
use crate::key::Key;
use crate::onvif::{Cidr, Device};
use crate::store_file::StoreFile;
use discover::Discover;
use probe::Probe;
use settings::InSetting;

pub(crate) use changes::stored_configs;

/// Capacity of the channel for what the tasks find.
const FOUND_QUEUE: usize = 64;

/// Interval at which a probe that has nothing new repeats the last thing about its device, so that
/// nobody takes it for dead.
const REPEAT: Duration = Duration::from_secs(10);

/// A camera that was probed and can be added.
#[derive(Debug, Clone)]
struct Provisional {
    id: CameraId,
    name: String,
    probed: store::Probed,
    /// True: connect only while somebody watches, as the file says that it is from.
    on_demand: bool,
    /// The camera whose address or password is changed with it, if one is.
    replaces: Option<CameraId>,
}

/// An event of a task that answers a question.
#[derive(Debug)]
enum Found {
    Progress(Progress),
    Camera(Box<Provisional>),
}

/// A task's way to tell what it finds.
#[derive(Debug, Clone)]
struct Reporter {
    id: QuestionId,
    sender: mpsc::Sender<(QuestionId, Found)>,
}

impl Reporter {
    async fn tell(&self, progress: Progress) {
        // Fails once the gateway is stopping; the progress does not matter then.
        let _ = self.sender.send((self.id, Found::Progress(progress))).await;
    }

    async fn camera(&self, provisional: Provisional) {
        let _ = self.sender.send((self.id, Found::Camera(Box::new(provisional)))).await;
    }
}

/// A task that answers a question.
#[derive(Debug)]
struct Running {
    task: Id,
    abort: AbortHandle,
    /// The last that was told about the device of a probe.
    device: Option<ProbedDevice>,
    last: Instant,
}

/// The ends of the channels to the driver.
#[derive(Debug)]
pub(crate) struct ManagerChannels {
    /// Questions to answer.
    pub(crate) questions: mpsc::Receiver<QuestionOutput>,
    /// Answers to them.
    pub(crate) answers: mpsc::Sender<QuestionEvent>,
}

/// The cameras that are kept on the disk.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) file: StoreFile,
    pub(crate) store: Store,
    pub(crate) vault: Vault,
}

/// Answers the questions of the signaling server.
#[derive(Debug)]
pub(crate) struct Manager {
    key: Arc<Key>,
    sealing: Sealing,
    shelf: Shelf,
    cameras: Cameras,
    /// Networks that may be contacted although this machine has no address in them.
    named: Vec<Cidr>,
    provisional: BTreeMap<CameraId, Provisional>,
    imports: Imports,
    channels: ManagerChannels,
    tasks: JoinSet<Result<Answer, Fault>>,
    running: HashMap<QuestionId, Running>,
    /// The finds of the tasks, and the end that they send them to.
    finds: mpsc::Receiver<(QuestionId, Found)>,
    finder: mpsc::Sender<(QuestionId, Found)>,
    /// The cameras that have failed for a while, and the search for them.
    lost: BTreeSet<CameraId>,
    seeking: JoinSet<Vec<Device>>,
    /// The cameras whose settings are read or set.
    in_setting: InSetting,
}

impl Manager {
    pub(crate) fn new(
        key: Arc<Key>,
        shelf: Shelf,
        cameras: Cameras,
        named: Vec<Cidr>,
        channels: ManagerChannels,
    ) -> Self {
        let sealing = Sealing::new(key.id(), rand::random(), Instant::now());
        let (finder, finds) = mpsc::channel(FOUND_QUEUE);
        Self {
            key,
            sealing,
            shelf,
            cameras,
            named,
            provisional: BTreeMap::new(),
            imports: Imports::default(),
            channels,
            tasks: JoinSet::new(),
            running: HashMap::new(),
            finds,
            finder,
            lost: BTreeSet::new(),
            seeking: JoinSet::new(),
            in_setting: InSetting::default(),
        }
    }

    /// Runs until `stop` is cancelled. A panic ends the answers, and nothing else.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let answering = AssertUnwindSafe(self.answer_all()).catch_unwind();
        tokio::select! {
            () = stop.cancelled() => {}
            ended = answering => {
                if ended.is_err() {
                    error!("questions of the server are not answered any more, after a panic; \
                            please report this bug");
                }
            }
        }
    }

    async fn answer_all(&mut self) {
        let mut repeat = tokio::time::interval(REPEAT / 2);
        repeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                output = self.channels.questions.recv() => match output {
                    Some(QuestionOutput::Ask(id, question)) => self.ask(id, question).await,
                    Some(QuestionOutput::Cancel(id)) => self.cancel(id),
                    Some(QuestionOutput::Forgotten(camera)) => {
                        self.provisional.remove(&camera);
                    }
                    Some(QuestionOutput::Lost(camera)) => self.look_for(camera),
                    None => return,
                },
                Some((id, found)) = self.finds.recv() => self.handle_found(id, found).await,
                Some(ended) = self.tasks.join_next_with_id() => self.handle_ended(ended).await,
                Some(Ok(devices)) = self.seeking.join_next() => self.handle_sought(&devices).await,
                _ = repeat.tick() => self.repeat().await,
            }
        }
    }

    async fn ask(&mut self, id: QuestionId, question: Question) {
        let outcome = match question {
            Question::SealingKey => Ok(Answer::SealingKey(self.sealing_key())),
            Question::Discover(params) => return self.discover(id, params),
            Question::Probe(params) => match self.probe(id, *params) {
                Ok(()) => return,
                Err(fault) => Err(fault),
            },
            Question::ReadConfiguration(params) => self.read_configuration(id, params).await,
            Question::StoredCameras => Ok(Answer::StoredCameras(self.stored_cameras())),
            Question::AddCamera(params) => self.add_camera(params).await,
            Question::ChangeCamera(params) => self.change_camera(params).await,
            Question::RemoveCamera(params) => self.remove_camera(params).await,
            // The driver passes these to the controls of the camera.
            Question::Control(..) => return,
            Question::CheckSettings(params) => match self.check_settings(id, &params.camera) {
                Ok(()) => return,
                Err(fault) => Err(fault),
            },
            Question::ApplySettings(params) => match self.apply_settings(id, params) {
                Ok(()) => return,
                Err(fault) => Err(fault),
            },
        };
        self.answer(id, outcome).await;
    }

    async fn answer(&self, id: QuestionId, outcome: Result<Answer, Fault>) {
        // Fails once the gateway is stopping; the answer does not matter then.
        let _ = self.channels.answers.send(QuestionEvent::Answered(id, outcome)).await;
    }

    fn cancel(&mut self, id: QuestionId) {
        if let Some(running) = self.running.remove(&id) {
            running.abort.abort();
        }
    }

    fn sealing_key(&mut self) -> SealingKeyResult {
        let out = self.sealing.hand_out(Instant::now());
        let message = sealing_key_message(&self.key.id(), &out.nonce, &out.sealing_key);
        SealingKeyResult {
            public_key: self.key.public(),
            signature: self.key.sign(&message),
            sealing_key: out.sealing_key,
            nonce: out.nonce,
        }
    }

    fn discover(&mut self, id: QuestionId, params: DiscoverParams) {
        let (named, known) = (self.named.clone(), self.known());
        let discover = Discover { params, named, known, reporter: self.reporter(id) };
        self.start(id, discover.run());
    }

    /// Opens the password, and starts the probe.
    fn probe(&mut self, id: QuestionId, params: ProbeParams) -> Result<(), Fault> {
        let imported = self.imported(&params)?;
        let credentials = match &params.login {
            None => imported.as_ref().and_then(|imported| imported.credentials.clone()),
            Some(sealed) => {
                let (camera, allows_text) = (params.camera.as_ref(), params.allows_text);
                let purpose = Purpose { camera, address: &params.address, allows_text };
                let opened = self.sealing.open(Instant::now(), sealed, purpose);
                Some(opened.map_err(|error| Fault::new(code::BAD_REQUEST, error.to_string()))?)
            }
        };
        let (named, reporter) = (self.named.clone(), self.reporter(id));
        self.start(id, Probe { params, imported, credentials, named, reporter }.run());
        Ok(())
    }

    fn reporter(&self, id: QuestionId) -> Reporter {
        Reporter { id, sender: self.finder.clone() }
    }

    fn start(
        &mut self,
        id: QuestionId,
        task: impl Future<Output = Result<Answer, Fault>> + Send + 'static,
    ) {
        let abort = self.tasks.spawn(task);
        let (task, last) = (abort.id(), Instant::now());
        self.running.insert(id, Running { task, abort, device: None, last });
    }

    async fn handle_found(&mut self, id: QuestionId, found: Found) {
        // Nobody waits for it any more.
        let Some(running) = self.running.get_mut(&id) else { return };
        running.last = Instant::now();
        match found {
            Found::Progress(progress) => {
                if let Progress::Probed(ProbeProgress::Device(device)) = &progress {
                    running.device = Some(device.clone());
                }
                // Fails once the gateway is stopping; the progress does not matter then.
                let _ = self.channels.answers.send(QuestionEvent::Progress(id, progress)).await;
            }
            Found::Camera(provisional) => {
                let config = changes::config_of_provisional(&provisional);
                self.cameras.put_provisional(config).await;
                self.provisional.insert(provisional.id.clone(), *provisional);
            }
        }
    }

    /// Answers a question whose task has ended. One that has panicked is answered, too.
    async fn handle_ended(&mut self, ended: Result<(Id, Result<Answer, Fault>), JoinError>) {
        // What it has told before comes first.
        while let Ok((id, found)) = self.finds.try_recv() {
            self.handle_found(id, found).await;
        }
        let (task, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                let text = "this gateway could not find out because of a defect: please report \
                            what its log says";
                (error.id(), Err(Fault::new(code::INTERNAL_ERROR, text)))
            }
        };
        let id = self.running.iter().find(|(_, running)| running.task == task).map(|(id, _)| *id);
        if let Some(id) = id {
            self.running.remove(&id);
            self.answer(id, outcome).await;
        }
    }

    /// Repeats the last thing about the devices of probes that have nothing new, and forgets files
    /// that nobody asks for any more.
    async fn repeat(&mut self) {
        let now = Instant::now();
        self.imports.handle_timeout(now);
        let mut repeated = Vec::new();
        for (id, running) in &mut self.running {
            if let Some(device) = running.device.clone().filter(|_| now >= running.last + REPEAT) {
                running.last = now;
                repeated.push((*id, Progress::Probed(ProbeProgress::Device(device))));
            }
        }
        for (id, progress) in repeated {
            // Fails once the gateway is stopping; the progress does not matter then.
            let _ = self.channels.answers.send(QuestionEvent::Progress(id, progress)).await;
        }
    }
}

#[cfg(test)]
mod tests;
