//! Sign-ins that an administrator takes off other users. The role of the user is read in the
//! transaction that takes them: whoever was made an owner just before is protected.

use porthole_signaling_core::{Everything, Granted};
use porthole_signaling_proto::rest::Role;

use super::credentials::OfUsers;
use super::people::{UserError, role_in, role_of_user};
use super::removals::Removal;
use super::{Store, StoreError, Write};

impl Store {
    /// Signs a user out everywhere. Returns `None` if there is no such user.
    pub(crate) async fn sign_user_out(
        &self,
        granted: &Granted<Everything>,
        user: i64,
    ) -> Result<Option<Removal>, UserError> {
        let mut write = self.begin_by(granted.principal()).await?;
        let Some(role) = role_of_user(write.db(), user).await? else { return Ok(None) };
        granted.over(role)?;
        let removal = write.sign_out_by(granted.principal(), OfUsers::One(user), None).await?;
        write.commit().await?;
        Ok(Some(removal))
    }

    /// Signs one browser out, whoever its user is. Removes nothing if there is no such sign-in.
    pub(crate) async fn remove_any_sign_in(
        &self,
        granted: &Granted<Everything>,
        id: &str,
    ) -> Result<Removal, UserError> {
        let mut write = self.begin_by(granted.principal()).await?;
        if let Some(role) = write.role_of_sign_in(id).await? {
            granted.over(role)?;
        }
        let removal = write.sign_out_by(granted.principal(), OfUsers::All, Some(id)).await?;
        write.commit().await?;
        Ok(removal)
    }
}

impl Write {
    /// Returns the role of the user of a sign-in; `None` if there is no such sign-in.
    async fn role_of_sign_in(&mut self, id: &str) -> Result<Option<Role>, StoreError> {
        let query = "SELECT role, owner FROM browser_sessions JOIN users ON users.id = user_id \
                     WHERE lower(hex(substr(hash, 1, 8))) = ?";
        let row = sqlx::query(query).bind(id).fetch_optional(self.db()).await?;
        Ok(row.as_ref().map(role_in).transpose()?)
    }
}

#[cfg(test)]
mod tests;
