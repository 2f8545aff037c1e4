//! Routes about passkeys: signing in with one, and the own ones.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{self, State};
use axum::response::Response;
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, StatusCode};
use porthole_signaling_core::Admitted;
use porthole_signaling_proto::rest::{
    NewPasskey, OwnProof, PasskeyCreation, PasskeyInfo, PasskeyList, PasskeyRequest, PasskeySignIn,
    Removed, SignInWays,
};

use super::account::prove_own;
use super::credentials::{not_found, own_user};
use super::{
    HandlerResult, admit_attempt, check_name, device_of, identities, read, respond_signed_in,
    throttle,
};
use crate::app::App;
use crate::listener::ClientAddress;
use crate::prefix::UsedPrefix;
use crate::refusal::Refusal;
use crate::store::{Addition, Means, PasskeyUse};
use crate::throttle::Attempt;
use crate::webauthn::{
    ALGORITHMS, Asserted, Assertion, Challenges, Flaw, NoSite, Purpose, Site, Spender, assert,
    register,
};

/// The name under which attempts with passkeys are counted that nobody has. No user can have it.
const UNKNOWN: &str = "\0passkey";

/// The state that the routes about passkeys share.
#[derive(Debug)]
pub(crate) struct Passkeys {
    /// The site that they belong to, or why there is none.
    pub(crate) site: Result<Site, NoSite>,
    pub(crate) challenges: Challenges,
}

pub(crate) async fn ways(State(app): State<Arc<App>>) -> Json<SignInWays> {
    let site = app.passkeys.site.as_ref().ok();
    let passkey_origin = site.map(|site| site.origin.clone());
    Json(SignInWays { passkey_origin, provider: identities::shown(&app) })
}

/// Asks a browser to sign in with a passkey.
pub(crate) async fn request(State(app): State<Arc<App>>) -> HandlerResult<Json<PasskeyRequest>> {
    let site = site(&app)?.id.clone();
    let challenge = app.passkeys.challenges.issue(Purpose::SignIn, Instant::now());
    Ok(Json(PasskeyRequest { challenge, site }))
}

