//! Porthole: your own camera cloud without the cloud.

#![allow(unreachable_pub, reason = "a program has no callers; `pub` says what a module offers")]

mod admin;
mod cli;
mod config;
mod data;
mod gateway;
mod netcheck;
mod say;
mod shutdown;
mod signaling;
mod turn;
mod up;

use cli::{Cli, Command};
use config::Loaded;
use std::{process::ExitCode, sync::Arc};
use turn::ReadAgain;

/// Gives memory back when many sessions have ended, wherever it lay; the system's keeps most of it.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Arc::new(Cli::from_command_line());
    say::start_logging();
    match prepare(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => say::failure(&error),
    }
}

fn prepare(cli: &Arc<Cli>) -> anyhow::Result<()> {
    let loaded = load(cli)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(cli, loaded))
}

fn load(cli: &Cli) -> Result<Loaded, config::Error> {
    config::load(cli.config.as_deref(), |tree| cli.command.configure(tree))
}

async fn run(cli: &Arc<Cli>, Loaded { config, file }: Loaded) -> anyhow::Result<()> {
    let again = Arc::clone(cli);
    let read_again: ReadAgain = Arc::new(move || Ok(load(&again)?.config));
    match &cli.command {
        Command::Up(_) => up::run(&config, read_again).await,
        Command::Gateway(_) => gateway::run(&config).await,
        Command::Signaling(_) => signaling::run(&config).await,
        Command::Turn(_) => turn::run(&config, read_again).await,
        Command::Netcheck(flags) => netcheck::run(flags).await,
        Command::Token(cli::Token::Create(flags)) => admin::create_token(&config, flags).await,
        Command::Claim(cli::Claim::Create(_)) => admin::create_claim(&config).await,
        Command::Config(cli::Config::Check(_)) => say::checked(file.as_deref()),
        Command::Config(cli::Config::Show(_)) => say::line(toml::to_string(&config)?.trim_end()),
    }
}
