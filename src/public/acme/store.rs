//! The account and the certificate in the data folder.

use std::fs;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use instant_acme::AccountCredentials;
use porthole_turn_server::TlsFiles;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::order::Issued;
use crate::data;
use crate::public::facts::Facts;

/// The folder in the data folder.
const FOLDER: &str = "acme";
/// Accessible to its owner only.
const FOLDER_MODE: u32 = 0o700;
/// The file with the account's key.
const ACCOUNT: &str = "account.json";
/// The file with the certificate and its key: one, so that both change at the same moment.
const CERTIFICATE: &str = "certificate.pem";
/// The files with secrets, as paths in the data folder.
pub const FILES: [&str; 2] = ["acme/account.json", "acme/certificate.pem"];

/// Returns the file in a data folder with the certificate that an authority has given, and its key.
pub fn certificate_file(data: &Path) -> PathBuf {
    data.join(FOLDER).join(CERTIFICATE)
}

/// The folder of the account and the certificate.
#[derive(Debug)]
pub(super) struct Store(PathBuf);

/// An account, and the authority that has it.
#[derive(Deserialize)]
struct Stored {
    directory: String,
    credentials: AccountCredentials,
}

#[derive(Serialize)]
struct ToStore<'a> {
    directory: &'a str,
    credentials: &'a AccountCredentials,
}

impl Store {
    /// Creates the folder if it is missing.
    pub(super) fn open(data: &Path) -> anyhow::Result<Self> {
        let folder = data.join(FOLDER);
        let created = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&folder);
        created.with_context(|| format!("cannot create the folder {}", folder.display()))?;
        Ok(Self(folder))
    }

    /// Returns the account at this authority, if there is one.
    pub(super) fn account(&self, directory: &str) -> Option<AccountCredentials> {
        let path = self.0.join(ACCOUNT);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => {
                warn!(%error, "the account at the authority cannot be read: a new one is made");
                return None;
            }
        };
        match serde_json::from_slice::<Stored>(&text) {
            Ok(stored) => (stored.directory == directory).then_some(stored.credentials),
            Err(error) => {
                // The text of the error has none of the file's.
                warn!(
                    line = error.line(),
                    "the account at the authority is damaged: a new one is made"
                );
                None
            }
        }
    }

    pub(super) fn save_account(
        &self,
        directory: &str,
        credentials: &AccountCredentials,
    ) -> anyhow::Result<()> {
        let text = serde_json::to_vec(&ToStore { directory, credentials })?;
        Ok(data::write_secret(&self.0.join(ACCOUNT), &text)?)
    }

    /// Removes the account, so that another one is made.
    pub(super) fn forget_account(&self) {
        if let Err(error) = fs::remove_file(self.0.join(ACCOUNT)) {
            warn!(%error, "the account at the authority cannot be removed");
        }
    }

    /// Stores a certificate, unless it cannot be read.
    pub(super) fn save_certificate(&self, issued: &Issued) -> anyhow::Result<()> {
        let text = format!("{}\n{}", issued.chain.trim_end(), issued.key);
        Facts::read(text.as_bytes()).context("the authority has sent no certificate")?;
        Ok(data::write_secret(&self.0.join(CERTIFICATE), text.as_bytes())?)
    }

    /// Removes a certificate that cannot be used.
    pub(super) fn remove_certificate(&self) -> anyhow::Result<()> {
        let path = self.0.join(CERTIFICATE);
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
    }

    /// Returns the files of the certificate.
    pub(super) fn files(&self) -> TlsFiles {
        let path = self.0.join(CERTIFICATE);
        TlsFiles { certificate: path.clone(), key: path }
    }

    /// Returns facts about the certificate that is stored, if there is one.
    pub(super) fn facts(&self) -> Option<Facts> {
        Facts::read(&fs::read(self.0.join(CERTIFICATE)).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use rcgen::{CertificateParams, KeyIdMethod, KeyPair, SerialNumber, date_time_ymd};
    use url::Host;

    use super::*;

    fn issue(names: &[&str]) -> Issued {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        (params.not_before, params.not_after) =
            (date_time_ymd(2026, 11, 30), date_time_ymd(2026, 12, 30));
        let key = KeyPair::generate().unwrap();
        let chain = params.self_signed(&key).unwrap().pem();
        Issued { chain, key: key.serialize_pem() }
    }

    #[test]
    fn a_certificate_is_stored_for_its_owner_alone_and_read_again() {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(data.path()).unwrap();
        assert_eq!(store.facts(), None);
        store.save_certificate(&issue(&["a.example", "203.0.113.7", "2001:db8::7"])).unwrap();
        let facts = store.facts().unwrap();
        // date -u -d 2026-11-30 +%s
        assert_eq!((facts.not_before_s, facts.not_after_s), (1_795_996_800, 1_798_588_800));
        let host = |text| Host::parse(text).unwrap();
        for (names, covered) in [
            (vec![host("a.example")], true),
            (vec![host("203.0.113.7"), host("[2001:db8::7]")], true),
            (vec![host("a.example"), host("b.example")], false),
            (vec![host("203.0.113.8")], false),
        ] {
            assert_eq!(facts.covers(&names), covered, "{names:?}");
        }
        for (path, mode) in [(FOLDER, 0o700), (FILES[1], 0o600)] {
            let found = fs::metadata(data.path().join(path)).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode, "{path}");
        }
        let nonsense = Issued { chain: "nonsense".to_owned(), key: String::new() };
        assert!(store.save_certificate(&nonsense).is_err());
        assert_eq!(store.facts(), Some(facts), "the one that works stays");
    }

    #[test]
    fn a_certificate_has_the_identifier_that_its_authority_knows() {
        // Key and number of the example of RFC 9773 §4.1.
        let key_id = [
            0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3, 0x7b, 0x84, 0x7b, 0xa0,
            0xae, 0x2c, 0xde, 0x01, 0xc8, 0xd4,
        ];
        for (names_authority, identifier) in
            [(true, Some("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE")), (false, None)]
        {
            let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
            params.serial_number = Some(SerialNumber::from_slice(&[0x87, 0x65, 0x43, 0x21]));
            params.key_identifier_method = KeyIdMethod::PreSpecified(key_id.to_vec());
            params.use_authority_key_identifier_extension = names_authority;
            let key = KeyPair::generate().unwrap();
            let facts = Facts::read(params.self_signed(&key).unwrap().pem().as_bytes()).unwrap();
            let found = facts.identifier.map(|identifier| identifier.to_string());
            assert_eq!(found.as_deref(), identifier);
        }
    }

    #[test]
    fn a_damaged_account_or_one_of_another_authority_is_not_used() {
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(data.path()).unwrap();
        let text = |directory: &str| {
            let key = KeyPair::generate().unwrap();
            let key = base64::Engine::encode(
                &base64::engine::general_purpose::URL_SAFE_NO_PAD,
                key.serialize_der(),
            );
            let credentials =
                format!(r#"{{"id":"1","key_pkcs8":"{key}","directory":"{directory}"}}"#);
            format!(r#"{{"directory":"{directory}","credentials":{credentials}}}"#)
        };
        for (text, usable) in [
            (text("https://a.example/dir"), true),
            (text("https://b.example/dir"), false),
            ("{".to_owned(), false),
            (String::new(), false),
        ] {
            fs::write(data.path().join(FILES[0]), &text).unwrap();
            assert_eq!(store.account("https://a.example/dir").is_some(), usable, "{text}");
        }
    }
}
