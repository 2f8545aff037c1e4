//! API tokens for scripts and players.

use std::collections::BTreeSet;
use std::time::Duration;

use porthole_signaling_core::{
    Access, Admitted, Expiry, Granted, Identity, NotGiven, Objects, Principal, RateCap,
};
use porthole_signaling_proto::rest::{AuditKind, MAX_KBIT_PER_S, NewToken, Role, Scope, Token};
use porthole_signaling_proto::{CameraAddress, CameraId, GatewayId};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::audit::Event;
use super::people::role_name;
use super::users::{CREDENTIAL, cookie_id, role};
use super::{Store, StoreError, Write, seconds, unix_s};
use crate::driver::now;
use crate::secret;
use crate::share_token::ShareToken;

/// The most gateways that the refusal of a token names.
const MAX_NAMED: u32 = 8;
/// The most tokens of a server.
const MAX_TOKENS: i64 = 4096;
/// The most tokens that one token with limits and those after it have given.
const MAX_GIVEN: i64 = 64;
/// The condition on a row of `tokens` that the token has limits: all but an administrator's of the
/// whole server, which is trusted as a person is.
pub(super) const HAS_LIMITS: &str = "(role <> 'admin' OR limited = 1 OR scopes IS NOT NULL)";
/// The columns of a row of `tokens` with the first token that has a limit among those that it comes
/// from, itself included, and with the limit of that one.
pub(super) const SHARED_CAP: &str = "tokens.capped_as AS capped_as, \
    (SELECT first.max_kbit_per_s FROM tokens AS first WHERE first.id = tokens.capped_as) \
    AS shared_kbit_per_s";
/// Time for which a token that has expired is kept, so that its holder can be told so.
const EXPIRED_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The result of looking up a token.
#[derive(Debug)]
pub(crate) enum TokenLookup {
    Valid(Principal),
    Expired,
    /// The secret of a link without the proof of the link's password.
    Locked,
    Unknown,
}

/// An error when creating a token. Each sentence says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The database could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The giver has less than it wants to give.
    #[error(transparent)]
    NotGiven(#[from] NotGiven),
    /// The number of tokens is at its limit.
    #[error(
        "there are 4096 access tokens, or 64 that one token with scopes or cameras and those after \
         it have given: revoke some that are no longer needed"
    )]
    TooMany,
    /// The number of claim codes is at its limit.
    #[error(
        "64 claim codes of one user or token wait for a gateway, or 256 in all: revoke some, or \
         wait an hour"
    )]
    TooManyClaims,
    /// The token was to be an owner's.
    #[error("a token cannot own the server: only people can, who sign in")]
    Owner,
    /// A viewer's token was to have scopes.
    #[error("scopes are parts of what an administrator may do: give the token the role admin")]
    ScopesOfViewer,
    /// The token was to have a list of scopes without any in it.
    #[error("a token needs at least one scope; without a list of scopes it has all")]
    NoScopes,
    /// The limit of what is sent was to be too small, or too large.
    #[error("a limit of what is sent is 64 to 1000000 kbit/s; leave it out to have none")]
    Cap,
    /// The token was to have this scope, which is for the whole server, on some cameras only.
    #[error("the scope `{0}` is for the whole server: leave it out, or the cameras")]
    ScopeOfCameras(Scope),
    /// No gateway has enrolled with the id in the address of a camera.
    #[error(
        "no gateway with the id `{0}` has enrolled: the log of a gateway and `/api/v1/gateways` \
         say what its id is"
    )]
    NoSuchGateway(GatewayId),
    /// No gateway has a camera with this id, and there is none yet that could get it.
    #[error(
        "nobody knows whose camera `{0}` is, because no gateway has enrolled: start the gateway \
         of the camera first"
    )]
    NoGateway(CameraId),
    /// No gateway has a camera with this id, and several could get it.
    #[error(
        "no gateway has a camera `{camera}`: correct the id or, if the camera will come later, \
         write `{camera}@GATEWAY` with the id of its gateway: {gateways}"
    )]
    NoSuchCamera {
        /// The id that was given.
        camera: CameraId,
        /// The ids and names of the gateways that have enrolled.
        gateways: String,
    },
}

