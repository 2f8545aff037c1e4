//! The part of the target `onvif_answers` that moves a camera and watches its events.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use porthole_gateway_core::onvif::control::{Command, Config, Control, Done, Output};
use porthole_gateway_core::onvif::probe::CallError;
use porthole_gateway_core::onvif::{
    MAX_PRESET_NAME, MAX_PRESETS, Preset, Reply, ReplyError, Velocity,
};

use crate::onvif::device;

/// Maximum number of requests of a control that hears nothing more, in ten minutes.
const MAX_CONTROL_REQUESTS: u32 = 1500;

/// Time for which a control that hears nothing more is watched.
const SILENCE: Duration = Duration::from_secs(600);

/// Longest time from the end of a control to its last output.
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// Checks that the control of any camera stays within its bounds, contacts one address only, has
/// two calls in flight at most, and gives everything back in time. The pieces are answers, each
/// with a byte for its kind.
pub(crate) fn answers(choice: u8, pieces: &[(u8, &[u8])]) {
    let mut hand = Hand::new(choice);
    for (kind, body) in pieces {
        hand.answer(*kind, body);
    }
    hand.wait();
    hand.close();
}

/// The control of a camera in virtual time.
struct Hand {
    control: Control,
    now: Instant,
    waiting: VecDeque<u32>,
    requests: u32,
    commands: u64,
    is_closed: bool,
}

impl Hand {
    fn new(choice: u8) -> Self {
        let device = device(choice);
        let number = u32::from(choice >> 4);
        let now = Instant::now();
        let control = Control::new(Config { device, number }, now);
        let control = control.expect("an address of the network");
        let waiting = VecDeque::new();
        let mut hand = Self { control, now, waiting, requests: 0, commands: 0, is_closed: false };
        hand.drain();
        hand
    }

    fn answer(&mut self, kind: u8, body: &[u8]) {
        if kind & 0x80 != 0 {
            self.command(kind);
        }
        if kind & 0x40 != 0 {
            self.pass(Duration::from_millis(u64::from(kind) * 10));
        }
        let Some(id) = self.waiting.pop_front() else { return };
        let reply = |status| Reply { status, body: body.to_vec(), ..Reply::default() };
        match kind % 8 {
            0..=3 => self.control.handle_reply(self.now, id, &reply(200)),
            4 => self.control.handle_reply(self.now, id, &reply(500)),
            5 => {
                let text = String::from_utf8_lossy(body).into_owned();
                let challenges = text.lines().map(ToOwned::to_owned).collect();
                let reply = Reply { challenges, ..reply(401) };
                self.control.handle_reply(self.now, id, &reply);
            }
            6 => self.control.handle_error(self.now, id, CallError::Refused),
            _ => self.control.handle_error(self.now, id, CallError::Reply(ReplyError::Cut)),
        }
        self.drain();
    }

    fn command(&mut self, kind: u8) {
        self.commands += 1;
        let (by, preset) = (format!("{}", kind & 1), "1".to_owned());
        let command = match kind % 5 {
            0 => Command::Presets,
            1 => Command::GoTo { by, preset },
            2 => Command::Save { name: preset },
            3 => Command::Remove { preset },
            _ => Command::Move { by, velocity: Velocity::new(i32::from(kind), -1, 100) },
        };
        self.control.handle_command(self.now, self.commands, command);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.control.poll_output() {
            assert!(!self.is_closed, "nothing follows the end: {output:?}");
            match output {
                Output::Send(request) => {
                    assert_eq!(request.to.ip(), IpAddr::from([192, 0, 2, 1]));
                    self.requests += 1;
                    self.waiting.push_back(request.id);
                }
                Output::Cancel(id) => self.waiting.retain(|waiting| *waiting != id),
                Output::Answer(id, answer) => {
                    assert!(id <= self.commands);
                    if let Ok(Done::Presets(presets)) = answer {
                        assert!(presets.len() <= MAX_PRESETS);
                        let name = |it: &Preset| it.name.chars().count() <= MAX_PRESET_NAME;
                        assert!(presets.iter().all(name));
                    }
                }
                Output::Changed(_) | Output::Failed(_) => {}
                Output::Closed => self.is_closed = true,
            }
            // The usual ports are knocked at together.
            assert!(self.waiting.len() <= 6, "{} in flight", self.waiting.len());
        }
    }

    /// Lets time pass in which nothing is heard.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..MAX_CONTROL_REQUESTS * 4 {
            let due = self.control.poll_timeout(self.now).filter(|due| *due <= end);
            let Some(due) = due else {
                self.now = end;
                return;
            };
            self.now = self.now.max(due);
            self.control.handle_timeout(self.now);
            self.drain();
        }
        panic!("a deadline stays due");
    }

    fn wait(&mut self) {
        self.requests = 0;
        self.pass(SILENCE);
        assert!(self.requests <= MAX_CONTROL_REQUESTS, "{} requests", self.requests);
    }

    fn close(&mut self) {
        self.control.close(self.now);
        self.drain();
        self.pass(CLOSE_TIME);
        assert!(self.is_closed, "the end is told in time");
    }
}
