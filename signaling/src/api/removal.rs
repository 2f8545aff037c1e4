//! Routes that tell what would be removed with something, before it is removed.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{self, State};
use axum::{Extension, Json};
use porthole_signaling_core::{Action, Admitted};
use porthole_signaling_proto::rest::Foreseen;
use porthole_signaling_proto::{CameraId, GatewayId};

use super::HandlerResult;
use super::credentials::{no_such_user, not_found};
use crate::app::App;
use crate::driver::now;
use crate::store::Removal;

pub(crate) async fn of_token(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    token: Result<extract::Path<i64>, PathRejection>,
) -> HandlerResult<Json<Foreseen>> {
    let granted = admitted.everything(now())?;
    let missing = || not_found("there is no such token");
    let extract::Path(token) = token.map_err(|_| missing())?;
    let removal = app.driver.store.look_at_token(&granted, token).await?.ok_or_else(missing)?;
    Ok(foreseen(&app, &admitted, removal, None))
}

/// Tells what would go with a user, or why it cannot be removed.
pub(crate) async fn of_user(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    user: Result<extract::Path<i64>, PathRejection>,
) -> HandlerResult<Json<Foreseen>> {
    let granted = admitted.everything(now())?;
    let extract::Path(user) = user.map_err(|_| no_such_user())?;
    let removal = app.driver.store.look_at_user(&granted, user).await?;
    Ok(foreseen(&app, &admitted, removal.ok_or_else(no_such_user)?, None))
}

pub(crate) async fn of_gateway(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    gateway: Result<extract::Path<GatewayId>, PathRejection>,
) -> HandlerResult<Json<Foreseen>> {
    let granted = admitted.everything(now())?;
    let missing = || not_found("there is no such gateway");
    let extract::Path(gateway) = gateway.map_err(|_| missing())?;
    let removal = app.driver.store.look_at_gateway(&granted, &gateway).await?;
    Ok(foreseen(&app, &admitted, removal.ok_or_else(missing)?, None))
}

/// Tells what would go with a camera, which its gateway may not have.
pub(crate) async fn of_camera(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    path: Result<extract::Path<(GatewayId, CameraId)>, PathRejection>,
) -> HandlerResult<Json<Foreseen>> {
    let missing = || not_found("there is no such camera");
    let extract::Path((gateway, camera)) = path.map_err(|_| missing())?;
    let granted = admitted.on_gateway(&gateway, now())?;
    if app.driver.store.gateway_key(&gateway).await?.is_none() {
        return Err(not_found("there is no such gateway"));
    }
    let removal = app.driver.store.look_at_camera(&granted, &camera).await?;
    Ok(foreseen(&app, &admitted, removal, Some((&gateway, &camera))))
}

/// Returns everything that a removal would take, without the names that the caller may not list.
fn foreseen(
    app: &App,
    admitted: &Admitted,
    removal: Removal,
    camera: Option<(&GatewayId, &CameraId)>,
) -> Json<Foreseen> {
    let mut foreseen = app.driver.foresee(removal, camera);
    let may = |action| admitted.clone().also(action, now()).is_ok();
    if !may(Action::ListTokens) {
        foreseen.names.tokens = Vec::new();
    }
    if !may(Action::ListInvitations) {
        foreseen.names.invitations = Vec::new();
    }
    if !may(Action::ListShares) {
        foreseen.names.shares = Vec::new();
    }
    Json(foreseen)
}
