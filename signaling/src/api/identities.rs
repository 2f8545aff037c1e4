//! Routes about accounts at a provider of OpenID Connect: signing in with one, joining with one,
//! and the own ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{self, State};
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use axum::{Extension, Json};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use porthole_signaling_core::{Admitted, Membership, Viewed};
use porthole_signaling_proto::rest::{
    IdentityList, OwnProof, ProviderAnswer, ProviderInvitation, ProviderRequest, ProviderSignIn,
    Removed, Role, SignInProvider,
};

use super::account::prove_own;
use super::credentials::{not_found, own_user};
use super::invitations::{TOO_MANY_USERS, admit_guess, invalid};
use super::{
    HandlerResult, any_device_of, check_name, cookie_name, read, respond_signed_in, set_cookie,
    throttle, too_many_attempts,
};
use crate::app::App;
use crate::caller::{PROVIDER_COOKIE, cookies_named};
use crate::config::Join;
use crate::driver::now;
use crate::listener::ClientAddress;
use crate::openid::{self, Account, FLOW_LIFETIME, Flow, Provider, Purpose, Trouble};
use crate::prefix::UsedPrefix;
use crate::refusal::Refusal;
use crate::store::{Acceptance, Entry, Linking, Means, Unlinking};
use crate::throttle::Answered;

/// The refusal of an account that is linked already.
pub(super) const LINKED: &str = "this account is linked to a user already: sign in with it";
/// Time after which somebody may try again for whom there was no room.
const RETRY: Duration = Duration::from_secs(1);

/// Returns the provider as a page shows it, if there is one.
pub(super) fn shown(app: &App) -> Option<SignInProvider> {
    let provider = app.provider.as_ref()?;
    Some(SignInProvider { name: provider.config().name.clone(), origin: provider.origin() })
}

