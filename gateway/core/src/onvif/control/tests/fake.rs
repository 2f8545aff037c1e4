//! A camera in virtual time, with its oddities, and the control that asks it.

use std::time::{Duration, Instant};

use super::super::{Command, Config, Control, Done, Output, Refusal, State};
use crate::onvif::control::Device;
use crate::onvif::probe::{CallError, Request};
use crate::onvif::xml::Element;
use crate::onvif::{Networks, Reply, ServiceAddress, clock};
use crate::rtsp::Credentials;

/// Time at the start in seconds since 1970.
const START_S: i64 = 1_795_867_200;

/// Time until a camera answers.
pub(super) const LATENCY: Duration = Duration::from_millis(20);

/// A subscription at the camera.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    id: u32,
    ends: Instant,
}

/// A camera with its oddities.
#[derive(Debug)]
pub(super) struct Camera {
    pub(super) lacks: Vec<&'static str>,
    /// Calls that the user has no right to.
    pub(super) forbids: Vec<&'static str>,
    /// Number of renewals that it refuses although it has the call.
    pub(super) refuses_renewals: usize,
    /// True if it answers to what it has done with nothing.
    pub(super) is_terse: bool,
    /// Calls whose answers are lost, and how often.
    pub(super) loses: Vec<(&'static str, usize)>,
    pub(super) is_away: bool,
    pub(super) ahead_s: i64,
    pub(super) sources: usize,
    /// Media service with the PTZ configuration.
    pub(super) has_media2: bool,
    pub(super) space: &'static str,
    pub(super) reference: &'static str,
    /// Time of a subscription without renewal.
    pub(super) lifetime: Duration,
    pub(super) times: &'static str,
    pub(super) wants: Option<&'static str>,
    pub(super) refused: usize,
    pub(super) slots: Vec<Slot>,
    pub(super) most_slots: usize,
    pub(super) made_slots: u32,
    pub(super) is_moving: bool,
    pub(super) ends_at: Option<Instant>,
    pub(super) initial: &'static str,
    /// Events of the next pull.
    pub(super) events: String,
    pub(super) log: Vec<(Duration, String, String)>,
}

impl Default for Camera {
    fn default() -> Self {
        Self {
            lacks: Vec::new(),
            forbids: Vec::new(),
            refuses_renewals: 0,
            is_terse: false,
            loses: Vec::new(),
            is_away: false,
            ahead_s: 0,
            sources: 1,
            has_media2: false,
            space: "both",
            reference: "http://192.0.2.9:8080/onvif/pull?id=ID",
            lifetime: Duration::from_secs(60),
            times: "absolute",
            wants: None,
            refused: 0,
            slots: Vec::new(),
            most_slots: 0,
            made_slots: 0,
            is_moving: false,
            ends_at: None,
            initial: "",
            events: String::new(),
            log: Vec::new(),
        }
    }
}

/// Writes an event.
pub(super) fn event(topic: &str, source: &str, item: &str, value: &str) -> String {
    format!(
        "<n:NotificationMessage><n:Topic Dialect=\"x\">{topic}</n:Topic><n:Message>\
         <t:Message UtcTime=\"2026-11-28T12:00:00Z\" PropertyOperation=\"Changed\"><t:Source>\
         <t:SimpleItem Name=\"VideoSourceConfigurationToken\" Value=\"{source}\"/>\
         <t:SimpleItem Name=\"Rule\" Value=\"R\"/></t:Source><t:Data>\
         <t:SimpleItem Name=\"{item}\" Value=\"{value}\"/></t:Data></t:Message></n:Message>\
         </n:NotificationMessage>"
    )
}

pub(super) fn motion(value: &str) -> String {
    event("tns1:RuleEngine/CellMotionDetector/Motion", "c1", "IsMotion", value)
}

enum Answer {
    Reply(Reply),
    /// A pull that waits for events.
    Wait,
    Nothing,
}

impl Camera {
    fn handle(&mut self, now: Instant, start: Instant, request: &Request) -> (String, Answer) {
        let text = String::from_utf8(request.bytes.clone()).expect("requests are text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let action = head.split("action=\"").nth(1).unwrap_or_default();
        let action = action.split('"').next().unwrap_or_default();
        let call = action.rsplit('/').next().unwrap_or_default().trim_end_matches("Request");
        let call = call.to_owned();
        self.slots.retain(|slot| slot.ends > now);
        if self.ends_at.is_some_and(|at| at <= now) {
            (self.is_moving, self.ends_at) = (false, None);
        }
        if self.is_away {
            return (call, Answer::Nothing);
        }
        self.log.push((now - start, call.clone(), format!("{head}\n{body}")));
        let root = Element::read(body.as_bytes());
        let answer = self.answer(now, start, &call, &root, head, body);
        let lost = self.loses.iter_mut().find(|(name, count)| *name == call && *count > 0);
        if let Some((_, count)) = lost {
            *count -= 1;
            return (call, Answer::Nothing);
        }
        (call, answer)
    }

