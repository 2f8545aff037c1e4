//! Porthole: your own camera cloud without the cloud.

#![allow(unreachable_pub, reason = "a program has no callers; `pub` says what a module offers")]

mod cli;
mod config;
mod data;
mod netcheck;
mod say;

use clap::Parser;
use cli::{Cli, Command};
use config::Loaded;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    say::start_logging();
    match prepare(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => say::failure(&error),
    }
}

fn prepare(cli: &Cli) -> anyhow::Result<()> {
    let loaded = config::load(cli.config.as_deref(), |tree| cli.command.configure(tree))?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(cli, loaded))
}

async fn run(cli: &Cli, Loaded { config, file }: Loaded) -> anyhow::Result<()> {
    match &cli.command {
        Command::Netcheck(flags) => netcheck::run(flags).await,
        Command::Config(cli::Config::Check(_)) => say::checked(file.as_deref()),
        Command::Config(cli::Config::Show(_)) => say::line(toml::to_string(&config)?.trim_end()),
        Command::Up(_) => {
            data::prepare(&config.data)?;
            data::turn_secret(&config.data)?;
            Ok(())
        }
        _ => anyhow::bail!("not there yet"),
    }
}
