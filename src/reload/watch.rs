//! The watcher of the configuration file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, SystemTime};

use porthole_admin::Reload;
use tokio::time::Instant;

use crate::config::Fingerprint;

/// Interval at which the file is looked at.
const INTERVAL: Duration = Duration::from_secs(2);
/// The number of looks that must find the file as the one before them did. An editor saves it, and
/// a copy over the network pauses, for less time than that.
const LOOKS_AT_REST: u32 = 3;

/// Pause after which a configuration is tried again that was refused for a reason that may pass. It
/// doubles with each further attempt, up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(600);

/// The contents of the file that are in effect, and those that were refused since.
#[derive(Debug)]
pub(super) struct State {
    in_effect: Option<Fingerprint>,
    refused: Option<Refused>,
}

/// Contents of the file that are not in effect.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    contents: Option<Fingerprint>,
    /// The time of the next attempt; `None` if it would be in vain.
    again: Option<Instant>,
    /// The pause before the next attempt.
    pause: Duration,
}

impl State {
    /// Creates the state in which these contents are in effect.
    pub(super) fn new(in_effect: Option<Fingerprint>) -> Self {
        Self { in_effect, refused: None }
    }

    /// Begins an attempt to bring these contents into effect. They count as refused, without a
    /// further attempt, until there is a result: also if there is never one.
    pub(super) fn begin(&mut self, contents: Option<Fingerprint>) -> Refused {
        let before = self.refused.as_ref().filter(|before| before.contents == contents);
        let pause = before.map_or(FIRST_PAUSE, |before| before.pause);
        self.refused.insert(Refused { contents, again: None, pause }).clone()
    }

    /// Notes that an attempt has failed for a reason that may pass.
    pub(super) fn try_later(&mut self, attempt: &Refused, now: Instant) {
        let Refused { contents, pause, .. } = *attempt;
        let (again, pause) = (Some(now + pause), (2 * pause).min(MAX_PAUSE));
        self.refused = Some(Refused { contents, again, pause });
    }

    /// Returns true if these contents should be tried now.
    fn wants(&self, contents: Fingerprint, now: Instant) -> bool {
        if self.in_effect == Some(contents) {
            return false;
        }
        match &self.refused {
            Some(refused) if refused.contents == Some(contents) => {
                refused.again.is_some_and(|again| again <= now)
            }
            Some(_) | None => true,
        }
    }
}

/// The file as one look has found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    contents: Fingerprint,
    is_empty: bool,
    modified: Option<SystemTime>,
}

/// The last look, and for how many further ones the file has been at rest.
#[derive(Debug, Default)]
struct Rest {
    last: Option<Look>,
    looks: u32,
}

impl Rest {
    /// Notes the next look. Returns what it has found if the file is at rest.
    fn note(&mut self, look: Option<Look>) -> Option<Look> {
        let is_same = look.is_some() && self.last == look;
        let looks = if is_same { self.looks.saturating_add(1) } else { 0 };
        *self = Self { last: look, looks };
        look.filter(|_| looks >= LOOKS_AT_REST)
    }
}

/// Calls `reload` when the file has other contents than those that are in effect, is not empty, and
/// is at rest.
pub(super) async fn watch(file: PathBuf, state: Arc<Mutex<State>>, reload: Reload) {
    let (mut rest, mut told) = (Rest::default(), None);
    loop {
        tokio::time::sleep(INTERVAL).await;
        let path = file.clone();
        // While it is being replaced there is no file, and what is in effect stays so.
        let look = tokio::task::spawn_blocking(move || look_at(&path)).await.ok().flatten();
        let Some(look) = rest.note(look) else { continue };
        let now = Instant::now();
        let is_wanted = match state.try_lock() {
            Ok(state) => state.wants(look.contents, now),
            Err(TryLockError::Poisoned(state)) => state.into_inner().wants(look.contents, now),
            // While a reload runs, the next look decides.
            Err(TryLockError::WouldBlock) => false,
        };
        if is_wanted && !look.is_empty {
            super::call(&reload, "the file").await;
        } else if is_wanted && told.replace(look) != Some(look) {
            tracing::error!(
                "the configuration file is empty, and not taken: if it is meant, send SIGHUP"
            );
        }
    }
}

