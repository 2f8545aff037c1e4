//! Second factors of users: the secrets of their apps, and codes for the loss of these. The secrets
//! are stored as they are, since the server has to compute codes with them; recovery codes as
//! hashes.

use porthole_signaling_core::{Admitted, Principal};
use porthole_signaling_proto::rest::{AuditKind, SecondFactor};
use sqlx::Row as _;

use super::audit::Event;
use super::{Store, StoreError, UserError, Write, seconds, unix_s};
use crate::driver::now;
use crate::{secret, totp};

/// The number of recovery codes that a user gets.
const RECOVERY_CODES: usize = 10;

/// The result of checking the code of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// The user has no second factor.
    NotNeeded,
    /// The code is right, and has been used up.
    Right,
    /// The code is wrong, or was used before.
    Wrong,
}

impl Store {
    /// Returns the second factor of a user as it is shown.
    pub(crate) async fn second_factor(&self, user: i64) -> Result<SecondFactor, StoreError> {
        let query = "SELECT EXISTS (SELECT 1 FROM second_factors \
                     WHERE user_id = ?1 AND confirmed = 1) AS enrolled, \
                     (SELECT COUNT(*) FROM recovery_codes WHERE user_id = ?1) AS codes";
        let row = sqlx::query(query).bind(user).fetch_one(&self.read).await?;
        Ok(SecondFactor {
            enrolled: row.try_get("enrolled")?,
            recovery_codes: row.try_get("codes")?,
        })
    }

    /// Stores the secret of a user who has no second factor yet; it counts once it is confirmed.
    /// Returns false if the user has one.
    pub(crate) async fn begin_second_factor(
        &self,
        own: &Principal,
        user: i64,
        secret: &[u8],
    ) -> Result<bool, StoreError> {
        let mut write = self.begin_by(own).await?;
        let query = "INSERT INTO second_factors (user_id, secret) VALUES (?1, ?2) \
                     ON CONFLICT (user_id) DO UPDATE SET secret = ?2 WHERE confirmed = 0";
        let begun = sqlx::query(query).bind(user).bind(secret).execute(write.db()).await?;
        write.commit().await?;
        Ok(begun.rows_affected() > 0)
    }

    /// Confirms the secret of a user with a code that its app shows. Returns the recovery codes;
    /// `None` if the code is wrong or nothing waits to be confirmed.
    pub(crate) async fn confirm_second_factor(
        &self,
        own: &Principal,
        user: i64,
        code: &str,
    ) -> Result<Option<Vec<String>>, StoreError> {
        let mut write = self.begin_by(own).await?;
        if !write.use_step(user, false, code).await? {
            return Ok(None);
        }
        let query = sqlx::query("UPDATE second_factors SET confirmed = 1 WHERE user_id = ?");
        query.bind(user).execute(write.db()).await?;
        let query = sqlx::query("DELETE FROM recovery_codes WHERE user_id = ?").bind(user);
        query.execute(write.db()).await?;
        let codes: Vec<_> = (0..RECOVERY_CODES).map(|_| secret::new_claim()).collect();
        for code in &codes {
            let query = "INSERT INTO recovery_codes (user_id, hash) VALUES (?, ?)";
            let query = sqlx::query(query).bind(user).bind(hash_of(code));
            query.execute(write.db()).await?;
        }
        write.audit(&Event::by(own, AuditKind::SecondFactorAdded, own.name())).await?;
        write.commit().await?;
        Ok(Some(codes))
    }

    /// Checks a code of a user, of the app or for recovery, and uses it up.
    pub(crate) async fn use_code(&self, user: i64, code: &str) -> Result<Code, StoreError> {
        let mut write = self.begin().await?;
        let query = "SELECT 1 FROM second_factors WHERE user_id = ? AND confirmed = 1";
        if sqlx::query(query).bind(user).fetch_optional(write.db()).await?.is_none() {
            return Ok(Code::NotNeeded);
        }
        if !write.use_step(user, true, code).await? {
            let query = "DELETE FROM recovery_codes WHERE user_id = ? AND hash = ?";
            let query = sqlx::query(query).bind(user).bind(hash_of(code));
            if query.execute(write.db()).await?.rows_affected() == 0 {
                return Ok(Code::Wrong);
            }
        }
        write.commit().await?;
        Ok(Code::Right)
    }

