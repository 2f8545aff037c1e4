//! `porthole token create` and `porthole claim create`, which print only what they create. They may
//! write to the database while the server runs.

use porthole_signaling::admin;
use porthole_signaling_proto::rest;

use crate::cli::{NewToken, Role};
use crate::config::Config;
use crate::{console, data};

/// Creates an API token and prints it.
pub async fn create_token(config: &Config, flags: &NewToken) -> anyhow::Result<()> {
    data::prepare(&config.data)?;
    let new = rest::NewToken {
        name: flags.name.clone(),
        role: match flags.role {
            Role::Viewer => rest::Role::Viewer,
            Role::Admin => rest::Role::Admin,
        },
        cameras: flags.cameras.clone(),
        control: flags.control,
        listen: !flags.no_listen,
        expires_in_seconds: flags.expires.map(|expires| expires.seconds),
    };
    console::print_line(admin::create_token(&config.data, new).await?.token)
}

/// Creates a claim code and prints it.
pub async fn create_claim(config: &Config) -> anyhow::Result<()> {
    data::prepare(&config.data)?;
    console::print_line(admin::create_claim(&config.data).await?.code)
}
