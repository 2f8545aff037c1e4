//! Routes about people: what each of them may do.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{self, State};
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode};
use porthole_signaling_core::{Action, Admitted};
use porthole_signaling_proto::rest::{Removed, UserAccess};

use super::audit::given;
use super::credentials::no_such_user;
use super::{HandlerResult, MAX_LIMITED_CAMERAS, read};
use crate::app::App;
use crate::driver::now;
use crate::refusal::Refusal;

/// Gives a user other rights. Everything that was started with the former ones ends.
pub(crate) async fn change_user(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    user: Result<extract::Path<i64>, PathRejection>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult<Json<Removed>> {
    let granted = admitted.everything(now())?;
    let extract::Path(user) = user.map_err(|_| no_such_user())?;
    let access: UserAccess = read(&headers, &body)?;
    check_cameras(&access)?;
    let giver = admitted.also(Action::InvitePerson, now())?;
    let result = app.driver.store.change_user(&granted, &giver, user, &access).await;
    let removal = given(&app, &giver, result).await?.ok_or_else(no_such_user)?;
    Ok(Json(app.driver.end_removed(removal)))
}

pub(super) fn check_cameras(access: &UserAccess) -> HandlerResult<()> {
    if access.cameras.len() > MAX_LIMITED_CAMERAS {
        let text = "a user can be limited to at most 256 cameras";
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, text));
    }
    Ok(())
}
