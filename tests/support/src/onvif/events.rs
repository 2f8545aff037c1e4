//! The event service of a fake camera: subscriptions with a pull point, and one rule that sees
//! motion.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Fake, answers};

/// Time for which a subscription is valid.
const LIFETIME: Duration = Duration::from_secs(60);

/// Time for which a pull waits.
const PULL_TIME: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Slot {
    id: usize,
    ends: Instant,
    /// The states that were not pulled yet, with the word for why they are told.
    waiting: Vec<(&'static str, bool)>,
}

#[derive(Debug, Default)]
struct State {
    slots: Vec<Slot>,
    last: usize,
    most: usize,
    has_motion: bool,
}

/// The subscriptions to the events of a camera.
#[derive(Debug, Default)]
pub struct Events {
    state: Mutex<State>,
    changed: Condvar,
}

impl Events {
    /// Lets the camera see motion from now on, or none.
    pub fn set_motion(&self, has_motion: bool) {
        let mut state = self.lock();
        state.has_motion = has_motion;
        for slot in &mut state.slots {
            slot.waiting.push(("Changed", has_motion));
        }
        self.changed.notify_all();
    }

    /// Lets the camera forget its subscriptions.
    pub fn forget(&self) {
        self.lock().slots.clear();
        self.changed.notify_all();
    }

    /// Returns the number of subscriptions that are open, the most that were open at once, and the
    /// number of all so far.
    pub fn counts(&self) -> (usize, usize, usize) {
        let state = self.lock();
        (state.slots.len(), state.most, state.last)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        state.slots.retain(|slot| slot.ends > now);
        state
    }

    /// Answers a call of the service with content or a fault; `None` if it is of another service.
    pub(super) fn answer(
        &self,
        camera: &Fake,
        call: &str,
        request: &str,
        address: &str,
    ) -> Option<Result<String, &'static str>> {
        if camera.event_slots == 0 || !request.starts_with("POST /onvif/events") {
            return None;
        }
        if call == "CreatePullPointSubscription" {
            return Some(self.subscribe(camera, address));
        }
        let id = request.split_once("?id=").map_or("", |(_, rest)| rest);
        let id = id.split(' ').next().unwrap_or_default().parse().unwrap_or(0);
        let mut state = self.lock();
        let Some(at) = state.slots.iter().position(|slot| slot.id == id) else {
            return Some(Err("wsrf:ResourceUnknownFault"));
        };
        Some(match call {
            "PullMessages" => {
                drop(state);
                self.pull(id)
            }
            "Renew" => {
                if let Some(slot) = state.slots.get_mut(at) {
                    slot.ends = Instant::now() + LIFETIME;
                }
                Ok(times(camera))
            }
            "Unsubscribe" => {
                state.slots.remove(at);
                Ok(String::new())
            }
            "SetSynchronizationPoint" => {
                let has_motion = state.has_motion;
                if let Some(slot) = state.slots.get_mut(at) {
                    slot.waiting = vec![("Initialized", has_motion)];
                }
                Ok(String::new())
            }
            _ => Err("ter:ActionNotSupported"),
        })
    }

    fn subscribe(&self, camera: &Fake, address: &str) -> Result<String, &'static str> {
        let mut state = self.lock();
        if state.slots.len() >= camera.event_slots {
            return Err("ter:MaxPullPoints");
        }
        state.last += 1;
        let id = state.last;
        state.slots.push(Slot { id, ends: Instant::now() + LIFETIME, waiting: Vec::new() });
        state.most = state.most.max(state.slots.len());
        Ok(format!(
            "<tev:SubscriptionReference><wsa:Address>{address}?id={id}</wsa:Address>\
             </tev:SubscriptionReference>{}",
            times(camera)
        ))
    }

    fn pull(&self, id: usize) -> Result<String, &'static str> {
        let until = Instant::now() + PULL_TIME;
        let mut state = self.lock();
        loop {
            let slot = state.slots.iter_mut().find(|slot| slot.id == id);
            let slot = slot.ok_or("wsrf:ResourceUnknownFault")?;
            let now = Instant::now();
            if !slot.waiting.is_empty() || now >= until {
                return Ok(slot.waiting.drain(..).map(event).collect());
            }
            let waited = self.changed.wait_timeout(state, until - now);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn event((operation, has_motion): (&str, bool)) -> String {
    format!(
        "<wsnt:NotificationMessage><wsnt:Topic>tns1:RuleEngine/CellMotionDetector/Motion\
         </wsnt:Topic><wsnt:Message><tt:Message UtcTime=\"2026-11-28T12:00:00Z\" \
         PropertyOperation=\"{operation}\"><tt:Source><tt:SimpleItem \
         Name=\"VideoSourceConfigurationToken\" Value=\"s1\"/></tt:Source><tt:Data>\
         <tt:SimpleItem Name=\"IsMotion\" Value=\"{has_motion}\"/></tt:Data></tt:Message>\
         </wsnt:Message></wsnt:NotificationMessage>"
    )
}

fn times(camera: &Fake) -> String {
    let now = answers::now() + camera.ahead_s;
    let end = now + i64::try_from(LIFETIME.as_secs()).unwrap_or_default();
    format!(
        "<wsnt:CurrentTime>{}</wsnt:CurrentTime><wsnt:TerminationTime>{}</wsnt:TerminationTime>",
        answers::date(now),
        answers::date(end)
    )
}
