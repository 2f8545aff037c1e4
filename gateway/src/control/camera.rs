//! The task of one camera: the sockets and the clock of its [`Control`].

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt as _;
use porthole_gateway_core::camera::ControlFacts;
use porthole_gateway_core::onvif::control::{
    Command, Config, Control, Done, Output, Refusal, State,
};
use porthole_gateway_core::question::{Answer, QuestionEvent, QuestionId};
use porthole_signaling_proto::control::{Preset, PresetsResult};
use porthole_signaling_proto::rpc::{Fault, code};
use porthole_signaling_proto::{CameraId, ControlReport, MotionReport};
use tokio::net::lookup_host;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::cameras::OnvifPlace;
use crate::onvif;
use crate::onvif::exchange::Exchanges;
use crate::onvif::{Cidr, ServiceAddress, USUAL_SERVICE};

/// Time until a camera is tried again that cannot be asked at all.
const RETRY: Duration = Duration::from_secs(60);

/// Longest sleep when nothing is due.
const IDLE: Duration = Duration::from_secs(60);

/// The channels of a camera's task.
#[derive(Debug)]
pub(super) struct Channels {
    pub(super) commands: mpsc::Receiver<(QuestionId, Command)>,
    pub(super) answers: mpsc::Sender<QuestionEvent>,
    pub(super) facts: mpsc::Sender<(CameraId, ControlFacts)>,
}

impl Channels {
    async fn answer(&self, id: QuestionId, outcome: Result<Answer, Fault>) {
        // Fails once the gateway is stopping; the answer does not matter then.
        let _ = self.answers.send(QuestionEvent::Answered(id, outcome)).await;
    }
}

/// Controls a camera until `stop` is cancelled. After a panic it starts again. Returns the camera.
pub(super) async fn run(
    id: CameraId,
    place: OnvifPlace,
    named: Vec<Cidr>,
    mut channels: Channels,
    stop: CancellationToken,
) -> CameraId {
    let mut has_warned = false;
    while !stop.is_cancelled() {
        let running = async {
            match config(&place, &named).await {
                Ok(config) => control(&id, config, &mut channels, &stop).await,
                Err(reason) if has_warned => debug!(camera = %id, "not controlled: {reason}"),
                Err(reason) => {
                    has_warned = true;
                    warn!(camera = %id, "the camera cannot be moved, nor tell of motion: {reason}");
                }
            }
        };
        if AssertUnwindSafe(running).catch_unwind().await.is_err() {
            error!(camera = %id, "the controls of a camera start again in a minute, after a panic; \
                                  please report this bug");
        }
        // Fails once the gateway is stopping; the facts do not matter then.
        let _ = channels.facts.send((id.clone(), ControlFacts::default())).await;
        refuse_for(RETRY, &mut channels, &stop).await;
    }
    id
}

/// Refuses every request for a while.
async fn refuse_for(time: Duration, channels: &mut Channels, stop: &CancellationToken) {
    let until = Instant::now() + time;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep_until(until.into()) => return,
            Some((id, _)) = channels.commands.recv() => {
                channels.answer(id, Err(fault(&Refusal::NotReady))).await;
            }
        }
    }
}

/// Returns the settings of a control; or the reason why there are none.
async fn config(place: &OnvifPlace, named: &[Cidr]) -> Result<Config, String> {
    let host = place.service.host();
    let found = lookup_host((host, place.service.port())).await.ok();
    let peer = found.and_then(|mut found| found.next());
    let peer = peer.ok_or_else(|| format!("no address is known for {host}"))?;
    let networks = onvif::networks(named.to_vec()).map_err(|error| error.to_string())?;
    networks.check(peer.ip()).map_err(|error| {
        format!("{error}; networks are named in gateway.networks of the configuration")
    })?;
    let unix_s = i64::try_from(unix_s(SystemTime::now())).unwrap_or(0);
    let device = onvif::Config {
        peer,
        host: peer.ip().to_canonical().to_string(),
        services: vec![place.service.clone()],
        only_services: !is_usual(&place.service),
        credentials: place.credentials.clone(),
        allows_text: place.allows_text,
        networks,
        unix_s,
        seed: rand::random(),
    };
    Ok(Config { device, number: place.number })
}