    fn answer(
        &mut self,
        now: Instant,
        start: Instant,
        call: &str,
        root: &Element,
        head: &str,
        body: &str,
    ) -> Answer {
        let fault = |code: &str| {
            let body = format!("<E><Body><Fault><Value>{code}</Value></Fault></Body></E>");
            Answer::Reply(Reply { status: 400, body: body.into_bytes(), ..Reply::default() })
        };
        if let Some(password) = self.wants.filter(|_| call != "GetSystemDateAndTime") {
            if !body.contains("Password>") && !body.contains("#PasswordDigest") {
                return fault("ter:NotAuthorized");
            }
            if password == "another" {
                self.refused += 1;
                return fault("ter:NotAuthorized");
            }
        }
        if self.forbids.contains(&call) {
            self.refused += 1;
            return fault("ter:NotAuthorized");
        }
        if call == "Renew" && self.refuses_renewals > 0 {
            self.refuses_renewals -= 1;
            return fault("wsrf:ResourceUnknownFault");
        }
        if self.lacks.contains(&call) {
            return fault("ter:ActionNotSupported");
        }
        if self.lacks.contains(&"Timeout")
            && root.find("Timeout").is_some()
            && call != "PullMessages"
        {
            return fault("ter:InvalidArgVal");
        }
        if self.lacks.contains(&"InitialTerminationTime")
            && root.find("InitialTerminationTime").is_some()
        {
            return fault("UnacceptableInitialTerminationTimeFault");
        }
        let has_no_id = self.reference.is_empty() && !self.slots.is_empty();
        let slot = self.slots.iter().position(|slot| head.contains(&format!("id={} ", slot.id)));
        let slot = slot.or(has_no_id.then_some(0));
        if matches!(call, "PullMessages" | "Renew" | "Unsubscribe" | "SetSynchronizationPoint")
            && slot.is_none()
        {
            return fault("wsrf:ResourceUnknownFault");
        }
        let content = match call {
            "GetSystemDateAndTime" => self.time(now, start),
            "GetServices" => self.services(),
            "GetProfiles" => self.profiles(head.contains("/media2")),
            "GetNode" | "GetConfigurationOptions" => self.node(),
            "ContinuousMove" => {
                let is_zero = |it: &Element| {
                    ["x", "y"].iter().all(|name| it.attribute(name).is_none_or(|v| v == "0"))
                };
                let parts = ["PanTilt", "Zoom"].map(|name| root.find(name).is_none_or(is_zero));
                self.is_moving = parts.contains(&false);
                let timeout = root.find("Timeout").map(|_| now + Duration::from_secs(2));
                self.ends_at = timeout.filter(|_| self.is_moving);
                String::new()
            }
            "Stop" => {
                (self.is_moving, self.ends_at) = (false, None);
                String::new()
            }
            "GetPresets" => (0..300)
                .map(|n| format!("<Preset token=\"{n}\"><Name>P{n}</Name></Preset>"))
                .collect(),
            "SetPreset" => "<PresetToken>new</PresetToken>".to_owned(),
            "CreatePullPointSubscription" => {
                self.made_slots += 1;
                let id = self.made_slots;
                self.slots.push(Slot { id, ends: now + self.lifetime });
                self.most_slots = self.most_slots.max(self.slots.len());
                self.events = self.initial.to_owned();
                let address = self.reference.replace("ID", &id.to_string());
                let times = self.end(now, start);
                format!(
                    "<SubscriptionReference><Address>{address}</Address><ReferenceParameters>\
                     <d:Id xmlns:d=\"urn:d\">{id}</d:Id></ReferenceParameters>\
                     </SubscriptionReference>{times}"
                )
            }
            "Renew" => {
                if let Some(slot) = slot.and_then(|at| self.slots.get_mut(at)) {
                    slot.ends = now + self.lifetime;
                }
                self.end(now, start)
            }
            "Unsubscribe" => {
                slot.map(|at| self.slots.remove(at));
                String::new()
            }
            "PullMessages" if self.events.is_empty() => return Answer::Wait,
            "PullMessages" => std::mem::take(&mut self.events),
            _ => String::new(),
        };
        if content.is_empty() && self.is_terse {
            return Answer::Reply(Reply { status: 200, ..Reply::default() });
        }
        Answer::Reply(content_reply(call, &content))
    }

