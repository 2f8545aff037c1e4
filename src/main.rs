//! Porthole: your own camera cloud without the cloud.

#![allow(unreachable_pub, reason = "`pub` marks the interface of a module of the program")]

mod admin;
mod admin_api;
mod authorities;
mod backup;
mod bench;
mod cameras;
mod cli;
mod config;
mod console;
mod data;
mod doctor;
mod gateway;
mod health;
mod import;
mod netcheck;
mod open_files;
mod public;
mod reload;
mod server_authority;
mod service;
mod service_manager;
mod shutdown;
mod signaling;
mod turn;
mod turn_servers;
mod up;

use std::process::ExitCode;
use std::sync::Arc;

use cli::{Cli, Command};
use config::Loaded;
use reload::Loader;

/// Returns memory to the system when many sessions have ended, unlike the system's allocator, which
/// keeps most of it.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Arc::new(Cli::from_command_line());
    admin_api::note_start();
    if let Some(format) = cli.log_format {
        console::choose_log_format(format);
    }
    match prepare(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => console::print_failure(&error),
    }
}

fn prepare(cli: &Arc<Cli>) -> anyhow::Result<()> {
    if matches!(cli.command, Command::Config(cli::Config::Check(_)))
        && let Err(errors) = config::check(cli.config.as_deref(), |tree| cli.configure(tree))
    {
        return Err(config::AllErrors(errors).into());
    }
    if matches!(cli.command, Command::Config(cli::Config::Schema)) {
        return console::print_line(serde_json::to_string_pretty(&config::schema())?);
    }
    if let Command::Bench(bench) = &cli.command {
        return bench::run(bench);
    }
    if let Some(service) = cli.command.service() {
        return service::install(cli, service);
    }
    let loaded = load(cli)?;
    console::start_logging(loaded.config.log_format);
    if !porthole_names::use_files_and_dns() {
        tracing::warn!("names are looked up with the modules of this machine");
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(cli, loaded))
}

fn load(cli: &Cli) -> Result<Loaded, config::Error> {
    config::load(cli.config.as_deref(), |tree| cli.configure(tree))
}

async fn run(cli: &Arc<Cli>, loaded: Loaded) -> anyhow::Result<()> {
    let source = {
        let cli = Arc::clone(cli);
        Loader::new(&loaded, move || {
            reload::check_can_change(cli.config.as_deref())?;
            Ok(load(&cli)?)
        })
    };
    let Loaded { config, file, origins, .. } = loaded;
    if cli.command.shows_password() {
        console::warn_of_password();
    }
    let readable = data::readable_secrets(&config, file.as_deref());
    if !matches!(cli.command, Command::Config(_) | Command::Doctor(_) | Command::Health(_)) {
        console::warn_of_readable(&readable);
    }
    match &cli.command {
        Command::Up(_) => up::run(&config, source).await,
        Command::Gateway(cli::Gateway { manage: Some(manage), .. }) => {
            admin::gateways(&config, manage).await
        }
        Command::Gateway(_) => gateway::run(&config, source).await,
        Command::Signaling(_) => signaling::run(&config, source).await,
        Command::Turn(_) => turn::run(&config, source).await,
        Command::Netcheck(flags) => netcheck::run(flags).await,
        Command::Doctor(flags) => doctor::run(&config, file.as_deref(), flags).await,
        Command::Health(flags) => health::run(&config, flags).await,
        Command::Discover(flags) => cameras::discover(flags).await,
        Command::Probe(flags) => cameras::probe(flags).await,
        Command::Import(flags) => import::run(&config, flags),
        Command::Token(command) => admin::token(&config, command).await,
        Command::Claim(command) => admin::claim(&config, command).await,
        Command::Invite(command) => admin::invite(&config, command).await,
        Command::Share(command) => admin::share::run(&config, command).await,
        Command::User(command) => admin::user(&config, command).await,
        Command::Backup(flags) => backup::backup(&config, file.as_deref(), flags).await,
        Command::Restore(flags) => backup::restore(&config, flags),
        Command::Audit(_) => admin::audit(&config).await,
        Command::Config(cli::Config::Check(_)) => {
            public::check_own_ca(&config)?;
            console::print_valid(file.as_deref(), &readable)
        }
        // Handled before the configuration was loaded.
        Command::Bench(_) | Command::Config(cli::Config::Schema) => Ok(()),
        Command::Config(cli::Config::Show(_)) => {
            console::print_line(config::shown(&config, &origins)?.trim())
        }
    }
}