/// Sends a browser to the provider, to sign in or to accept an invitation.
pub(crate) async fn request(
    State(app): State<Arc<App>>,
    Extension(client): Extension<ClientAddress>,
    prefix: Option<Extension<UsedPrefix>>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult<Response> {
    provider(&app)?;
    let ProviderSignIn { invitation } = read(&headers, &body)?;
    let purpose = match invitation {
        None => Purpose::SignIn,
        Some(ProviderInvitation { token, name }) => {
            admit_guess(&app, client, &token)?;
            let offer = app.driver.store.read_invitation(&token).await?.ok_or_else(invalid)?;
            if offer.reset {
                return Err(conflict("the link is for a new password"));
            }
            let name = check_name(name.as_deref().unwrap_or(&offer.name))?;
            Purpose::Join { token, name }
        }
    };
    send_away(&app, purpose, prefix).await
}

/// Sends the browser of a user, who has proved again who it is, to the provider to link an account.
pub(crate) async fn begin(
    State(app): State<Arc<App>>,
    Extension(client): Extension<ClientAddress>,
    Extension(admitted): Extension<Admitted>,
    prefix: Option<Extension<UsedPrefix>>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult<Response> {
    own_user(&admitted)?;
    provider(&app)?;
    let proof: OwnProof = read(&headers, &body)?;
    let user = prove_own(&app, client, &admitted, &headers, proof).await?;
    let credential = admitted.principal()?.credential().to_owned();
    send_away(&app, Purpose::Link { user: user.id, credential }, prefix).await
}

async fn send_away(
    app: &App,
    purpose: Purpose,
    prefix: Option<Extension<UsedPrefix>>,
) -> HandlerResult<Response> {
    let begun = provider(app)?.begin(purpose, now().unix_s).await;
    let (url, sealed) = begun.map_err(|trouble| refused(&trouble))?;
    let cookie = set_cookie(app, prefix.as_ref(), PROVIDER_COOKIE, &sealed, FLOW_LIFETIME);
    let cookie = AppendHeaders([(header::SET_COOKIE, cookie)]);
    Ok((cookie, Json(ProviderRequest { url })).into_response())
}

/// Takes the answer of the provider, which the browser has brought.
pub(crate) async fn answer(
    State(app): State<Arc<App>>,
    Extension(client): Extension<ClientAddress>,
    Extension(admitted): Extension<Admitted>,
    prefix: Option<Extension<UsedPrefix>>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult<Response> {
    let provider = provider(&app)?;
    let ProviderAnswer { state, code, iss, error } = read(&headers, &body)?;
    let answer = openid::Response { state, code, issuer: iss, error };
    let now_s = now().unix_s;
    // Under the name that it was set with, and no other: over TLS, only this host has set it.
    let cookie = cookie_name(&app, prefix.as_ref().map(|Extension(used)| used), PROVIDER_COOKIE);
    let flow = provider.begun(cookies_named(&headers, &cookie), &answer, now_s);
    let flow = flow.map_err(|trouble| refused(&trouble))?;
    let device = any_device_of(&app, &headers);
    let answered = Answered { address: client.0, flow: flow.state(), device };
    throttle(&app).admit_answer(Instant::now(), &answered).map_err(too_many_attempts)?;
    let account = match provider.finish(&flow, &answer, now_s).await {
        Ok(account) => account,
        Err(trouble) => {
            if matches!(trouble, Trouble::Answer(_) | Trouble::Forbidden(_)) {
                app.driver.store.note_refused_identity(None, client.0).await;
            }
            return Err(refused(&trouble));
        }
    };
    let mut response = match &flow.purpose {
        Purpose::SignIn | Purpose::Join { .. } => {
            let (user, means) = admit(&app, provider, &flow, &account, client).await?;
            respond_signed_in(&app, &user, means, client, &headers, prefix.clone()).await?
        }
        Purpose::Link { user, credential } => {
            link(&app, &admitted, (*user, credential), &account).await?
        }
    };
    throttle(&app).forgive_answer(&answered);
    let spent = set_cookie(&app, prefix.as_ref(), PROVIDER_COOKIE, "", Duration::ZERO);
    if let Ok(spent) = HeaderValue::try_from(spent) {
        response.headers_mut().append(header::SET_COOKIE, spent);
    }
    Ok(response)
}

/// Returns the user of an account, which may be a new one.
async fn admit(
    app: &App,
    provider: &Provider,
    flow: &Flow,
    account: &Account,
    ClientAddress(address): ClientAddress,
) -> HandlerResult<(crate::store::users::User, Means)> {
    let store = &app.driver.store;
    let acceptance = match &flow.purpose {
        Purpose::Join { token, name } => {
            store.accept_invitation(token, name, Entry::Identity(account), address).await?
        }
        Purpose::SignIn | Purpose::Link { .. } => {
            if let Some((user, identity)) = store.use_identity(account).await? {
                return Ok((user, Means::Identity(identity)));
            }
            let Some(membership) = membership(provider.config().join) else {
                store.note_refused_identity(Some(&account.name), address).await;
                let text = "nobody here has linked this account: link it on the page Account, or \
                            ask an administrator for an invitation";
                return Err(Refusal::new(StatusCode::FORBIDDEN, text));
            };
            check_name(&account.name)?;
            store.join_with_identity(account, &membership, address).await?
        }
    };
    match acceptance {
        Acceptance::Joined(user, means) => Ok((user, means)),
        Acceptance::Unknown | Acceptance::Reset(..) => Err(invalid()),
        Acceptance::NameTaken => Err(conflict(
            "another user has the name of this account: if that is you, sign in and link it on \
             the page Account; else ask an administrator for an invitation",
        )),
        Acceptance::TooManyUsers => Err(conflict(TOO_MANY_USERS)),
        Acceptance::Linked => Err(conflict(LINKED)),
        Acceptance::Unlinked => {
            store.note_refused_identity(Some(&account.name), address).await;
            let text = "this account was linked to a user here and is not any more: sign in as \
                        that user, and link it again on the page Account";
            Err(Refusal::new(StatusCode::FORBIDDEN, text))
        }
        Acceptance::Removed => {
            store.note_refused_identity(Some(&account.name), address).await;
            let text = "an administrator has removed you here: ask for an invitation, and accept \
                        it with this account";
            Err(Refusal::new(StatusCode::FORBIDDEN, text))
        }
    }
}

/// Returns the rights of somebody who joins without an invitation, if that is possible.
fn membership(join: Join) -> Option<Membership> {
    match join {
        Join::Nobody => None,
        Join::WithoutCameras => {
            Some(Membership { role: Role::Viewer, viewed: Viewed::Each(BTreeMap::new()) })
        }
        Join::Viewer => Some(Membership::of_role(Role::Viewer)),
    }
}

/// Links an account to the user who has asked for it, in the same browser.
async fn link(
    app: &App,
    admitted: &Admitted,
    (user, credential): (i64, &str),
    account: &Account,
) -> HandlerResult<Response> {
    let own = admitted.principal()?;
    if own.credential() != credential || own_user(admitted)? != user {
        return Err(refused(&Trouble::NotBegun));
    }
    match app.driver.store.add_identity(own, user, account).await? {
        Linking::Linked => Ok(StatusCode::NO_CONTENT.into_response()),
        Linking::Taken => Err(conflict("this account is linked already, to you or somebody else")),
        Linking::TooMany => Err(conflict("you have linked 8 accounts: unlink one of them")),
    }
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
) -> HandlerResult<Json<IdentityList>> {
    let identities = app.driver.store.identities(own_user(&admitted)?).await?;
    Ok(Json(IdentityList { identities, provider: shown(&app) }))
}

pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    identity: Result<extract::Path<i64>, PathRejection>,
) -> HandlerResult<Json<Removed>> {
    let user = own_user(&admitted)?;
    let missing = || not_found("you have linked no such account");
    let extract::Path(identity) = identity.map_err(|_| missing())?;
    let store = &app.driver.store;
    match store.remove_identity(admitted.principal()?, user, identity).await? {
        Unlinking::Unlinked(removal) => Ok(Json(app.driver.end_removed(removal))),
        Unlinking::Unknown => Err(missing()),
        Unlinking::LastWay => Err(conflict(
            "you have no password, so this account is your only way in: ask an administrator for \
             a link for a new password first",
        )),
    }
}

fn provider(app: &App) -> HandlerResult<&Provider> {
    let text = "this server has no sign-in service: set signaling.openid_connect";
    app.provider.as_ref().ok_or_else(|| conflict(text))
}

fn conflict(text: &str) -> Refusal {
    Refusal::new(StatusCode::CONFLICT, text)
}

fn refused(trouble: &Trouble) -> Refusal {
    let status = match trouble {
        Trouble::Provider(_) | Trouble::Unreachable(_) => StatusCode::BAD_GATEWAY,
        Trouble::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Trouble::NotBegun | Trouble::Forbidden(_) => StatusCode::FORBIDDEN,
        Trouble::Refused(_) | Trouble::Answer(_) => StatusCode::UNAUTHORIZED,
    };
    let refusal = Refusal::new(status, trouble.to_string());
    if status == StatusCode::SERVICE_UNAVAILABLE { refusal.retry_after(RETRY) } else { refusal }
}
