//! The bundle: everything that helps somebody else to help, without secrets.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;

use super::finding::Report;
use crate::config::Config;

/// Readable by its owner only: it names cameras and addresses.
const MODE: u32 = 0o600;
/// Files of the kernel about the machine.
const FACTS: [&str; 6] = [
    "/proc/version",
    "/etc/os-release",
    "/proc/meminfo",
    "/proc/loadavg",
    "/proc/net/sockstat",
    "/proc/net/snmp",
];
/// Limit of what is taken of each.
const MAX_FACT_BYTES: usize = 16 * 1024;

/// Writes the bundle to a file that does not exist yet.
///
/// # Errors
///
/// Fails if the file exists or cannot be written.
pub(super) fn write(path: &Path, config: &Config, report: &Report) -> anyhow::Result<()> {
    let text = text(config, report)?;
    let cannot = || format!("cannot write the bundle to {}", path.display());
    let opened = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path);
    let mut file = opened.with_context(cannot)?;
    file.write_all(text.as_bytes()).with_context(cannot)
}

/// Returns the text, in which passwords, tokens and secrets are replaced: a [`Config`] never writes
/// them.
fn text(config: &Config, report: &Report) -> anyhow::Result<String> {
    let mut parts = vec![
        ("report".to_owned(), report.to_string()),
        ("configuration".to_owned(), without_users(&toml::to_string(config)?)),
        ("addresses".to_owned(), addresses()),
    ];
    for path in FACTS {
        let Ok(bytes) = std::fs::read(path) else { continue };
        let bytes = bytes.get(..bytes.len().min(MAX_FACT_BYTES)).unwrap_or_default();
        parts.push((path.to_owned(), String::from_utf8_lossy(bytes).into_owned()));
    }
    let parts: Vec<_> =
        parts.iter().map(|(name, text)| format!("== {name}\n\n{}\n", text.trim_end())).collect();
    Ok(parts.join("\n"))
}

/// Replaces user and password in URLs of keys that are not known to have them.
fn without_users(text: &str) -> String {
    let masked = text.lines().map(|line| {
        let Some((start, rest)) = line.split_once("://") else { return line.to_owned() };
        let authority = rest.split(['/', '"', '?', '#']).next().unwrap_or_default();
        match authority.rsplit_once('@') {
            Some((user, _)) => {
                let after = rest.get(user.len()..).unwrap_or_default();
                format!("{start}://***{after}")
            }
            None => line.to_owned(),
        }
    });
    masked.collect::<Vec<_>>().join("\n")
}

fn addresses() -> String {
    let found = if_addrs::get_if_addrs().unwrap_or_default();
    let lines: Vec<_> = found.iter().map(|one| format!("{} {}", one.name, one.ip())).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::DoctorRole;

    #[test]
    fn a_bundle_has_no_secret_and_overwrites_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.txt");
        let mut config = Config { data: folder.path().to_owned(), ..Config::default() };
        config.turn.secret = Some("s3cret".to_owned().into());
        config.turn.users.insert("ann".to_owned(), "s3cret".to_owned().into());
        config.turn.admin_token = Some("s3cret".to_owned().into());
        config.gateway.claim = Some("s3cret".to_owned().into());
        config.gateway.server = Some("https://me:s3cret@cams.example.org/".parse().unwrap());
        let source = "rtsp://admin:s3cret@192.0.2.7/1?password=s3cret".to_owned();
        let camera = toml::from_str(&format!("source = {source:?}")).unwrap();
        config.camera.insert("yard".parse().unwrap(), camera);
        let report = Report::new(DoctorRole::Up, Vec::new());
        write(&path, &config, &report).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("== configuration") && text.contains("192.0.2.7"), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
        let error = write(&path, &config, &report).unwrap_err().to_string();
        assert!(error.starts_with("cannot write the bundle"), "{error}");
    }
}
