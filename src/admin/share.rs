//! The command on links with which anybody watches cameras without signing in.

use porthole_signaling::admin;
use porthole_signaling_proto::CameraAddress;
use porthole_signaling_proto::rest;

use crate::admin::table::{Row, ago, print_table, rate, until};
use crate::admin::{print_link, print_removed};
use crate::cameras::password;
use crate::cli::{NewShare, Share};
use crate::config::Config;
use crate::data;

/// Runs `porthole share`.
pub async fn run(config: &Config, command: &Share) -> anyhow::Result<()> {
    data::prepare(&config.data)?;
    match command {
        Share::Create(flags) => {
            let link = admin::share(&config.data, new_share(flags)?).await?;
            print_link(config, &link.path)
        }
        Share::List(_) => {
            let shares = admin::shares(&config.data).await?;
            let names = [
                "NUMBER",
                "NAME",
                "CAMERAS",
                "MADE FOR",
                "GIVEN BY",
                "LAST USED",
                "ENDS",
                "AT MOST",
            ];
            print_table(names, shares.iter().map(row))
        }
        Share::Revoke(flags) => {
            print_removed(admin::revoke_share(&config.data, flags.share).await?)
        }
    }
}

fn new_share(flags: &NewShare) -> anyhow::Result<rest::NewShare> {
    let listen = flags.listen;
    let shared = |camera: &CameraAddress| rest::SharedCamera { camera: camera.clone(), listen };
    let file = flags.password_file.as_deref();
    let password = file.map(|file| password::read(&flags.name, Some(file), "")).transpose()?;
    Ok(rest::NewShare {
        name: flags.name.clone(),
        cameras: flags.cameras.iter().map(shared).collect(),
        expires_in_seconds: flags.expires.map(|expires| expires.seconds),
        password,
        max_kbit_per_s: flags.max_kbit_per_s,
        kiosk: flags.kiosk,
    })
}

fn row(share: &rest::ShareInfo) -> Row<8> {
    let cameras: Vec<_> = share.cameras.iter().map(|shared| shared.camera.to_string()).collect();
    let made_for = match (share.kiosk, share.password) {
        (true, true) => "a screen, with a password",
        (true, false) => "a screen",
        (false, true) => "people, with a password",
        (false, false) => "people",
    };
    [
        share.id.to_string(),
        share.name.clone(),
        cameras.join(" "),
        made_for.to_owned(),
        share.giver.clone().unwrap_or_default(),
        ago(share.seen_s),
        until(Some(share.expires_s)),
        rate(share.max_kbit_per_s),
    ]
}
