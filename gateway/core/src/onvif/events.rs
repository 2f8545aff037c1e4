//! The event service: subscriptions with a pull point, and their requests (ONVIF Core §9,
//! WS-BaseNotification 1.3).

mod motion;
mod reference;

use std::time::Duration;

use super::ServiceAddress;
use super::calls::EVENTS;
use super::clock;
use super::xml::{Element, escape};

pub(super) use motion::{Motion, Sources, read_motion};

/// Namespace of subscriptions (WS-BaseNotification).
const NOTIFICATION: &str = "http://docs.oasis-open.org/wsn/b-2";

/// Prefix of the actions of a subscription's manager.
const MANAGER: &str = "http://docs.oasis-open.org/wsn/bw-2/SubscriptionManager";

/// Namespace of addresses (WS-Addressing 1.0).
const ADDRESSING: &str = "http://www.w3.org/2005/08/addressing";

/// Time for which a subscription is asked for. If the gateway is killed, the camera has its slot
/// again after that.
pub(super) const LIFETIME: Duration = Duration::from_secs(60);

/// The same as `xsd:duration`.
const LIFETIME_TEXT: &str = "PT1M";

/// Time for which a pull waits for an event.
pub(super) const PULL_TIME: Duration = Duration::from_secs(10);

/// The same as `xsd:duration`.
const PULL_TIME_TEXT: &str = "PT10S";

/// Maximum number of events that a camera may send at once.
const MESSAGE_LIMIT: &str = "32";

/// Bounds of the lifetimes that are believed, in seconds.
const BELIEVED_S: std::ops::RangeInclusive<i64> = 10..=3600;

/// The address of a subscription, as the camera names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// Text of the address.
    to: String,
    pub(super) address: ServiceAddress,
    /// Reference parameters as headers, or empty.
    parameters: String,
}

impl Reference {
    /// Reads the answer to `CreatePullPointSubscription` (ONVIF Core §9.1.1). `event_service` is
    /// the address that was asked, for cameras that name none.
    pub(super) fn read(root: &Element, bytes: &[u8], event_service: &ServiceAddress) -> Self {
        let named = root.find("SubscriptionReference").and_then(|it| it.text_of("Address"));
        let address = named.and_then(ServiceAddress::parse);
        let address = address.unwrap_or_else(|| event_service.clone());
        let to = named.map_or_else(|| address.to_string(), ToOwned::to_owned);
        let to = to.chars().filter(|c| !c.is_control()).collect();
        Self { to, address, parameters: reference::parameters(bytes) }
    }
}

/// Returns the time for which a subscription is valid from now on. Both ends are on the camera's
/// clock, of which nothing is believed but the distance; `camera_s` is our idea of it.
pub(super) fn lifetime(root: &Element, camera_s: i64) -> Duration {
    let end = root.text_of("TerminationTime").unwrap_or_default();
    let start = root.text_of("CurrentTime").and_then(clock::parse).unwrap_or(camera_s);
    let seconds = duration_s(end).or_else(|| Some(clock::parse(end)? - start));
    let believed = seconds.filter(|seconds| BELIEVED_S.contains(seconds));
    let believed = believed.and_then(|seconds| u64::try_from(seconds).ok());
    believed.map_or(LIFETIME, Duration::from_secs)
}

/// Reads an `xsd:duration` without years and months, in seconds.
fn duration_s(text: &str) -> Option<i64> {
    let (mut seconds, mut is_time, mut number) = (0_i64, false, String::new());
    for c in text.trim().strip_prefix('P')?.chars().take(64) {
        let unit = match (c, is_time) {
            ('T', _) => {
                is_time = true;
                continue;
            }
            ('0'..='9' | '.', _) => {
                number.push(c);
                continue;
            }
            ('D', false) => 86_400,
            ('H', true) => 3600,
            ('M', true) => 60,
            ('S', true) => 1,
            // Years and months: none.
            ('Y' | 'M', false) => 0,
            _ => return None,
        };
        let count: i64 = number.split('.').next()?.parse().ok()?;
        seconds = seconds.checked_add(count.checked_mul(unit)?)?;
        number.clear();
    }
    Some(seconds)
}

/// A call of the event service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventCall {
    /// A new subscription; some cameras refuse to be told for how long.
    Subscribe { has_lifetime: bool },
    /// The state of everything, as events.
    Synchronize,
    /// The events since the last pull.
    Pull,
    /// More time for a subscription.
    Renew,
    /// The end of a subscription.
    Unsubscribe,
}

impl EventCall {
    /// Returns the action of the call.
    pub(super) fn action(self) -> String {
        match self {
            Self::Subscribe { .. } => {
                format!("{EVENTS}/EventPortType/CreatePullPointSubscriptionRequest")
            }
            Self::Synchronize => {
                format!("{EVENTS}/PullPointSubscription/SetSynchronizationPointRequest")
            }
            Self::Pull => format!("{EVENTS}/PullPointSubscription/PullMessagesRequest"),
            Self::Renew => format!("{MANAGER}/RenewRequest"),
            Self::Unsubscribe => format!("{MANAGER}/UnsubscribeRequest"),
        }
    }

    /// Returns the headers of WS-Addressing, with those that a subscription asks for.
    pub(super) fn headers(self, reference: Option<&Reference>) -> String {
        let action = self.action();
        let mut headers = format!("<a:Action xmlns:a=\"{ADDRESSING}\">{action}</a:Action>");
        if let Some(reference) = reference {
            let to = escape(&reference.to);
            headers += &format!("<a:To xmlns:a=\"{ADDRESSING}\">{to}</a:To>");
            headers += &reference.parameters;
        }
        headers
    }

    /// Returns the content of the request's body.
    pub(super) fn body(self) -> String {
        let (name, namespace, content) = match self {
            Self::Subscribe { has_lifetime } => {
                let lifetime = if has_lifetime {
                    format!("<c:InitialTerminationTime>{LIFETIME_TEXT}</c:InitialTerminationTime>")
                } else {
                    String::new()
                };
                ("CreatePullPointSubscription", EVENTS, lifetime)
            }
            Self::Synchronize => ("SetSynchronizationPoint", EVENTS, String::new()),
            Self::Pull => (
                "PullMessages",
                EVENTS,
                format!(
                    "<c:Timeout>{PULL_TIME_TEXT}</c:Timeout>\
                     <c:MessageLimit>{MESSAGE_LIMIT}</c:MessageLimit>"
                ),
            ),
            Self::Renew => (
                "Renew",
                NOTIFICATION,
                format!("<c:TerminationTime>{LIFETIME_TEXT}</c:TerminationTime>"),
            ),
            Self::Unsubscribe => ("Unsubscribe", NOTIFICATION, String::new()),
        };
        format!("<c:{name} xmlns:c=\"{namespace}\">{content}</c:{name}>")
    }
}

#[cfg(test)]
mod tests;