    /// Removes the second factor of the user who is signed in. Returns false if there was none.
    pub(crate) async fn remove_second_factor(
        &self,
        own: &Principal,
        user: i64,
    ) -> Result<bool, StoreError> {
        let write = self.begin_by(own).await?;
        write.end_second_factor(own, user).await
    }

    /// Takes the second factor off a user, whose password then is enough. Whoever knows that has
    /// what the user has, so it is given as that is. Returns false if there was none; `None` if
    /// there is no such user.
    pub(crate) async fn take_second_factor(
        &self,
        giver: &Admitted,
        user: i64,
    ) -> Result<Option<bool>, UserError> {
        let mut write = self.begin().await?;
        let Some(membership) = write.membership_of_user(user).await? else { return Ok(None) };
        let gift = giver.give(membership, now())?;
        write.check_credential(gift.principal()).await?;
        write.check_other(gift.principal(), user, UserError::OwnFactor).await?;
        Ok(Some(write.end_second_factor(gift.principal(), user).await?))
    }
}

impl Write {
    /// Removes the second factor of a user that exists, writes that down, and commits. Returns
    /// false if there was none.
    async fn end_second_factor(mut self, by: &Principal, user: i64) -> Result<bool, StoreError> {
        if !self.remove_second_factor(user).await? {
            return Ok(false);
        }
        let name = self.name_of_user(user).await?;
        self.audit(&Event::by(by, AuditKind::SecondFactorRemoved, name)).await?;
        self.commit().await?;
        Ok(true)
    }

    /// Removes the secret of a second factor that somebody has begun to set up.
    pub(super) async fn remove_unconfirmed_factor(&mut self, user: i64) -> Result<(), StoreError> {
        let query = sqlx::query("DELETE FROM second_factors WHERE user_id = ? AND confirmed = 0");
        query.bind(user).execute(self.db()).await?;
        Ok(())
    }

    /// Uses up a code of the app. Returns false if it is wrong, or was used before.
    async fn use_step(
        &mut self,
        user: i64,
        confirmed: bool,
        code: &str,
    ) -> Result<bool, StoreError> {
        let query = "SELECT secret, last_step FROM second_factors \
                     WHERE user_id = ? AND confirmed = ?";
        let query = sqlx::query(query).bind(user).bind(confirmed);
        let Some(row) = query.fetch_optional(self.db()).await? else { return Ok(false) };
        let (secret, last): (Vec<u8>, i64) = (row.try_get("secret")?, row.try_get("last_step")?);
        let Some(step) = totp::step_of(&secret, code, unix_s(), last.unsigned_abs()) else {
            return Ok(false);
        };
        let query = sqlx::query("UPDATE second_factors SET last_step = ? WHERE user_id = ?");
        query.bind(seconds(step)).bind(user).execute(self.db()).await?;
        Ok(true)
    }

    pub(super) async fn remove_second_factor(&mut self, user: i64) -> Result<bool, StoreError> {
        let query = sqlx::query("DELETE FROM recovery_codes WHERE user_id = ?").bind(user);
        query.execute(self.db()).await?;
        let query = sqlx::query("DELETE FROM second_factors WHERE user_id = ?").bind(user);
        Ok(query.execute(self.db()).await?.rows_affected() > 0)
    }
}

/// Returns the hash of a recovery code, however it was typed.
fn hash_of(code: &str) -> Vec<u8> {
    secret::hash(&secret::plain_claim(code))
}

#[cfg(test)]
mod tests;
