//! Browsers that have signed in before: a cookie that says so, for one user with the password of
//! then, signed with a key that only this server has. It signs nobody in; it only keeps the
//! attempts of others from counting.

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
use crate::store::users::User;

/// The file with the key in the data folder. Without it, all browsers are new.
const FILE: &str = "device.key";
const FILE_MODE: u32 = 0o600;
const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 16;
const TIME_BYTES: usize = 8;
const MAC_BYTES: usize = 32;
/// Time for which a browser is known after it has signed in: longer than browsers keep a cookie
/// without being visited.
pub(crate) const LIFETIME: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// The random number of a browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DeviceId([u8; ID_BYTES]);

/// The user as whom a browser has signed in.
#[derive(Clone, Copy)]
enum Holder<'a> {
    /// This one. Its password is signed as well, so that a browser is not known any more once the
    /// user has another.
    User(&'a User),
    Anybody,
}

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

    /// Returns the value of the cookie of a browser that has just signed in as this user. `known`
    /// is the browser that it was before, if it was one.
    pub(crate) fn issue(&self, user: &User, known: Option<DeviceId>, now_s: u64) -> String {
        let id = known.unwrap_or_else(|| DeviceId(secret::random()));
        let mut bytes = [id.0.as_slice(), &now_s.to_be_bytes()].concat();
        let macs = [Holder::User(user), Holder::Anybody]
            .map(|holder| self.mac(&bytes, holder).finalize().into_bytes());
        for mac in macs {
            bytes.extend_from_slice(&mac);
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Returns the browser that sent this cookie, if it has signed in as this user, since the user
    /// has its password.
    pub(crate) fn read(&self, cookie: &str, user: &User, now_s: u64) -> Option<DeviceId> {
        let Parts { signed, of_user, .. } = Parts::of(cookie)?;
        self.check(&signed, &of_user, Holder::User(user), now_s)
    }

    /// Returns the browser that sent this cookie, if it has signed in, under whatever name. A
    /// cookie of an earlier version does not say so.
    pub(crate) fn read_any(&self, cookie: &str, now_s: u64) -> Option<DeviceId> {
        let Parts { signed, of_any, .. } = Parts::of(cookie)?;
        self.check(&signed, &of_any, Holder::Anybody, now_s)
    }

    fn check(&self, signed: &[u8], mac: &[u8], holder: Holder<'_>, now_s: u64) -> Option<DeviceId> {
        self.mac(signed, holder).verify_slice(mac).ok()?;
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

    fn mac(&self, signed: &[u8], holder: Holder<'_>) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes any key");
        mac.update(b"porthole device\0");
        mac.update(signed);
        match holder {
            Holder::User(User { id, password_hash, .. }) => {
                mac.update(&id.to_be_bytes());
                mac.update(password_hash.as_bytes());
            }
            Holder::Anybody => mac.update(b"anybody"),
        }
        mac
    }
}

/// The parts of a cookie.
struct Parts {
    /// The id and the time.
    signed: Vec<u8>,
    /// The signature for the user. One of an earlier version is for its name, and counts no more.
    of_user: Vec<u8>,
    /// The signature for whatever user; empty in a cookie of an earlier version.
    of_any: Vec<u8>,
}

impl Parts {
    fn of(cookie: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(cookie).ok()?;
        let (signed, macs) = bytes.split_at_checked(ID_BYTES + TIME_BYTES)?;
        let (of_user, of_any) = macs.split_at_checked(MAC_BYTES)?;
        let [signed, of_user, of_any] = [signed, of_user, of_any].map(<[u8]>::to_vec);
        Some(Self { signed, of_user, of_any })
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

    use porthole_signaling_proto::rest::Role;

    use super::*;

    /// Returns a user with a password.
    fn user(id: i64, password_hash: &str) -> User {
        let (name, password_hash) = (format!("user{id}"), password_hash.to_owned());
        User { id, name, password_hash, role: Role::Viewer }
    }

    #[test]
    fn s3_the_cookie_of_a_browser_is_for_one_user_with_its_password_and_one_server() {
        let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let devices = Devices::open(data.path());
        let ann = user(1, "hash");
        let cookie = devices.issue(&ann, None, 1_000);
        assert_eq!(cookie.len(), 118, "88 bytes");
        let found = devices.read(&cookie, &ann, 2_000);
        assert!(found.is_some());
        assert_eq!(devices.read_any(&cookie, 2_000), found, "whoever it was");
        let again = devices.issue(&ann, found, 2_000);
        assert_eq!(devices.read(&again, &ann, 2_000), found, "one that is known stays the same");
        assert_ne!(found, devices.read(&devices.issue(&ann, None, 1_000), &ann, 2_000));
        let restarted = Devices::open(data.path());
        assert_eq!(restarted.read(&cookie, &ann, 2_000), found, "after a restart");
        // A cookie of an earlier version has no signature for whatever user.
        let earlier = URL_SAFE_NO_PAD.encode(&URL_SAFE_NO_PAD.decode(&cookie).unwrap()[..56]);
        assert_eq!(devices.read_any(&earlier, 2_000), None);
        let mut forged = cookie.clone();
        forged.replace_range(0..1, if cookie.starts_with('A') { "B" } else { "A" });
        let (reset, bob) = (user(1, "new hash"), user(2, "hash"));
        for (what, cookie, user, now_s) in [
            ("another user", cookie.as_str(), &bob, 2_000),
            ("the user with another password", &cookie, &reset, 2_000),
            ("too old", &cookie, &ann, 1_000 + LIFETIME.as_secs()),
            ("forged", &forged, &ann, 2_000),
            ("cut", &cookie[..20], &ann, 2_000),
            ("nothing", "", &ann, 2_000),
            ("no base64", "?", &ann, 2_000),
        ] {
            assert_eq!(devices.read(cookie, user, now_s), None, "{what}");
            let any = devices.read_any(cookie, now_s);
            assert_eq!(any, found.filter(|_| what.contains("another")), "{what}");
        }
        assert_eq!(Devices::open(other.path()).read(&cookie, &ann, 2_000), None);
        let mode = fs::metadata(data.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, FILE_MODE);
        assert!(format!("{devices:?}").len() < 20, "the key is not shown");
    }

    #[test]
    fn s3_without_a_writable_folder_browsers_are_known_until_the_restart() {
        let devices = Devices::open(Path::new("/nonexistent/folder"));
        let ann = user(1, "hash");
        assert!(devices.read(&devices.issue(&ann, None, 1), &ann, 1).is_some());
    }
}