    fn time(&self, now: Instant, start: Instant) -> String {
        let date = clock::format(self.clock(now, start));
        let number = |at: std::ops::Range<usize>| date[at].to_owned();
        format!(
            "<UTCDateTime><Time><Hour>{}</Hour><Minute>{}</Minute><Second>{}</Second></Time>\
             <Date><Year>{}</Year><Month>{}</Month><Day>{}</Day></Date></UTCDateTime>",
            number(11..13),
            number(14..16),
            number(17..19),
            number(0..4),
            number(5..7),
            number(8..10)
        )
    }

    fn clock(&self, now: Instant, start: Instant) -> i64 {
        START_S + self.ahead_s + i64::try_from((now - start).as_secs()).unwrap()
    }

    fn end(&self, now: Instant, start: Instant) -> String {
        let now_s = self.clock(now, start);
        let end_s = now_s + i64::try_from(self.lifetime.as_secs()).unwrap();
        let end = format!("<TerminationTime>{}</TerminationTime>", clock::format(end_s));
        match self.times {
            "absolute" => {
                format!("<CurrentTime>{}</CurrentTime>{end}", clock::format(now_s))
            }
            "end only" => end,
            "relative" => {
                let seconds = self.lifetime.as_secs();
                format!("<TerminationTime>PT{seconds}S</TerminationTime>")
            }
            "backwards" => {
                format!("<CurrentTime>{}</CurrentTime>{end}", clock::format(end_s + 99))
            }
            _ => String::new(),
        }
    }

    fn services(&self) -> String {
        let service = |namespace: &str, path: &str| {
            format!(
                "<Service><Namespace>http://www.onvif.org/{namespace}/wsdl</Namespace>\
                 <XAddr>http://192.0.2.9:8080/onvif/{path}</XAddr></Service>"
            )
        };
        let mut services = service("ver10/device", "device") + &service("ver10/media", "media1");
        for (name, namespace) in
            [("PTZ", "ver20/ptz"), ("events", "ver10/events"), ("media2", "ver20/media")]
        {
            if !self.lacks.contains(&name) && (name != "media2" || self.has_media2) {
                services += &service(namespace, name);
            }
        }
        services
    }

    fn profiles(&self, is_second: bool) -> String {
        let ptz = "<PTZConfiguration token=\"p\"><NodeToken>n</NodeToken>\
                   <DefaultContinuousPanTiltVelocitySpace>u</DefaultContinuousPanTiltVelocitySpace>\
                   </PTZConfiguration>";
        let ptz = if is_second || self.lacks.contains(&"configuration") { "" } else { ptz };
        let profile = |source: usize| {
            format!(
                "<Profiles token=\"main{source}\">\
                 <VideoSourceConfiguration token=\"c{source}\"><SourceToken>s{source}\
                 </SourceToken></VideoSourceConfiguration><VideoEncoderConfiguration><Encoding>\
                 H264</Encoding></VideoEncoderConfiguration></Profiles><Profiles \
                 token=\"ptz{source}\"><VideoSourceConfiguration token=\"c{source}\">\
                 <SourceToken>s{source}</SourceToken></VideoSourceConfiguration>{ptz}</Profiles>"
            )
        };
        (1..=self.sources).map(profile).collect()
    }