pub(crate) async fn sign_in(
    State(app): State<Arc<App>>,
    Extension(client): Extension<ClientAddress>,
    prefix: Option<Extension<UsedPrefix>>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult<Response> {
    let site = site(&app)?;
    let body: PasskeySignIn = read(&headers, &body)?;
    let passkey = app.driver.store.find_passkey(&bytes(&body.credential)?).await?;
    let name = passkey.as_ref().map_or(UNKNOWN, |passkey| &passkey.user.name);
    let device = device_of(&app, &headers, passkey.as_ref().map(|passkey| &passkey.user));
    let attempt = Attempt { address: client.0, name, device };
    // Nobody guesses a signature, so nobody has to wait: the limit is for the work and the log.
    admit_attempt(&app, &attempt)?;
    let text = "the server does not know this passkey; it may have been removed";
    let Some(passkey) = &passkey else { return Err(refused(text)) };
    let assertion = Assertion {
        client_data: bytes(&body.client_data)?,
        authenticator_data: bytes(&body.authenticator_data)?,
        signature: bytes(&body.signature)?,
        handle: bytes(&body.user_handle)?,
    };
    let challenges = &app.passkeys.challenges;
    let number_of = |text: &str| challenges.number_of(text, Purpose::SignIn, Instant::now());
    let asserted = assert(site, passkey.known(), &assertion, number_of);
    let asserted = asserted.and_then(|asserted: Asserted| {
        let is_new = challenges.spend(Spender::Passkey(passkey.id), asserted.challenge);
        if is_new { Ok(asserted) } else { Err(Flaw::Replay) }
    });
    let store = &app.driver.store;
    let asserted = match asserted {
        Ok(asserted) => asserted,
        Err(flaw) => {
            store.note_refused_passkey(&passkey.user.name, client.0).await;
            return Err(refused(flaw.to_string()));
        }
    };
    match store.use_passkey(passkey, asserted.counter, client.0).await? {
        PasskeyUse::Counted => {}
        PasskeyUse::Removed => return Err(refused(text)),
        PasskeyUse::Copied => {
            let text = "the passkey may have been copied: sign in with the password, and remove it";
            return Err(refused(text));
        }
    }
    throttle(&app).forgive(&attempt);
    let means = Means::Passkey(passkey.id);
    respond_signed_in(&app, &passkey.user, means, client, &headers, prefix).await
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
) -> HandlerResult<Json<PasskeyList>> {
    let user = own_user(&admitted)?;
    let passkeys = app.driver.store.passkeys(user).await?;
    let site = &app.passkeys.site;
    let origin = site.as_ref().ok().map(|site| site.origin.clone());
    let unavailable = site.as_ref().err().map(NoSite::to_string);
    Ok(Json(PasskeyList { passkeys, origin, unavailable }))
}

/// Asks the browser of a user, who has proved again who it is, to make a passkey.
pub(crate) async fn begin(
    State(app): State<Arc<App>>,
    Extension(client): Extension<ClientAddress>,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult<Json<PasskeyCreation>> {
    own_user(&admitted)?;
    let site = site(&app)?;
    let proof: OwnProof = read(&headers, &body)?;
    let user = prove_own(&app, client, &admitted, &headers, proof).await?;
    let store = &app.driver.store;
    let handle = store.passkey_handle(user.id).await?;
    let exclude = store.credentials_of(user.id).await?;
    let credential = admitted.principal()?.credential();
    let purpose = Purpose::Add { user: user.id, credential };
    Ok(Json(PasskeyCreation {
        challenge: app.passkeys.challenges.issue(purpose, Instant::now()),
        site: site.id.clone(),
        user_handle: URL_SAFE_NO_PAD.encode(handle),
        user_name: user.name,
        algorithms: ALGORITHMS.to_vec(),
        exclude: exclude.iter().map(|id| URL_SAFE_NO_PAD.encode(id)).collect(),
    }))
}

pub(crate) async fn add(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    headers: HeaderMap,
    body: Bytes,
) -> HandlerResult<Json<PasskeyInfo>> {
    let user = own_user(&admitted)?;
    let site = site(&app)?;
    let NewPasskey { name, client_data, attestation } = read(&headers, &body)?;
    let name = check_name(&name)?;
    let own = admitted.principal()?;
    let challenges = &app.passkeys.challenges;
    let purpose = Purpose::Add { user, credential: own.credential() };
    let number_of = |text: &str| challenges.number_of(text, purpose, Instant::now());
    let new = register(site, &bytes(&client_data)?, &bytes(&attestation)?, number_of);
    let new = new.and_then(|new| {
        let is_new = challenges.spend(Spender::User(user), new.challenge);
        if is_new { Ok(new) } else { Err(Flaw::Replay) }
    });
    let unprocessable = |flaw: Flaw| {
        Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, format!("no passkey was added: {flaw}"))
    };
    let new = new.map_err(unprocessable)?;
    let conflict = |text| Err(Refusal::new(StatusCode::CONFLICT, text));
    match app.driver.store.add_passkey(own, user, &name, &new).await? {
        Addition::Added(added) => Ok(Json(added)),
        Addition::TooMany => conflict("you have 16 passkeys: remove one that you no longer need"),
        Addition::Known => conflict("the server has this passkey already"),
    }
}

pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    Extension(admitted): Extension<Admitted>,
    passkey: Result<extract::Path<i64>, PathRejection>,
) -> HandlerResult<Json<Removed>> {
    let user = own_user(&admitted)?;
    let missing = || not_found("you have no such passkey");
    let extract::Path(passkey) = passkey.map_err(|_| missing())?;
    let store = &app.driver.store;
    let removal = store.remove_passkey(admitted.principal()?, user, passkey).await?;
    Ok(Json(app.driver.end_removed(removal.ok_or_else(missing)?)))
}

/// Returns the site that passkeys belong to.
fn site(app: &App) -> HandlerResult<&Site> {
    let conflict = |why: &NoSite| Refusal::new(StatusCode::CONFLICT, why.to_string());
    app.passkeys.site.as_ref().map_err(conflict)
}

fn bytes(text: &str) -> HandlerResult<Vec<u8>> {
    let text = text.trim_end_matches('=');
    URL_SAFE_NO_PAD.decode(text).map_err(|_| {
        Refusal::new(StatusCode::BAD_REQUEST, "the body is not valid: bytes are in base64url")
    })
}

fn refused(text: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, text)
}
