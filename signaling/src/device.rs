//! Browsers that have signed in before: a cookie that says so for one name, signed with a key that
//! only this server has. It signs nobody in; it only keeps the attempts of others from counting.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use tracing::warn;

use crate::secret;

/// The file with the key in the data folder. Without it, all browsers are new.
const FILE: &str = "device.key";
const FILE_MODE: u32 = 0o600;
const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 16;
const TIME_BYTES: usize = 8;
const MAC_BYTES: usize = 32;
/// The name that is signed for a browser that has signed in under whatever name. No user has it.
const ANY_NAME: &str = "\0any";
/// Time for which a browser is known after it has signed in: longer than browsers keep a cookie
/// without being visited.
pub(crate) const LIFETIME: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// The random number of a browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DeviceId([u8; ID_BYTES]);

/// Knows the browsers that have signed in.
pub(crate) struct Devices {
    key: [u8; KEY_BYTES],
}

impl Devices {
    /// Reads the key from the data folder, or makes one.
    pub(crate) fn open(data: &Path) -> Self {
        let path = data.join(FILE);
        if let Some(key) = fs::read(&path).ok().and_then(|bytes| bytes.try_into().ok()) {
            return Self { key };
        }
        let key = secret::random();
        if let Err(error) = write(&path, &key) {
            warn!(%error, "cannot write {FILE}: after a restart, all browsers count as new");
        }
        Self { key }
    }

    /// Returns the value of the cookie of a browser that has just signed in under this name.
    pub(crate) fn issue(&self, name: &str, now_s: u64) -> String {
        let id = DeviceId(secret::random());
        let mut bytes = [id.0.as_slice(), &now_s.to_be_bytes()].concat();
        let macs = [name, ANY_NAME].map(|name| self.mac(&bytes, name).finalize().into_bytes());
        for mac in macs {
            bytes.extend_from_slice(&mac);
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Returns the browser that sent this cookie, if it has signed in under this name.
    pub(crate) fn read(&self, cookie: &str, name: &str, now_s: u64) -> Option<DeviceId> {
        let Parts { signed, of_name, .. } = Parts::of(cookie)?;
        self.check(&signed, &of_name, name, now_s)
    }

    /// Returns the browser that sent this cookie, if it has signed in, under whatever name. A
    /// cookie of an earlier version does not say so.
    pub(crate) fn read_any(&self, cookie: &str, now_s: u64) -> Option<DeviceId> {
        let Parts { signed, of_any, .. } = Parts::of(cookie)?;
        self.check(&signed, &of_any, ANY_NAME, now_s)
    }

    fn check(&self, signed: &[u8], mac: &[u8], name: &str, now_s: u64) -> Option<DeviceId> {
        self.mac(signed, name).verify_slice(mac).ok()?;
        let (id, time) = signed.split_at_checked(ID_BYTES)?;
        let issued_s = u64::from_be_bytes(time.try_into().ok()?);
        let is_valid = now_s.saturating_sub(issued_s) < LIFETIME.as_secs();
        let id = DeviceId(id.try_into().ok()?);
        is_valid.then_some(id)
    }

    /// Returns a key of the server for another purpose, which is the same after a restart.
    pub(crate) fn key_for(&self, purpose: &str) -> [u8; KEY_BYTES] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes any key");
        mac.update(b"porthole key\0");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn mac(&self, signed: &[u8], name: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes any key");
        mac.update(b"porthole device\0");
        mac.update(signed);
        mac.update(name.to_lowercase().as_bytes());
        mac
    }
}

/// The parts of a cookie.
struct Parts {
    /// The id and the time.
    signed: Vec<u8>,
    /// The signature for the name of the user.
    of_name: Vec<u8>,
    /// The signature for whatever name; empty in a cookie of an earlier version.
    of_any: Vec<u8>,
}

impl Parts {
    fn of(cookie: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(cookie).ok()?;
        let (signed, macs) = bytes.split_at_checked(ID_BYTES + TIME_BYTES)?;
        let (of_name, of_any) = macs.split_at_checked(MAC_BYTES)?;
        let [signed, of_name, of_any] = [signed, of_name, of_any].map(<[u8]>::to_vec);
        Some(Self { signed, of_name, of_any })
    }
}

impl std::fmt::Debug for Devices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Devices").finish_non_exhaustive()
    }
}

/// Writes the key so that it is there as a whole or not at all.
fn write(path: &Path, key: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(FILE_MODE).open(&new)?;
    file.write_all(key)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
impl DeviceId {
    /// Returns an id that is made of a number.
    pub(crate) fn of_test(number: u64) -> Self {
        Self(u128::from(number).to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn s3_the_cookie_of_a_browser_is_for_one_name_and_one_server() {
        let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let devices = Devices::open(data.path());
        let cookie = devices.issue("Ann", 1_000);
        assert_eq!(cookie.len(), 118, "88 bytes");
        let found = devices.read(&cookie, "ann", 2_000);
        assert!(found.is_some());
        assert_eq!(devices.read_any(&cookie, 2_000), found, "whoever it was");
        // A cookie of an earlier version has no signature for that.
        let earlier = URL_SAFE_NO_PAD.decode(&cookie).unwrap();
        let earlier = URL_SAFE_NO_PAD.encode(&earlier[..56]);
        assert_eq!(devices.read(&earlier, "ann", 2_000), found);
        assert_eq!(devices.read_any(&earlier, 2_000), None);
        assert_ne!(found, devices.read(&devices.issue("ann", 1_000), "ann", 2_000));
        let restarted = Devices::open(data.path());
        assert_eq!(restarted.read(&cookie, "ann", 2_000), found, "after a restart");
        let mut forged = cookie.clone();
        forged.replace_range(0..1, if cookie.starts_with('A') { "B" } else { "A" });
        for (what, cookie, name, now_s) in [
            ("another name", cookie.as_str(), "bob", 2_000),
            ("no name", &cookie, ANY_NAME, 2_000),
            ("too old", &cookie, "ann", 1_000 + LIFETIME.as_secs()),
            ("forged", &forged, "ann", 2_000),
            ("cut", &cookie[..20], "ann", 2_000),
            ("nothing", "", "ann", 2_000),
            ("no base64", "?", "ann", 2_000),
        ] {
            assert_eq!(devices.read(cookie, name, now_s), None, "{what}");
            let any = devices.read_any(cookie, now_s);
            assert_eq!(any, found.filter(|_| what.ends_with(" name")), "{what}");
        }
        assert_eq!(Devices::open(other.path()).read(&cookie, "ann", 2_000), None);
        let mode = fs::metadata(data.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, FILE_MODE);
        assert!(format!("{devices:?}").len() < 20, "the key is not shown");
    }

    #[test]
    fn s3_without_a_writable_folder_browsers_are_known_until_the_restart() {
        let devices = Devices::open(Path::new("/nonexistent/folder"));
        assert!(devices.read(&devices.issue("ann", 1), "ann", 1).is_some());
    }
}
