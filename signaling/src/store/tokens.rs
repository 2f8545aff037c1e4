//! API tokens for scripts and players.

use porthole_signaling_core::{Everything, Granted, Identity, Objects, Principal};
use porthole_signaling_proto::rest::{NewToken, Role, Token};
use porthole_signaling_proto::{CameraAddress, CameraId, GatewayId};
use sqlx::Row as _;

use super::users::role;
use super::{Store, StoreError, Write, seconds, unix_s};
use crate::secret;

/// The most gateways that the refusal of a token names.
const MAX_NAMED: u32 = 8;

/// The result of looking up a token.
#[derive(Debug)]
pub(crate) enum TokenLookup {
    Valid(Principal),
    Expired,
    Unknown,
}

/// An error when creating a token. Each sentence says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The database could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
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

impl From<sqlx::Error> for TokenError {
    fn from(error: sqlx::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl Store {
    /// Creates a token. Each camera that it is limited to is bound to one gateway.
    pub(crate) async fn create_token(
        &self,
        _: &Granted<Everything>,
        new: &NewToken,
    ) -> Result<Token, TokenError> {
        let token = secret::new_token();
        let now = unix_s();
        let expires_s = new.expires_in_seconds.map(|time| seconds(now + u64::from(time)));
        let mut write = self.begin().await?;
        let id = sqlx::query(
            "INSERT INTO tokens (hash, name, role, limited, control, listen, created_s, expires_s) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(secret::hash(&token))
        .bind(&new.name)
        .bind(match new.role {
            Role::Admin => "admin",
            Role::Viewer => "viewer",
        })
        .bind(!new.cameras.is_empty())
        .bind(new.control)
        .bind(new.listen)
        .bind(seconds(now))
        .bind(expires_s)
        .execute(write.db())
        .await?
        .last_insert_rowid();
        for address in &new.cameras {
            let gateway = gateway_of(&mut write, address).await?;
            sqlx::query(
                "INSERT OR IGNORE INTO token_cameras (token_id, camera_id, gateway_id) \
                 VALUES (?, ?, ?)",
            )
            .bind(id)
            .bind(address.camera.as_str())
            .bind(gateway)
            .execute(write.db())
            .await?;
        }
        write.commit().await?;
        Ok(Token { token })
    }

    pub(crate) async fn find_token(&self, token: &str) -> Result<TokenLookup, StoreError> {
        let query = "SELECT id, name, role, limited, control, listen, expires_s FROM tokens \
                     WHERE hash = ?";
        let query = sqlx::query(query).bind(secret::hash(token));
        let row = query.fetch_optional(&self.read).await?;
        let Some(row) = row else { return Ok(TokenLookup::Unknown) };
        let id: i64 = row.try_get("id")?;
        let expires_s: Option<i64> = row.try_get("expires_s")?;
        let limited: bool = row.try_get("limited")?;
        let objects = if limited { self.token_cameras(id).await? } else { Objects::All };
        let identity = Identity {
            subject: format!("token:{id}"),
            credential: format!("token:{id}"),
            name: row.try_get("name")?,
        };
        let expires_s = expires_s.and_then(|end| u64::try_from(end).ok());
        let mut principal =
            Principal::new(identity, role(row.try_get("role")?), objects, expires_s);
        if row.try_get("control")? {
            principal = principal.with_control();
        }
        if !row.try_get::<bool, _>("listen")? {
            principal = principal.without_listening();
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
