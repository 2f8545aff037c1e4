//! Porthole: your own camera cloud without the cloud.

#![allow(unreachable_pub, reason = "a program has no callers; `pub` says what a module offers")]

mod cli;
mod config;
mod say;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    say::start_logging();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => say::failure(&error),
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let config::Loaded { config, file } =
        config::load(cli.config.as_deref(), |tree| cli.command.configure(tree))?;
    match &cli.command {
        Command::Config(cli::Config::Check(_)) => say::checked(file.as_deref()),
        Command::Config(cli::Config::Show(_)) => say::line(toml::to_string(&config)?.trim_end()),
        _ => anyhow::bail!("not there yet"),
    }
}