    fn node(&self) -> String {
        let range = |name: &str| format!("<{name}><Min>-1</Min><Max>1</Max></{name}>");
        let pan_tilt = format!(
            "<ContinuousPanTiltVelocitySpace><URI>u</URI>{}{}</ContinuousPanTiltVelocitySpace>",
            range("XRange"),
            range("YRange")
        );
        let zoom = format!(
            "<ContinuousZoomVelocitySpace><URI>z</URI>{}</ContinuousZoomVelocitySpace>",
            range("XRange")
        );
        match self.space {
            "both" => pan_tilt + &zoom + "<MaximumNumberOfPresets>8</MaximumNumberOfPresets>",
            "pan and tilt" => pan_tilt + "<MaximumNumberOfPresets>0</MaximumNumberOfPresets>",
            "zoom" => zoom,
            _ => String::new(),
        }
    }
}

fn content_reply(call: &str, content: &str) -> Reply {
    let body = format!("<E><Body><{call}Response>{content}</{call}Response></Body></E>");
    Reply { status: 200, body: body.into_bytes(), ..Reply::default() }
}

/// A control with its camera.
pub(super) struct World {
    pub(super) control: Control,
    pub(super) camera: Camera,
    pub(super) start: Instant,
    pub(super) now: Instant,
    /// Answers on their way, and pulls that wait until then.
    flying: Vec<(Instant, u32, String, Option<Reply>)>,
    pub(super) state: State,
    /// The states that were told, each with its time.
    pub(super) states: Vec<(Duration, State)>,
    pub(super) answers: Vec<(u64, Result<Done, Refusal>)>,
    pub(super) failures: usize,
    pub(super) is_closed: bool,
    commands: u64,
}

impl World {
    pub(super) fn new(camera: Camera, number: u32) -> Self {
        let peer = "192.0.2.1:0".parse().unwrap();
        let credentials = Credentials { user: "u".to_owned(), password: "p".to_owned() };
        let device = Device {
            peer,
            host: "192.0.2.1".to_owned(),
            services: vec![ServiceAddress::parse("http://192.0.2.1:8080/onvif/device").unwrap()],
            only_services: true,
            credentials: camera.wants.map(|_| credentials),
            allows_text: false,
            networks: Networks { own: vec!["192.0.2.0/24".parse().unwrap()], named: Vec::new() },
            unix_s: START_S,
            seed: 1,
        };
        let now = Instant::now();
        let control = Control::new(Config { device, number }, now).unwrap();
        let mut world = Self {
            control,
            camera,
            start: now,
            now,
            flying: Vec::new(),
            state: State::default(),
            states: Vec::new(),
            answers: Vec::new(),
            failures: 0,
            is_closed: false,
            commands: 0,
        };
        world.drain();
        world
    }

    /// Returns a world in which the camera is ready.
    pub(super) fn ready(camera: Camera) -> Self {
        let mut world = Self::new(camera, 1);
        world.run(Duration::from_secs(1));
        world.camera.log.clear();
        world
    }

    fn drain(&mut self) {
        while let Some(output) = self.control.poll_output() {
            assert!(!self.is_closed, "nothing follows the end: {output:?}");
            match output {
                Output::Send(request) => self.send(&request),
                Output::Cancel(id) => self.flying.retain(|(_, it, ..)| *it != id),
                Output::Answer(id, answer) => self.answers.push((id, answer)),
                Output::Changed(state) => {
                    self.states.push((self.now - self.start, state.clone()));
                    self.state = state;
                }
                Output::Failed(_) => self.failures += 1,
                Output::Closed => self.is_closed = true,
            }
        }
    }

    fn send(&mut self, request: &Request) {
        assert_eq!(request.to.to_string(), "192.0.2.1:8080", "one machine only");
        let (call, answer) = self.camera.handle(self.now, self.start, request);
        let is_event = |call: &str| {
            matches!(
                call,
                "PullMessages"
                    | "Renew"
                    | "Unsubscribe"
                    | "CreatePullPointSubscription"
                    | "SetSynchronizationPoint"
            )
        };
        let same = self.flying.iter().filter(|(_, _, it, _)| is_event(it) == is_event(&call));
        assert_eq!(same.count(), 0, "{call} is sent while another call is in flight");
        let (due, reply) = match answer {
            Answer::Reply(reply) => (self.now + LATENCY, Some(reply)),
            Answer::Wait => {
                (self.now + Duration::from_secs(10), Some(content_reply("PullMessages", "")))
            }
            Answer::Nothing => (self.now + Duration::from_secs(1_000_000), None),
        };
        self.flying.push((due, request.id, call, reply));
    }

