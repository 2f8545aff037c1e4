//! Cameras in the hand: they are moved, remember places, and tell of motion.
//!
//! [`Controls`] is a task of its own. Below it runs one task for each camera that has an ONVIF
//! service, so that a camera that does not answer delays no other.

mod camera;

use std::collections::BTreeMap;
use std::time::Duration;

use porthole_gateway_core::camera::ControlFacts;
use porthole_gateway_core::onvif::control::{Command, Refusal};
use porthole_gateway_core::question::{QuestionEvent, QuestionId};
use porthole_signaling_proto::CameraId;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::cameras::OnvifPlace;
use crate::onvif::Cidr;
use camera::{Channels, fault};

/// Capacity of the queue of requests for one camera: five people who hold a button.
const COMMAND_QUEUE: usize = 16;

/// Time for cameras to be stopped and subscriptions to be given back at the end.
const CLOSE_TIME: Duration = Duration::from_millis(2500);

/// The ONVIF services of all cameras.
pub(crate) type Places = BTreeMap<CameraId, OnvifPlace>;

/// The ends of the channels to the driver.
#[derive(Debug)]
pub(crate) struct ControlChannels {
    /// The services to use, the latest ones.
    pub(crate) places: watch::Receiver<Places>,
    /// Requests of people.
    pub(crate) questions: mpsc::Receiver<(QuestionId, CameraId, Command)>,
    /// Answers to them.
    pub(crate) answers: mpsc::Sender<QuestionEvent>,
    /// The facts that cameras have told.
    pub(crate) facts: mpsc::Sender<(CameraId, ControlFacts)>,
}

/// A camera that has a task.
#[derive(Debug)]
struct Running {
    place: OnvifPlace,
    commands: mpsc::Sender<(QuestionId, Command)>,
    stop: CancellationToken,
}

/// The controls of all cameras.
#[derive(Debug)]
pub(crate) struct Controls {
    channels: ControlChannels,
    /// Networks that may be contacted although this machine has no address in them.
    named: Vec<Cidr>,
    running: BTreeMap<CameraId, Running>,
    tasks: JoinSet<CameraId>,
}

impl Controls {
    pub(crate) fn new(named: Vec<Cidr>, channels: ControlChannels) -> Self {
        Self { channels, named, running: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Runs until `stop` is cancelled, and then gives everything back.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        self.follow_places();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                changed = self.channels.places.changed() => match changed {
                    Ok(()) => self.follow_places(),
                    Err(_) => break,
                },
                asked = self.channels.questions.recv() => match asked {
                    Some((id, camera, command)) => self.ask(id, &camera, command).await,
                    None => break,
                },
                Some(Ok(camera)) = self.tasks.join_next() => {
                    self.running.remove(&camera);
                    self.follow_places();
                }
            }
        }
        for running in self.running.values() {
            running.stop.cancel();
        }
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(CLOSE_TIME, ended).await.is_err() {
            self.tasks.abort_all();
        }
    }

    /// Starts and stops tasks as the cameras want it. A camera whose place has changed is started
    /// again once the task before has given its subscription back.
    fn follow_places(&mut self) {
        let places = self.channels.places.borrow_and_update().clone();
        for (id, running) in &self.running {
            if places.get(id) != Some(&running.place) {
                running.stop.cancel();
            }
        }
        for (id, place) in places {
            if !self.running.contains_key(&id) {
                self.start(id, place);
            }
        }
    }

    fn start(&mut self, id: CameraId, place: OnvifPlace) {
        let (commands, received) = mpsc::channel(COMMAND_QUEUE);
        let stop = CancellationToken::new();
        let channels = Channels {
            commands: received,
            answers: self.channels.answers.clone(),
            facts: self.channels.facts.clone(),
        };
        let (named, stopping) = (self.named.clone(), stop.clone());
        let task = camera::run(id.clone(), place.clone(), named, channels, stopping);
        self.tasks.spawn(task);
        self.running.insert(id, Running { place, commands, stop });
    }

    async fn ask(&mut self, id: QuestionId, camera: &CameraId, command: Command) {
        let refusal = match self.running.get(camera) {
            None => Refusal::NotAble,
            Some(running) => match running.commands.try_send((id, command)) {
                Ok(()) => return,
                Err(_) => Refusal::Busy,
            },
        };
        // Fails once the gateway is stopping; the answer does not matter then.
        let answer = QuestionEvent::Answered(id, Err(fault(&refusal)));
        let _ = self.channels.answers.send(answer).await;
    }
}
