//! `porthole token create` and `porthole claim create`: they write to the database, also while
//! the server runs, and print nothing but what they made.

use crate::{
    cli::{NewToken, Role},
    config::Config,
    data, say,
};
use porthole_signaling::admin;
use porthole_signaling_proto::rest;

/// Makes a token.
pub async fn create_token(config: &Config, flags: &NewToken) -> anyhow::Result<()> {
    data::prepare(&config.data)?;
    let new = rest::NewToken {
        name: flags.name.clone(),
        role: match flags.role {
            Role::Viewer => rest::Role::Viewer,
            Role::Admin => rest::Role::Admin,
        },
        cameras: flags.cameras.clone(),
        expires_in_seconds: flags.expires.map(|expires| expires.seconds),
    };
    say::line(admin::create_token(&config.data, new).await?.token)
}

/// Makes a claim code.
pub async fn create_claim(config: &Config) -> anyhow::Result<()> {
    data::prepare(&config.data)?;
    say::line(admin::create_claim(&config.data).await?.code)
}
