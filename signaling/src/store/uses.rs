//! Times at which credentials were used last, written down once a minute for each at most.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::users::cookie_id;
use super::{Store, StoreError, seconds, unix_s};

/// Time after which the use of a credential is written down again.
const INTERVAL_S: u64 = 60;
/// The most credentials whose last write is remembered; beyond it, all are forgotten, and each is
/// written down once more.
const MAX_REMEMBERED: usize = 4096;

/// The times at which the use of credentials was written down last, in seconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Uses(Mutex<HashMap<String, u64>>);

impl Uses {
    /// Returns true if the use of a credential is to be written down now, and counts it as written.
    fn is_due(&self, credential: &str, now_s: u64) -> bool {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if written.get(credential).is_some_and(|at| now_s < at + INTERVAL_S) {
            return false;
        }
        if written.len() >= MAX_REMEMBERED {
            written.clear();
        }
        written.insert(credential.to_owned(), now_s);
        true
    }
}

impl Store {
    /// Returns true if the use of a credential is to be written down with [`Self::note_use`].
    pub(crate) fn is_use_due(&self, credential: &str) -> bool {
        self.uses.is_due(credential, unix_s())
    }

    /// Writes down that a token, a cookie or a link was used now.
    pub(crate) async fn note_use(&self, credential: &str) -> Result<(), StoreError> {
        let now = seconds(unix_s());
        let mut write = self.begin().await?;
        if let Some(id) = credential.strip_prefix("token:") {
            let query = sqlx::query("UPDATE tokens SET seen_s = ? WHERE id = CAST(? AS INTEGER)");
            query.bind(now).bind(id).execute(write.db()).await?;
        } else if let Some(id) = credential.strip_prefix("share:") {
            let query = sqlx::query("UPDATE shares SET seen_s = ? WHERE id = CAST(? AS INTEGER)");
            query.bind(now).bind(id).execute(write.db()).await?;
        } else if let Some(id) = cookie_id(credential) {
            for query in [
                "UPDATE users SET seen_s = ?1 WHERE id IN (SELECT user_id FROM browser_sessions \
                 WHERE lower(hex(substr(hash, 1, 8))) = ?2)",
                "UPDATE browser_sessions SET seen_s = ?1 \
                 WHERE lower(hex(substr(hash, 1, 8))) = ?2",
            ] {
                sqlx::query(query).bind(now).bind(id).execute(write.db()).await?;
            }
        }
        write.commit().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_written_down_once_a_minute() {
        let uses = Uses::default();
        for (credential, at_s, due) in [
            ("token:1", 1000, true),
            ("token:1", 1059, false),
            ("token:2", 1059, true),
            ("token:1", 1060, true),
            ("token:1", 1061, false),
        ] {
            assert_eq!(uses.is_due(credential, at_s), due, "{credential} {at_s}");
        }
        for number in 0..MAX_REMEMBERED {
            uses.is_due(&format!("token:{number}"), 1061);
        }
        assert!(uses.0.lock().unwrap().len() <= MAX_REMEMBERED);
    }
}
