//! The certificate of a server that no public authority can vouch for, because its names and
//! addresses are those of a local network: an authority of its own, made once, and certificates by
//! it. Both are files in the data folder.

mod authority;

use std::fs;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use porthole_turn_server::TlsFiles;
use tokio::time::sleep;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Host;

use super::certificate::Certificate;
use super::facts::Facts;
use super::now_s;
use crate::data;
use authority::Authority;

/// The folder in the data folder.
const FOLDER: &str = "own-ca";
/// Accessible to its owner only.
const FOLDER_MODE: u32 = 0o700;
/// The file with the authority and its key.
const AUTHORITY: &str = "authority.pem";
/// The file with the certificate, that of the authority, and the key.
const CERTIFICATE: &str = "certificate.pem";
/// The ending of the name of an authority that was replaced.
const KEPT: &str = "former.pem";
/// The files with secrets, as paths in the data folder.
pub const FILES: [&str; 2] = ["own-ca/authority.pem", "own-ca/certificate.pem"];

/// Time between two looks at the clock, which may be set, or stand still while the machine sleeps.
const PAUSE: Duration = Duration::from_secs(60 * 60);

/// Returns the file in a data folder with the certificate that the own authority has issued.
pub fn certificate_file(data: &Path) -> PathBuf {
    data.join(FOLDER).join(CERTIFICATE)
}

/// Returns the certificate of the authority in a data folder, if there is one.
///
/// # Errors
///
/// Fails if the file is there and cannot be read.
pub fn stored(data: &Path) -> anyhow::Result<Option<CertificateDer<'static>>> {
    let path = data.join(FOLDER).join(AUTHORITY);
    let unusable = || format!("cannot use the authority in {}", path.display());
    match fs::read(&path) {
        Ok(text) => CertificateDer::from_pem_slice(&text).map(Some).with_context(unusable),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(unusable),
    }
}

/// The owner of the authority, who keeps the certificate valid.
pub(super) struct Keeper {
    names: Vec<Host>,
    folder: PathBuf,
    authority: Authority,
    certificate: Arc<Certificate>,
}

impl Keeper {
    /// Opens the folder in the data folder. An authority is made if there is none, or if it ends
    /// soon; and a certificate if there is none that is good for these names.
    ///
    /// # Errors
    ///
    /// Fails if the authority cannot be read, is not for one of the names, or cannot be stored.
    pub(super) fn open(data: &Path, names: Vec<Host>, now_s: u64) -> anyhow::Result<Self> {
        let folder = data.join(FOLDER);
        let created = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&folder);
        created.with_context(|| format!("cannot create the folder {}", folder.display()))?;
        let authority = open_authority(&folder.join(AUTHORITY), &names, now_s)?;
        let certificate = Arc::new(Certificate::empty());
        let keeper = Self { names, folder, authority, certificate };
        if keeper.due_s(now_s) <= now_s {
            keeper.issue(now_s)?;
        }
        keeper.certificate.use_files(keeper.files())?;
        Ok(keeper)
    }

    pub(super) fn certificate(&self) -> Arc<Certificate> {
        Arc::clone(&self.certificate)
    }

    /// Returns the certificate of the authority.
    pub(super) fn authority(&self) -> CertificateDer<'static> {
        self.authority.der().clone()
    }

    /// Keeps the certificate valid until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = self.keep() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn keep(&self) {
        loop {
            sleep(PAUSE).await;
            self.renew_if_due(now_s());
        }
    }

    /// Renews the certificate if two thirds of its life are over.
    fn renew_if_due(&self, now_s: u64) {
        if self.due_s(now_s) > now_s {
            return;
        }
        if self.authority.is_spent(now_s) {
            warn!(
                "the server's own certificate authority ends within 90 days: restart Porthole, \
                 which makes another one, and trust that on each device"
            );
        }
        let renewed =
            self.issue(now_s).and_then(|()| Ok(self.certificate.use_files(self.files())?));
        match renewed {
            Ok(()) => info!("the public port has a new certificate of its own authority"),
            Err(error) => warn!("no new certificate for the public port: {error:#}"),
        }
    }

    /// Returns the time at which another certificate is needed, in seconds since 1970: at once if
    /// there is none that is good.
    fn due_s(&self, now_s: u64) -> u64 {
        let path = self.folder.join(CERTIFICATE);
        let Ok(text) = fs::read(path) else { return 0 };
        let certificate = CertificateDer::from_pem_slice(&text);
        let (Ok(certificate), Some(facts)) = (certificate, Facts::read(&text)) else { return 0 };
        let is_good = self.authority.check(&certificate, &self.names, now_s).is_ok();
        if is_good { facts.renewal_s() } else { 0 }
    }

    fn issue(&self, now_s: u64) -> anyhow::Result<()> {
        let path = self.folder.join(AUTHORITY);
        let issued = self.authority.issue(&self.names, now_s).with_context(|| {
            format!(
                "the server's own certificate authority in {} is not for all of public.names, or \
                 the clock of this machine is wrong: take the other names out, or set the clock; \
                 if you delete the file, another authority is made, which each device and gateway \
                 must trust again",
                path.display()
            )
        })?;
        let path = self.folder.join(CERTIFICATE);
        let written = data::write_secret(&path, issued.as_bytes());
        written.with_context(|| format!("cannot write {}", path.display()))
    }

    fn files(&self) -> TlsFiles {
        let path = self.folder.join(CERTIFICATE);
        TlsFiles { certificate: path.clone(), key: path }
    }
}