impl TokenError {
    /// Separates the errors of the store, which are nobody's mistake, from the others.
    pub(super) fn into_store(self) -> Result<StoreError, Self> {
        match self {
            Self::Store(error) => Ok(error),
            Self::NotGiven(_)
            | Self::TooMany
            | Self::TooManyClaims
            | Self::Owner
            | Self::ScopesOfViewer
            | Self::NoScopes
            | Self::Cap
            | Self::ScopeOfCameras(_)
            | Self::NoSuchGateway(_)
            | Self::NoGateway(_)
            | Self::NoSuchCamera { .. } => Err(self),
        }
    }
}

impl From<sqlx::Error> for TokenError {
    fn from(error: sqlx::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl Store {
    /// Creates a token that gives no more than its giver has. Each camera that it is limited to is
    /// bound to one gateway.
    pub(crate) async fn create_token(
        &self,
        giver: &Admitted,
        new: &NewToken,
    ) -> Result<Token, TokenError> {
        if new.role == Role::Owner {
            return Err(TokenError::Owner);
        }
        check_cap(new.max_kbit_per_s)?;
        let scopes = scopes_of(new)?.or_else(|| all_of_giver(giver, new.role));
        let now = now();
        let mut write = self.begin().await?;
        let objects = match new.cameras.as_slice() {
            [] => Objects::All,
            cameras => cameras_of_gateways(&mut write, giver, cameras).await?,
        };
        let end_s = new.expires_in_seconds.map(|time| now.unix_s + u64::from(time));
        let access = Access {
            role: new.role,
            objects,
            control: new.control,
            listen: new.listen,
            scopes,
            expiry: end_s.into(),
            max_kbit_per_s: new.max_kbit_per_s,
        };
        let granted = giver.give(access, now)?;
        write.check_credential(granted.principal()).await?;
        write.check_room_for_token(granted.principal(), now.unix_s).await?;
        let token = insert_token(&mut write, &granted, &new.name, now.unix_s).await?;
        let (kind, what) = (AuditKind::TokenCreated, in_words(new));
        write.audit(&Event::by(granted.principal(), kind, what)).await?;
        write.commit().await?;
        Ok(Token { token })
    }

    /// Returns what a token gives, which may be the one of a link that shows cameras.
    pub(crate) async fn find_token(&self, token: &str) -> Result<TokenLookup, StoreError> {
        if let Some(share) = ShareToken::parse(token) {
            return self.find_share(&share).await;
        }
        let query = format!(
            "SELECT id, name, role, limited, control, listen, scopes, expires_s, first_of_chain, \
             counted_as, max_kbit_per_s, {SHARED_CAP} FROM tokens WHERE hash = ?"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(secret::hash(token));
        let row = query.fetch_optional(&self.read).await?;
        let Some(row) = row else { return Ok(TokenLookup::Unknown) };
        let id: i64 = row.try_get("id")?;
        let expires_s: Option<i64> = row.try_get("expires_s")?;
        let limited: bool = row.try_get("limited")?;
        let access = Access {
            role: role(row.try_get("role")?),
            objects: if limited { self.token_cameras(id).await? } else { Objects::All },
            control: row.try_get("control")?,
            listen: row.try_get("listen")?,
            scopes: scopes_in(&row)?.map(|scopes| scopes.into_iter().collect()),
            expiry: expires_s.and_then(|end| u64::try_from(end).ok()).into(),
            max_kbit_per_s: row.try_get("max_kbit_per_s")?,
        };
        let identity = Identity {
            subject: format!("token:{id}"),
            credential: format!("token:{id}"),
            name: row.try_get("name")?,
        };
        let mut principal = Principal::with_access(identity, &access);
        let other = |column| -> Result<Option<String>, StoreError> {
            let token: Option<i64> = row.try_get(column)?;
            Ok(token.filter(|token| *token != id).map(|token| format!("token:{token}")))
        };
        if let Some(token) = other("counted_as")? {
            principal = principal.counted_as(token);
        }
        if let Some(first) = other("first_of_chain")? {
            principal = principal.in_chain_of(first);
        }
        // Its own is in the access.
        if let Some(cap) = shared_cap(&row)?.filter(|cap| cap.of != principal.credential()) {
            principal = principal.with_cap(cap);
        }
        if principal.is_expired(unix_s()) {
            return Ok(TokenLookup::Expired);
        }
        Ok(TokenLookup::Valid(principal))
    }

    /// Returns the number of rights to cameras that have no effect, because no gateway had the
    /// camera when rights were bound to gateways.
    pub(crate) async fn dormant_rights(&self) -> Result<i64, StoreError> {
        let query = "SELECT COUNT(*) AS dormant FROM token_cameras WHERE gateway_id IS NULL";
        Ok(sqlx::query(query).fetch_one(&self.read).await?.try_get("dormant")?)
    }

    async fn token_cameras(&self, id: i64) -> Result<Objects, StoreError> {
        let rows = sqlx::query(
            "SELECT gateway_id, camera_id FROM token_cameras \
             WHERE token_id = ? AND gateway_id IS NOT NULL",
        )
        .bind(id)
        .fetch_all(&self.read)
        .await?;
        let mut cameras = Vec::<(GatewayId, CameraId)>::new();
        for row in rows {
            let gateway: String = row.try_get("gateway_id")?;
            let camera: String = row.try_get("camera_id")?;
            cameras.extend(gateway.parse().ok().zip(camera.parse().ok()));
        }
        Ok(cameras.into_iter().collect())
    }
}

impl Write {
    /// Refuses somebody whose credential was revoked after the request was authenticated, or whose
    /// rights have changed since.
    pub(super) async fn check_credential(&mut self, actor: &Principal) -> Result<(), StoreError> {
        let credential = actor.credential();
        let found = if let Some(id) = credential.strip_prefix("token:") {
            sqlx::query("SELECT 1 FROM tokens WHERE id = CAST(? AS INTEGER)").bind(id.to_owned())
        } else if let Some(id) = cookie_id(credential) {
            let query = format!(
                "SELECT 1 FROM browser_sessions WHERE lower(hex(substr(hash, 1, 8))) = ?1 \
                 AND {CREDENTIAL} = ?2"
            );
            sqlx::query(sqlx::AssertSqlSafe(query)).bind(id.to_owned()).bind(credential.to_owned())
        } else {
            // The operator's right is the data folder itself.
            return Ok(());
        };
        match found.fetch_optional(self.db()).await? {
            Some(_) => Ok(()),
            None => Err(StoreError::Revoked),
        }
    }
}

impl Write {
    /// Forgets tokens that expired long ago, and refuses more than there may be.
    async fn check_room_for_token(
        &mut self,
        giver: &Principal,
        now_s: u64,
    ) -> Result<(), TokenError> {
        // What a token has given ends when it does, so that no chain is cut.
        let query = sqlx::query("DELETE FROM tokens WHERE expires_s <= ?");
        let long_ago = seconds(now_s.saturating_sub(EXPIRED_KEPT.as_secs()));
        query.bind(long_ago).execute(self.db()).await?;
        let query = "SELECT COUNT(*) AS tokens, \
                     COALESCE(SUM('token:' || counted_as = ?), 0) AS chain FROM tokens";
        let row = sqlx::query(query).bind(giver.account()).fetch_one(self.db()).await?;
        let (tokens, chain): (i64, i64) = (row.try_get("tokens")?, row.try_get("chain")?);
        // The first of the chain is in it, too.
        let is_full = tokens >= MAX_TOKENS || chain > MAX_GIVEN;
        if is_full { Err(TokenError::TooMany) } else { Ok(()) }
    }
}

/// Returns all scopes, if a token has each of them and gives an administrator's one without: a
/// scope that comes later is in none of the two.
fn all_of_giver(giver: &Admitted, role: Role) -> Option<BTreeSet<Scope>> {
    let scopes = giver.principal().ok()?.scopes()?;
    let has_all = Scope::ALL.iter().all(|scope| scopes.contains(scope));
    (role == Role::Admin && has_all).then(|| scopes.clone())
}

/// Returns the scopes of a new token; `None` if it has all.
fn scopes_of(new: &NewToken) -> Result<Option<BTreeSet<Scope>>, TokenError> {
    let Some(scopes) = &new.scopes else { return Ok(None) };
    if new.role == Role::Viewer {
        return Err(TokenError::ScopesOfViewer);
    }
    let scopes: BTreeSet<_> = scopes.iter().copied().collect();
    if scopes.is_empty() {
        return Err(TokenError::NoScopes);
    }
    let of_server = [Scope::Gateways, Scope::Audit].into_iter().find(|one| scopes.contains(one));
    match of_server {
        Some(scope) if !new.cameras.is_empty() => Err(TokenError::ScopeOfCameras(scope)),
        _ => Ok(Some(scopes)),
    }
}

/// Refuses a limit that is too small to see anything with, or larger than any line.
pub(super) fn check_cap(max_kbit_per_s: Option<u32>) -> Result<(), TokenError> {
    let is_fine = max_kbit_per_s.is_none_or(|cap| MAX_KBIT_PER_S.contains(&cap));
    if is_fine { Ok(()) } else { Err(TokenError::Cap) }
}

/// Reads the limit in a row with the columns [`SHARED_CAP`].
pub(super) fn shared_cap(row: &SqliteRow) -> Result<Option<RateCap>, sqlx::Error> {
    let token: Option<i64> = row.try_get("capped_as")?;
    let kbit_per_s: Option<u32> = row.try_get("shared_kbit_per_s")?;
    let cap = token.zip(kbit_per_s);
    Ok(cap.map(|(token, kbit_per_s)| RateCap { of: format!("token:{token}"), kbit_per_s }))
}

/// Returns the scopes in a row of `tokens`; `None` if the token has all. Those of a later version
/// are left out.
pub(super) fn scopes_in(row: &SqliteRow) -> Result<Option<Vec<Scope>>, sqlx::Error> {
    let names: Option<String> = row.try_get("scopes")?;
    let known = |names: String| names.split(' ').filter_map(|name| name.parse().ok()).collect();
    Ok(names.map(known))
}

/// Returns the names of scopes with a blank between two.
fn names(scopes: &BTreeSet<Scope>) -> String {
    scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(" ")
}

/// Returns the name of a new token and what it may do, for the audit log.
fn in_words(new: &NewToken) -> String {
    let NewToken { name, role, cameras, scopes, max_kbit_per_s, .. } = new;
    let mut words = role_name(*role).to_owned();
    if let Some(scopes) = scopes {
        words += ": ";
        words += &names(&scopes.iter().copied().collect());
    }
    match cameras.len() {
        0 => {}
        1 => words += ", 1 camera",
        count => words += &format!(", {count} cameras"),
    }
    if let Some(cap) = max_kbit_per_s {
        words += &format!(", at most {cap} kbit/s");
    }
    format!("{name} ({words})")
}

/// Writes down a token for access that was granted. Returns the token.
async fn insert_token(
    write: &mut Write,
    granted: &Granted<Access>,
    name: &str,
    now_s: u64,
) -> Result<String, StoreError> {
    let token = secret::new_token();
    let Access { role, objects, control, listen, scopes, expiry, max_kbit_per_s } =
        granted.object();
    let id = write.next_id("token").await?;
    let query = format!(
        "INSERT INTO tokens \
         (id, giver, first_of_chain, counted_as, capped_as, hash, name, role, limited, control, \
         listen, scopes, created_s, expires_s, max_kbit_per_s) \
         VALUES (?1, ?2, \
         COALESCE((SELECT first_of_chain FROM tokens WHERE 'token:' || id = ?2), ?1), \
         COALESCE((SELECT counted_as FROM tokens WHERE 'token:' || id = ?2 AND {HAS_LIMITS}), ?1), \
         COALESCE((SELECT capped_as FROM tokens WHERE 'token:' || id = ?2), \
         CASE WHEN ?12 IS NOT NULL THEN ?1 END), \
         ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(id)
        .bind(granted.principal().subject())
        .bind(secret::hash(&token))
        .bind(name)
        .bind(role_name(*role))
        .bind(*objects != Objects::All)
        .bind(control)
        .bind(listen)
        .bind(scopes.as_ref().map(names))
        .bind(seconds(now_s))
        .bind(match expiry {
            Expiry::At(end_s) => Some(seconds(*end_s)),
            Expiry::Never => None,
        })
        .bind(*max_kbit_per_s);
    query.execute(write.db()).await?;
    let Objects::Cameras(gateways) = objects else { return Ok(token) };
    for (gateway, cameras) in gateways {
        for camera in cameras {
            sqlx::query(
                "INSERT INTO token_cameras (token_id, camera_id, gateway_id) VALUES (?, ?, ?)",
            )
            .bind(id)
            .bind(camera.as_str())
            .bind(gateway.as_str())
            .execute(write.db())
            .await?;
        }
    }
    Ok(token)
}

/// Returns the cameras that these addresses mean, each of one gateway.
async fn cameras_of_gateways(
    write: &mut Write,
    giver: &Admitted,
    addresses: &[CameraAddress],
) -> Result<Objects, TokenError> {
    let mut cameras = Vec::new();
    for address in addresses {
        cameras.push((gateway_in(write, giver, address).await?, address.camera.clone()));
    }
    Ok(cameras.into_iter().collect())
}

/// Returns the gateway whose camera an address means. Whoever may not know that there is none is
/// told what they would be told of a camera that is not theirs.
pub(super) async fn gateway_in(
    write: &mut Write,
    giver: &Admitted,
    address: &CameraAddress,
) -> Result<GatewayId, TokenError> {
    let gateway = match gateway_of(write, address).await {
        Ok(gateway) => gateway,
        Err(TokenError::Store(error)) => return Err(error.into()),
        Err(error) => {
            giver.gives_on_everything(&address.camera)?;
            return Err(error);
        }
    };
    gateway.parse().map_err(|_| TokenError::NoGateway(address.camera.clone()))
}

/// Returns the id of the gateway whose camera an address means. It is the one in the address; else
/// the one that has got a camera with this id first; else the only one there is.
async fn gateway_of(write: &mut Write, address: &CameraAddress) -> Result<String, TokenError> {
    let CameraAddress { camera, gateway } = address;
    if let Some(gateway) = gateway {
        let known = sqlx::query("SELECT id FROM gateways WHERE id = ?").bind(gateway.as_str());
        let known = known.fetch_optional(write.db()).await?;
        let known = known.ok_or_else(|| TokenError::NoSuchGateway(gateway.clone()))?;
        return Ok(known.try_get("id")?);
    }
    // A sub stream is at the gateway of its camera.
    let main = camera.main_stream().unwrap_or_else(|| camera.clone());
    let first = sqlx::query(
        "SELECT gateway_id FROM cameras WHERE id IN (?, ?) ORDER BY place, gateway_id LIMIT 1",
    );
    let first = first.bind(camera.as_str()).bind(main.as_str());
    if let Some(first) = first.fetch_optional(write.db()).await? {
        return Ok(first.try_get("gateway_id")?);
    }
    let query = "SELECT id, name FROM gateways ORDER BY created_s, id LIMIT ?";
    let gateways = sqlx::query(query).bind(MAX_NAMED).fetch_all(write.db()).await?;
    match gateways.as_slice() {
        [] => Err(TokenError::NoGateway(camera.clone())),
        [only] => Ok(only.try_get("id")?),
        several => {
            let mut names = Vec::new();
            for gateway in several {
                let (id, name): (&str, &str) = (gateway.try_get("id")?, gateway.try_get("name")?);
                names.push(format!("{id} ({name})"));
            }
            let (camera, gateways) = (camera.clone(), names.join(", "));
            Err(TokenError::NoSuchCamera { camera, gateways })
        }
    }
}
