//! Routes about invitations: links with which a person becomes a user, or sets a new password.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{self, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode};
use porthole_signaling_core::{Action, Admitted};
use porthole_signaling_proto::rest::{
    AcceptInvitation, Invitation, InvitationList, InvitationOffer, NewInvitation, ReadInvitation,
    Removed,
};

use super::audit::given;
use super::credentials::{no_such_user, not_found};
use super::people::check_cameras;
use super::{HandlerResult, admit_attempt, busy, check_name, read, respond_signed_in};
use crate::app::App;
use crate::driver::now;
use crate::listener::ClientAddress;
use crate::password;
use crate::prefix::UsedPrefix;
use crate::refusal::Refusal;
use crate::store::{Acceptance, Entry, Means};
use crate::throttle::Attempt;

/// The refusal of a new user for whom there is no room.
pub(super) const TOO_MANY_USERS: &str = "the server has 1024 users; an admin can remove some";
/// The beginning of the names under which attempts to guess the token of a link are counted. No
/// user has such a name.
const GUESSED_LINK: &str = "\0invitation ";
/// The part of a token that stands in such a name: several people of one network who follow their
/// links do not use up each other's attempts.
const COUNTED_CHARS: usize = 16;

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult<Json<Invitation>> {
    let mut new: NewInvitation = read(&headers, &body)?;
    new.name = check_name(&new.name)?;
    check_cameras(&new.access)?;
    let result = app.driver.store.create_invitation(&admitted, &new).await;
    Ok(Json(given(&app, &admitted, result).await?))
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
) -> HandlerResult<Json<InvitationList>> {
    let granted = admitted.everything(now())?;
    Ok(Json(InvitationList { invitations: app.driver.store.invitations(&granted).await? }))
}

pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    invitation: Result<extract::Path<i64>, PathRejection>,
) -> HandlerResult<Json<Removed>> {
    let granted = admitted.everything(now())?;
    let missing = || not_found("there is no such invitation");
    let extract::Path(invitation) = invitation.map_err(|_| missing())?;
    let removal = app.driver.store.remove_invitation(&granted, invitation).await?;
    Ok(Json(app.driver.end_removed(removal.ok_or_else(missing)?)))
}

/// Creates a link with which a user sets a new password.
pub(crate) async fn create_reset(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    user: Result<extract::Path<i64>, PathRejection>,
) -> HandlerResult<Json<Invitation>> {
    admitted.everything(now())?;
    let extract::Path(user) = user.map_err(|_| no_such_user())?;
    let giver = admitted.also(Action::InvitePerson, now())?;
    let result = app.driver.store.create_reset(&giver, user).await;
    Ok(Json(given(&app, &giver, result).await?.ok_or_else(no_such_user)?))
}

pub(crate) async fn read_offer(
    State(app): State<Arc<App>>,
    Extension(client): Extension<ClientAddress>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult<Json<InvitationOffer>> {
    let ReadInvitation { token } = read(&headers, &body)?;
    admit_guess(&app, client, &token)?;
    let offer = app.driver.store.read_invitation(&token).await?;
    Ok(Json(offer.ok_or_else(invalid)?))
}

pub(crate) async fn accept(
    State(app): State<Arc<App>>,
    Extension(client): Extension<ClientAddress>,
    prefix: Option<Extension<UsedPrefix>>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult<Response> {
    let AcceptInvitation { token, name, password } = read(&headers, &body)?;
    admit_guess(&app, client, &token)?;
    if let Some(weakness) = password::weakness(&password) {
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, weakness));
    }
    let store = &app.driver.store;
    // Checked first, so that a password is only hashed for a valid link.
    let offer = store.read_invitation(&token).await?.ok_or_else(invalid)?;
    let name = check_name(name.as_deref().filter(|_| !offer.reset).unwrap_or(&offer.name))?;
    let hash = password::hash(password).await.map_err(busy)?;
    let conflict = |text| Err(Refusal::new(StatusCode::CONFLICT, text));
    let entry = Entry::Password(&hash);
    let user = match store.accept_invitation(&token, &name, entry, client.0).await? {
        Acceptance::Unknown => return Err(invalid()),
        Acceptance::NameTaken => return conflict("another user has this name; choose another"),
        Acceptance::TooManyUsers => return conflict(TOO_MANY_USERS),
        Acceptance::Linked | Acceptance::Removed | Acceptance::Unlinked => {
            return conflict(super::identities::LINKED);
        }
        Acceptance::Joined(user, _) => user,
        Acceptance::Reset(user, removal) => {
            app.driver.end_removed(removal);
            // The link stands for the password, and for nothing else.
            if app.driver.store.second_factor(user.id).await?.enrolled {
                return Ok(StatusCode::NO_CONTENT.into_response());
            }
            user
        }
    };
    respond_signed_in(&app, &user, Means::Password, client, &headers, prefix).await
}

/// Limits how often the token of a link can be guessed.
pub(super) fn admit_guess(app: &App, client: ClientAddress, token: &str) -> HandlerResult<()> {
    let counted: String = token.chars().take(COUNTED_CHARS).collect();
    let name = format!("{GUESSED_LINK}{counted}");
    let attempt = Attempt { address: client.0, name: &name, device: None };
    admit_attempt(app, &attempt).map(drop)
}

pub(super) fn invalid() -> Refusal {
    let text = "the link is wrong, has expired or has already been used; ask for a new one";
    Refusal::new(StatusCode::FORBIDDEN, text)
}
