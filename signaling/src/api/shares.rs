//! Routes about shares: links with which anybody watches some cameras until an hour.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{self, State};
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode};
use porthole_signaling_core::Admitted;
use porthole_signaling_proto::rest::{
    AuditKind, NewShare, OpenShare, OpenedShare, Removed, ShareLink, ShareList,
};

use super::audit::given;
use super::credentials::not_found;
use super::{HandlerResult, admit_attempt, busy, check_name, read, throttle, too_many_attempts};
use crate::app::App;
use crate::driver::now;
use crate::listener::ClientAddress;
use crate::password;
use crate::refusal::Refusal;
use crate::share_token::ShareToken;
use crate::store::Share;
use crate::throttle::{Attempt, Lane};

/// The name under which attempts to guess a link are counted, and the beginning of the name for
/// those to guess its password. No user can have it.
const GUESSED_LINK: &str = "\0share";

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult<Json<ShareLink>> {
    let mut new: NewShare = read(&headers, &body)?;
    new.name = check_name(&new.name)?;
    let hash = match new.password.take() {
        Some(password) => {
            // Before the password is hashed, which takes longer than all the rest.
            let checked = app.driver.store.check_share(&admitted, &new).await;
            given(&app, &admitted, checked).await?;
            let hashes = throttle(&app).admit_hash(Instant::now(), admitted.principal()?.account());
            hashes.map_err(too_many_attempts)?;
            if let Some(weakness) = password::weakness(&password) {
                return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, weakness));
            }
            Some(password::hash(password).await.map_err(busy)?)
        }
        None => None,
    };
    let result = app.driver.store.create_share(&admitted, &new, hash.as_deref()).await;
    Ok(Json(given(&app, &admitted, result).await?))
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
) -> HandlerResult<Json<ShareList>> {
    let granted = admitted.everything(now())?;
    Ok(Json(ShareList { shares: app.driver.store.shares(&granted).await? }))
}

pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    share: Result<extract::Path<i64>, PathRejection>,
) -> HandlerResult<Json<Removed>> {
    let granted = admitted.everything(now())?;
    let missing = || not_found("there is no such link");
    let extract::Path(share) = share.map_err(|_| missing())?;
    let removal = app.driver.store.remove_share(&granted, share).await?;
    Ok(Json(app.driver.end_removed(removal.ok_or_else(missing)?)))
}

/// Gives the holder of a link the token to watch with, if the password is right.
pub(crate) async fn open(
    State(app): State<Arc<App>>,
    Extension(client): Extension<ClientAddress>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult<Json<OpenedShare>> {
    let OpenShare { token, password } = read(&headers, &body)?;
    let store = &app.driver.store;
    let share = match ShareToken::parse(&token) {
        Some(token) => store.share_of(&token).await?.map(|share| (share, token)),
        None => None,
    };
    let name = share.as_ref().map_or(GUESSED_LINK.to_owned(), |(share, _)| counted(share));
    let attempt = Attempt { address: client.0, name: &name, device: None };
    let lane = admit_attempt(&app, &attempt)?;
    let (share, token) = share.ok_or_else(invalid)?;
    let token = match check_password(&share, &token, password, lane).await {
        Ok(token) => token,
        Err(Unproved::Refused(refusal)) => return Err(refusal),
        Err(Unproved::Wrong) => {
            store.note_share(AuditKind::ShareRefused, &share, client.0).await;
            let text = "the password is wrong";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, text).needs_password());
        }
    };
    throttle(&app).forgive(&attempt);
    store.note_share(AuditKind::ShareOpened, &share, client.0).await;
    let left_s = share.expires_s.saturating_sub(now().unix_s);
    let expires_in_seconds = u32::try_from(left_s).unwrap_or(u32::MAX);
    Ok(Json(OpenedShare { token, name: share.name, kiosk: share.kiosk, expires_in_seconds }))
}

/// The reason why the password of a link is not proved.
enum Unproved {
    Wrong,
    Refused(Refusal),
}

/// Returns the token with which to watch: with the proof that the password was right, if there is
/// one.
async fn check_password(
    share: &Share,
    token: &ShareToken<'_>,
    password: Option<String>,
    lane: Lane,
) -> Result<String, Unproved> {
    let Some(hash) = &share.password_hash else { return Ok(token.secret.to_owned()) };
    let proved_until_s = token.proved_until_s(hash);
    if let Some(until_s) = proved_until_s.filter(|until_s| *until_s > now().unix_s) {
        return Ok(token.proved(hash, until_s));
    }
    let Some(password) = password.filter(|password| !password.is_empty()) else {
        let text = "enter the password that you were given with the link";
        let refusal = Refusal::new(StatusCode::UNAUTHORIZED, text).needs_password();
        return Err(Unproved::Refused(refusal));
    };
    let refused = |error| Unproved::Refused(busy(error));
    lane.wait().await.map_err(refused)?;
    let is_known = lane == Lane::Known;
    let matches =
        password::verify(password, Some(hash.clone()), is_known).await.map_err(refused)?;
    if matches { Ok(token.proved(hash, share.proof_end_s())) } else { Err(Unproved::Wrong) }
}

/// Returns the name under which attempts to guess the password of a link are counted.
fn counted(share: &Share) -> String {
    format!("{GUESSED_LINK} {}", share.id)
}

fn invalid() -> Refusal {
    let text = "the link is wrong, has ended or was revoked; ask for a new one";
    Refusal::new(StatusCode::FORBIDDEN, text)
}