fn look_at(file: &Path) -> Option<Look> {
    let text = std::fs::read(file).ok()?;
    let modified = std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
    let is_empty = text.trim_ascii().is_empty();
    Some(Look { contents: Fingerprint::of(&text), is_empty, modified })
}

/// Returns what stands for the contents of a file; `None` if it cannot be read.
pub(super) fn contents(file: &Path) -> Option<Fingerprint> {
    Some(look_at(file)?.contents)
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::anyhow;

    use super::super::{TryAgain, may_pass};
    use super::*;
    use crate::config;

    fn fingerprint(text: &str) -> Fingerprint {
        Fingerprint::of(text.as_bytes())
    }

    #[test]
    fn contents_are_wanted_unless_they_are_in_effect_or_were_refused_for_good() {
        let [old, new, other] = ["old", "new", "other"].map(fingerprint);
        let start = Instant::now();
        let mut state = State::new(Some(old));
        let at = |s| start + Duration::from_secs(s);
        assert!(!state.wants(old, at(0)) && state.wants(new, at(0)));
        // A mistake, or an attempt that never ends, is not tried again by itself.
        state.begin(Some(new));
        assert!(!state.wants(new, at(9999)) && state.wants(other, at(0)));
        assert!(!state.wants(old, at(0)), "it is in effect all the time");
        // What may pass is tried after 10, 20, 40, … seconds, and at least every 10 minutes.
        let mut now = 0;
        for pause in [10, 20, 40, 80, 160, 320, 600, 600] {
            let attempt = state.begin(Some(new));
            state.try_later(&attempt, at(now));
            assert!(!state.wants(new, at(now + pause - 1)), "{pause}");
            now += pause;
            assert!(state.wants(new, at(now)), "{pause}");
        }
        let attempt = state.begin(Some(other));
        state.try_later(&attempt, at(now));
        assert!(state.wants(other, at(now + 10)), "other contents begin with the first pause");
        state = State::new(Some(new));
        assert!(!state.wants(new, at(now)) && state.wants(old, at(now)));
    }

    #[test]
    fn a_file_is_at_rest_after_equal_looks_only() {
        let look = |text: &str, modified_s| {
            let modified = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(modified_s));
            Some(Look { contents: fingerprint(text), is_empty: text.is_empty(), modified })
        };
        let (half, whole, touched) = (look("a", 1), look("ab", 2), look("ab", 3));
        let mut rest = Rest::default();
        for (found, is_at_rest) in [
            (half, false),
            (half, false),
            (half, false),
            (whole, false),
            (whole, false),
            (touched, false),
            (touched, false),
            (touched, false),
            (None, false),
            (touched, false),
            (touched, false),
            (touched, false),
            (touched, true),
            (touched, true),
        ] {
            assert_eq!(rest.note(found).is_some(), is_at_rest, "{found:?}");
        }
    }

    #[test]
    fn an_error_may_pass_unless_it_is_in_the_configuration() {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let unreadable = config::Error::Unreadable { path: "/a".into(), cause: gone() };
        for (error, expected) in [
            (anyhow::Error::from(unreadable), true),
            (anyhow::Error::from(gone()).context("cannot read a certificate"), true),
            (porthole_gateway::ChangeError::Busy.into(), true),
            (TryAgain(anyhow!("no answer")).into(), true),
            (config::Error::NoDataFolder.into(), false),
            (anyhow!("turn.secret is missing"), false),
        ] {
            assert_eq!(may_pass(&error), expected, "{error:#}");
        }
    }
}