    /// Lets the camera tell an event, as soon as somebody pulls.
    pub(super) fn tell(&mut self, event: &str) {
        let waiting = self
            .flying
            .iter_mut()
            .find(|(_, _, call, reply)| call == "PullMessages" && reply.is_some());
        // A pull at a subscription that is gone never hears of it.
        match waiting.filter(|_| !self.camera.slots.is_empty()) {
            Some(pull) => {
                pull.0 = self.now + LATENCY;
                pull.3 = Some(content_reply("PullMessages", event));
            }
            None => self.camera.events += event,
        }
    }

    /// Lets the camera forget its subscriptions. A pull is told at once, as cameras do.
    pub(super) fn lose_subscription(&mut self) {
        self.camera.slots.clear();
        for (due, _, call, reply) in &mut self.flying {
            if call == "PullMessages" {
                *due = self.now + LATENCY;
                let body = b"<E><Body><Fault><Value>x</Value></Fault></Body></E>".to_vec();
                *reply = Some(Reply { status: 500, body, ..Reply::default() });
            }
        }
    }

    /// Lets this time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.drain();
        loop {
            let arriving = self.flying.iter().map(|(due, ..)| *due).min();
            let due = self.control.poll_timeout(self.now);
            let next = [arriving, due].into_iter().flatten().min().filter(|at| *at <= end);
            let Some(next) = next else { break };
            let before = self.now;
            self.now = self.now.max(next);
            if arriving.is_some_and(|at| at <= self.now) {
                self.deliver();
            } else {
                self.control.handle_timeout(self.now);
                let is_due = self.control.poll_timeout(self.now).is_some_and(|at| at <= self.now);
                assert!(!is_due || before < self.now, "a deadline stays due");
            }
            self.drain();
        }
        self.now = end;
    }

    fn deliver(&mut self) {
        let at = self.flying.iter().position(|(due, ..)| *due <= self.now).unwrap();
        let (_, id, _, reply) = self.flying.remove(at);
        match reply {
            Some(reply) => self.control.handle_reply(self.now, id, &reply),
            None => self.control.handle_error(self.now, id, CallError::Unreachable),
        }
    }

    pub(super) fn command(&mut self, command: Command) -> Option<Result<Done, Refusal>> {
        self.commands += 1;
        let id = self.commands;
        self.control.handle_command(self.now, id, command);
        self.drain();
        self.answer(id)
    }

    fn answer(&self, id: u64) -> Option<Result<Done, Refusal>> {
        let found = self.answers.iter().find(|(it, _)| *it == id);
        found.map(|(_, answer)| answer.clone())
    }

    /// Sends a command, and returns its answer once it is there.
    pub(super) fn ask(&mut self, command: Command) -> Result<Done, Refusal> {
        self.command(command);
        let id = self.commands;
        self.run(Duration::from_secs(5));
        self.answer(id).expect("every command is answered")
    }

    pub(super) fn moves(
        &mut self,
        by: &str,
        pan: i32,
        tilt: i32,
        zoom: i32,
    ) -> Result<(), Refusal> {
        let velocity = crate::onvif::Velocity::new(pan, tilt, zoom);
        let by = by.to_owned();
        self.command(Command::Move { by, velocity }).expect("a move is answered at once").map(drop)
    }

    /// Returns true if the camera is moving now.
    pub(super) fn is_moving(&mut self) -> bool {
        let ends_at = self.camera.ends_at;
        self.camera.is_moving && ends_at.is_none_or(|at| self.now < at)
    }

    /// Returns the names of the calls that the camera was asked, and forgets them.
    pub(super) fn calls(&mut self) -> Vec<String> {
        std::mem::take(&mut self.camera.log).into_iter().map(|(_, call, _)| call).collect()
    }

    pub(super) fn count(&self, name: &str) -> usize {
        self.camera.log.iter().filter(|(_, call, _)| call == name).count()
    }
}