/// Reads the authority, or makes one. One that is damaged is not replaced, because each device
/// trusts it.
fn open_authority(path: &Path, names: &[Host], now_s: u64) -> anyhow::Result<Authority> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let found = Authority::from_pem(&text).with_context(|| {
                format!(
                    "{} is damaged: restore it from a backup, or delete it; then another authority \
                     is made, which each device and gateway must trust again",
                    path.display()
                )
            })?;
            if !found.is_spent(now_s) {
                return Ok(found);
            }
            // A clock that is ahead may be the reason.
            let kept = path.with_extension(KEPT);
            let renamed = fs::rename(path, &kept);
            renamed.with_context(|| format!("cannot keep {}", path.display()))?;
            warn!(
                "the server's own certificate authority ends soon: another one is made, which \
                 each device and gateway must trust; the former one is kept as {}",
                kept.display()
            );
        }
        Err(error) => {
            let is_absent = error.kind() == ErrorKind::NotFound;
            ensure!(is_absent, "cannot read {}: {error}", path.display());
        }
    }
    let made = Authority::make(names, now_s)?;
    let written = data::write_secret(path, made.to_pem().as_bytes());
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOW_S: u64 = 1_796_000_000;
    const DAY_S: u64 = 24 * 3600;
    const FORMER: &str = "authority.former.pem";

    fn hosts(names: &[&str]) -> Vec<Host> {
        names.iter().map(|name| Host::parse(name).unwrap()).collect()
    }

    fn chain(data: &Path) -> Vec<CertificateDer<'static>> {
        let chain = CertificateDer::pem_file_iter(certificate_file(data)).unwrap();
        chain.map(Result::unwrap).collect()
    }

    fn open(data: &Path, names: &[&str], now_s: u64) -> anyhow::Result<Keeper> {
        Keeper::open(data, hosts(names), now_s)
    }

    #[test]
    fn a_restart_keeps_the_authority_and_the_certificate_until_that_is_due_or_names_change() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        assert!(stored(data).unwrap().is_none());
        let authority = open(data, &["192.168.1.7"], NOW_S).unwrap().authority();
        assert_eq!(stored(data).unwrap(), Some(authority.clone()));
        let mut before = chain(data);
        assert_eq!(before[1], authority, "the chain has the authority");
        for (what, names, now_s, is_new) in [
            ("at once", &["192.168.1.7"][..], NOW_S, false),
            ("before two thirds", &["192.168.1.7"], NOW_S + 260 * DAY_S, false),
            ("another name", &["192.168.1.7", "cams.lan"], NOW_S + 260 * DAY_S, true),
            ("a name less", &["cams.lan"], NOW_S + 261 * DAY_S, false),
            ("after two thirds", &["cams.lan"], NOW_S + 530 * DAY_S, true),
            ("after its end", &["cams.lan"], NOW_S + 2000 * DAY_S, true),
        ] {
            let keeper = open(data, names, now_s).unwrap();
            assert_eq!(keeper.authority(), authority, "{what}");
            let after = chain(data);
            assert_eq!(after != before, is_new, "{what}");
            assert!(keeper.due_s(now_s) > now_s, "{what}");
            before = after;
        }
        for (path, mode) in [(FOLDER, 0o700), (FILES[0], 0o600), (FILES[1], 0o600)] {
            let found = fs::metadata(data.join(path)).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode, "{path}");
        }
    }

    #[test]
    fn a_running_server_renews_its_certificate_in_time_for_eight_years() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = open(folder.path(), &["cams.lan"], NOW_S).unwrap();
        let (mut renewals, mut before) = (0, chain(folder.path()));
        for day in (0..8 * 365).step_by(5) {
            let now_s = NOW_S + day * DAY_S;
            keeper.renew_if_due(now_s);
            let after = chain(folder.path());
            let checked = keeper.authority.check(&after[0], &keeper.names, now_s + 5 * DAY_S);
            assert!(checked.is_ok(), "day {day}: {checked:?}");
            renewals += u32::from(after != before);
            before = after;
        }
        assert!((10..=12).contains(&renewals), "{renewals} renewals");
    }

    #[test]
    fn an_authority_that_ends_is_replaced_at_a_start() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path(), &["cams.lan"], NOW_S).unwrap().authority();
        for (days, is_new) in [(3559, false), (3561, true)] {
            let keeper = open(folder.path(), &["cams.lan"], NOW_S + days * DAY_S).unwrap();
            assert_eq!(keeper.authority() != first, is_new, "{days}");
            let kept = CertificateDer::from_pem_file(folder.path().join(FOLDER).join(FORMER));
            assert_eq!(kept.ok(), is_new.then(|| first.clone()), "the former one is kept");
            assert_eq!(chain(folder.path())[1], keeper.authority(), "{days}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_and_never_replaced_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let first = open(data, &["cams.lan"], NOW_S).unwrap().authority();
        let error = |result: anyhow::Result<Keeper>| format!("{:#}", result.err().unwrap());
        let other = error(open(data, &["cams.lan", "cams.example.org"], NOW_S));
        assert!(other.contains("own-ca/authority.pem is not for all of public.names"), "{other}");
        assert!(other.contains("cannot vouch for cams.lan, cams.example.org"), "{other}");
        fs::write(data.join(FILES[1]), "nonsense").unwrap();
        assert_eq!(open(data, &["cams.lan"], NOW_S).unwrap().authority(), first, "a new leaf");

        fs::write(data.join(FILES[0]), "nonsense").unwrap();
        let damaged = error(open(data, &["cams.lan"], NOW_S));
        assert!(damaged.contains("own-ca/authority.pem is damaged"), "{damaged}");
        assert!(stored(data).is_err());
        assert_eq!(fs::read_to_string(data.join(FILES[0])).unwrap(), "nonsense");
        fs::remove_file(data.join(FILES[0])).unwrap();
        let second = open(data, &["cams.lan", "cams.example.org"], NOW_S).unwrap();
        assert_ne!(second.authority(), first);
        assert_eq!(chain(data)[1], second.authority(), "a certificate of the new one");
    }
}
