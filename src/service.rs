//! `--service`: a command line becomes the configuration of a service of the packages, which runs
//! from then on.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use porthole_signaling::admin;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::cli::{Cli, Service};
use crate::config::{Config, Gateway, of_text, with_flags};
use crate::{console, data, doctor, public, signaling, turn};

/// The configuration of the services.
const FILE: &str = "/etc/porthole/porthole.toml";
/// The folders in which systemd finds services, of an administrator and of packages.
const UNIT_FOLDERS: [&str; 3] =
    ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
/// The file in which the kernel has the name of this machine, and names that say nothing.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";
const NO_NAMES: [&str; 2] = ["(none)", "localhost"];
/// Time for the start of the server on a slow machine.
const SERVE_TIME: Duration = Duration::from_secs(60);
/// Time for the first certificate. An order takes some seconds; one that fails is tried again only
/// after minutes.
const CERTIFICATE_TIME: Duration = Duration::from_secs(90);
/// Time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::Server => "porthole",
            Self::Gateway => "porthole-gateway",
        }
    }

    /// Returns the data folder, as the unit has it.
    fn data(self) -> PathBuf {
        Path::new("/var/lib").join(self.name())
    }

    fn command(self) -> &'static str {
        match self {
            Self::Server => "up",
            Self::Gateway => "gateway",
        }
    }
}

/// Writes the flags into the configuration of the services, starts the service and has it started
/// with the machine, and says what comes next. A running service is started again.
///
/// # Errors
///
/// Fails, with nothing changed, if there is no such service here, if the configuration cannot be
/// changed, or if the server could not start with it; else if systemd cannot start the service, or
/// if it does not serve.
pub fn install(cli: &Cli, service: Service) -> anyhow::Result<()> {
    console::start_logging(cli.log_format.unwrap_or_default());
    porthole_names::use_files_and_dns();
    ensure_there_is(service)?;
    let file = Path::new(FILE);
    let text = read(file)?;
    let is_named =
        of_text(file, &text, |tree| cli.configure(tree))?.gateway.name != Gateway::default().name;
    let host_name = if is_named { None } else { host_name() };
    let text = with_flags(file, &text, |tree| {
        cli.configure(tree);
        tree.add_flag("--gateway-name", &["gateway", "name"], host_name.as_ref());
    })?;
    let mut config = of_text(file, &text, |_| {})?;
    config.data = service.data();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match service {
            Service::Server => {
                let config = complete(config).await?;
                start(service, file, &text)?;
                wait_until_it_serves(&config).await?;
                welcome(&config).await
            }
            Service::Gateway => {
                let server = config.gateway.server.context(
                    "the gateway has no server: give its URL with --server; *Add a gateway* in \
                     the dashboard shows the whole command",
                )?;
                start(service, file, &text)?;
                console::print_line(format_args!(
                    "The gateway runs as the service porthole-gateway, now and after each start of \
                     this machine.\nAdd its cameras at {server}; `journalctl -u porthole-gateway` \
                     shows what it does."
                ))
            }
        }
    })
}

/// Fails unless the service is one of this machine.
fn ensure_there_is(service: Service) -> anyhow::Result<()> {
    let unit = format!("{}.service", service.name());
    let is_here = UNIT_FOLDERS.iter().any(|folder| Path::new(folder).join(&unit).exists());
    ensure!(
        is_here,
        "this machine has no service {}: install the Debian package or run the install script \
         first, or leave --service out to run it here and now",
        service.name()
    );
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<String> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(denied(error, &format!("cannot read {}", file.display()))),
    }
}

/// Returns the name of this machine, by which its gateway is told from others.
fn host_name() -> Option<String> {
    let name = fs::read_to_string(HOST_NAME).ok()?.trim().to_owned();
    (!name.is_empty() && !NO_NAMES.contains(&name.as_str())).then_some(name)
}

/// Returns an error with what to do if only root may do it.
fn denied(error: std::io::Error, what: &str) -> anyhow::Error {
    let is_root_missing = error.kind() == ErrorKind::PermissionDenied;
    let advice =
        if is_root_missing { "; run this command as root, with sudo before it" } else { "" };
    anyhow::anyhow!("{what}: {error}{advice}")
}

/// Returns the configuration as the server completes it at its start.
async fn complete(config: Config) -> anyhow::Result<Config> {
    let config = turn::resolve_public_address(&public::with_turn(config)).await?;
    public::with_address(config).await
}

/// Writes the configuration, and has systemd start the service.
fn start(service: Service, file: &Path, text: &str) -> anyhow::Result<()> {
    let written = file.parent().map_or(Ok(()), fs::create_dir_all);
    let written = written.and_then(|()| data::write_secret(file, text.as_bytes()));
    written.map_err(|error| denied(error, &format!("cannot write {}", file.display())))?;
    let name = service.name();
    systemctl(service, &["--quiet", "enable", name])?;
    systemctl(service, &["restart", name])
}

fn systemctl(service: Service, arguments: &[&str]) -> anyhow::Result<()> {
    let (name, line) = (service.name(), arguments.join(" "));
    let output = match Command::new("systemctl").args(arguments).output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "this machine has no systemd: the settings are in {FILE}; let whatever starts programs \
             here run `porthole {} --config {FILE}`",
            service.command()
        ),
        Err(error) => return Err(error).context("cannot run systemctl"),
    };
    let errors = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
    ensure!(
        output.status.success(),
        "`systemctl {line}` failed: {errors}; the settings are in {FILE}, and \
         `journalctl -u {name}` says more"
    );
    Ok(())
}

/// Waits until the server answers, and has a certificate if one is to come by itself.
async fn wait_until_it_serves(config: &Config) -> anyhow::Result<()> {
    let address = doctor::reachable(config.signaling.http);
    let end = Instant::now() + SERVE_TIME;
    while !is_healthy(address).await {
        ensure!(
            Instant::now() < end,
            "the server does not answer at {address}: `journalctl -u porthole` says why"
        );
        sleep(LOOK_INTERVAL).await;
    }
    let public = &config.public;
    if public.listen.is_empty() || public.certificate.is_some() || public.own_ca {
        return Ok(());
    }
    let certificate = public::acme_certificate(&config.data);
    if !certificate.exists() {
        console::print_progress("waiting for the certificate");
    }
    let end = Instant::now() + CERTIFICATE_TIME;
    while !certificate.exists() {
        if Instant::now() >= end {
            console::print_progress(
                "there is no certificate yet, so that browsers cannot connect: `journalctl -u \
                 porthole` says why, and when the next try is",
            );
            break;
        }
        sleep(LOOK_INTERVAL).await;
    }
    Ok(())
}

async fn is_healthy(address: std::net::SocketAddr) -> bool {
    match TcpStream::connect(address).await {
        Ok(stream) => doctor::ask_health(stream).await.is_ok(),
        Err(_) => false,
    }
}

/// Prints the address of the dashboard, with a setup link as long as nobody has used one.
async fn welcome(config: &Config) -> anyhow::Result<()> {
    let address = signaling::dashboard_url(config);
    let path = admin::create_setup_path(&config.data).await?;
    let link = path.map(|path| format!("{address}{path}"));
    console::print_welcome(&address, link.as_deref())
}