/// Returns true if an address is the one that is taken where none is known: the other usual ports
/// are tried, too.
fn is_usual(service: &ServiceAddress) -> bool {
    service.target() == USUAL_SERVICE && service.port() == 80
}

/// Runs a control until it has closed itself, which it does once `stop` is cancelled.
async fn control(
    camera: &CameraId,
    config: Config,
    channels: &mut Channels,
    stop: &CancellationToken,
) {
    let mut control = match Control::new(config, Instant::now()) {
        Ok(control) => control,
        Err(error) => return warn!(%camera, "the camera is not asked what it can do: {error}"),
    };
    let mut exchanges = Exchanges::default();
    let mut asked: HashMap<u64, QuestionId> = HashMap::new();
    let (mut last, mut is_closing) = (0, false);
    loop {
        while let Some(output) = control.poll_output() {
            if matches!(output, Output::Closed) {
                return;
            }
            apply(camera, output, channels, &mut exchanges, &mut asked).await;
        }
        let now = Instant::now();
        let due = control.poll_timeout(now).unwrap_or(now + IDLE);
        tokio::select! {
            Some((id, result)) = exchanges.next() => match result {
                Ok(reply) => control.handle_reply(Instant::now(), id, &reply),
                Err(error) => control.handle_error(Instant::now(), id, error),
            },
            Some((id, command)) = channels.commands.recv() => {
                last += 1;
                asked.insert(last, id);
                control.handle_command(Instant::now(), last, command);
            }
            () = tokio::time::sleep_until(due.into()) => control.handle_timeout(Instant::now()),
            () = stop.cancelled(), if !is_closing => {
                is_closing = true;
                control.close(Instant::now());
            }
        }
    }
}

async fn apply(
    camera: &CameraId,
    output: Output,
    channels: &Channels,
    exchanges: &mut Exchanges,
    asked: &mut HashMap<u64, QuestionId>,
) {
    match output {
        Output::Send(request) => exchanges.send(request),
        Output::Cancel(id) => exchanges.cancel(id),
        Output::Answer(number, answer) => {
            if let Some(id) = asked.remove(&number) {
                let answer = answer.map(answer_of).map_err(|refusal| fault(&refusal));
                channels.answer(id, answer).await;
            }
        }
        Output::Changed(state) => {
            // Fails once the gateway is stopping; the facts do not matter then.
            let _ = channels.facts.send((camera.clone(), facts(state))).await;
        }
        Output::Failed(finding) => {
            info!(%camera, "the camera is not controlled for now: {}", finding.told());
        }
        Output::Closed => {}
    }
}

fn answer_of(done: Done) -> Answer {
    let preset = |it: onvif::Preset| Preset { token: it.token, name: it.name };
    match done {
        Done::Nothing => Answer::Controlled,
        Done::Presets(presets) => {
            let presets = presets.into_iter().map(preset).collect();
            Answer::Presets(PresetsResult { presets })
        }
        Done::Saved(saved) => Answer::SavedPreset(preset(saved)),
    }
}

/// Returns the fault to answer with.
pub(super) fn fault(refusal: &Refusal) -> Fault {
    let number = match refusal {
        Refusal::NotReady => code::UNAVAILABLE,
        Refusal::NotAble | Refusal::NoPresets => code::NOT_FOUND,
        Refusal::Held(_) => code::CONFLICT,
        Refusal::Busy => code::INSUFFICIENT_RESOURCES,
        Refusal::Refused => code::BAD_REQUEST,
        Refusal::NotPermitted => code::FORBIDDEN,
        Refusal::Silent => code::REQUEST_TIMEOUT,
    };
    Fault::new(number, refusal.to_string())
}

/// Returns the facts as they are reported.
fn facts(state: State) -> ControlFacts {
    let control = state.abilities.map(|it| ControlReport {
        pan_tilt: it.pan_tilt,
        zoom: it.zoom,
        presets: it.presets,
        held_by: it.held_by,
    });
    let motion = state.motion.map(|seen| {
        let since = seen.began.map(|began| SystemTime::now().checked_sub(began.elapsed()));
        MotionReport { active: seen.active, last_s: since.flatten().map(unix_s) }
    });
    ControlFacts { control, motion }
}

fn unix_s(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
