//! The addresses the API listens on, and those it refuses.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::Token;

/// Least length of a token: longer ones cannot be guessed over loopback.
const MIN_TOKEN: usize = 16;
/// Permissions of the socket's file: only its owner may connect.
const SOCKET_MODE: u32 = 0o600;
/// Prefix of a Unix socket's place.
const UNIX: &str = "unix:";

/// A loopback address, or a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A loopback address such as `127.0.0.1:9641`; needs a token.
    Tcp(SocketAddr),
    /// A Unix socket such as `unix:/run/porthole/turn.sock`.
    Unix(PathBuf),
}

/// A text that names neither an address nor a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an address such as 127.0.0.1:9641 nor unix: and an absolute path")]
pub struct BadPlace(String);

impl FromStr for Place {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        let bad = || BadPlace(text.to_owned());
        match text.strip_prefix(UNIX) {
            Some(path) if Path::new(path).is_absolute() => Ok(Self::Unix(path.into())),
            Some(_) => Err(bad()),
            None => text.parse().map(Self::Tcp).map_err(|_| bad()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// The reason why the API cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is reachable from other machines.
    #[error(
        "the admin API refuses to listen on {0}: use a loopback address or unix:/PATH, and ssh to \
         reach it from other machines"
    )]
    NotLoopback(SocketAddr),
    /// The token is missing or too short, and every program of this machine could use the API.
    #[error(
        "the admin API on {0} needs a token of at least {MIN_TOKEN} characters, because every \
         user of this machine can reach it; set admin.token, or use unix:/PATH"
    )]
    NoToken(SocketAddr),
    /// The path belongs to another file, or to a program that is listening.
    #[error("the admin API cannot use {}: another file or program uses this path", .0.display())]
    Taken(PathBuf),
    /// Any other error of the operating system.
    #[error("the admin API cannot listen on {place}: {source}")]
    System {
        /// The configured address or socket.
        place: Place,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// A listening socket.
#[derive(Debug)]
pub(crate) enum Bound {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener, SocketFile),
}

impl Bound {
    pub(crate) fn place(&self) -> Place {
        match self {
            Self::Tcp(_, address) => Place::Tcp(*address),
            Self::Unix(_, file) => Place::Unix(file.0.clone()),
        }
    }
}

/// Path of a socket, removed from its folder on drop.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(%error, "the admin API's socket was already removed");
        }
    }
}

/// Checks the place and binds it.
pub(crate) async fn bind(at: &Place, token: Option<&Token>) -> Result<Bound, BindError> {
    check(at, token)?;
    let system = |source| BindError::System { place: at.clone(), source };
    match at {
        Place::Tcp(address) => {
            let listener = TcpListener::bind(address).await.map_err(system)?;
            let address = listener.local_addr().map_err(system)?;
            Ok(Bound::Tcp(listener, address))
        }
        Place::Unix(path) => {
            clear(path).await?;
            let listener = UnixListener::bind(path).map_err(system)?;
            let file = SocketFile(path.clone());
            let mode = std::fs::Permissions::from_mode(SOCKET_MODE);
            std::fs::set_permissions(path, mode).map_err(system)?;
            Ok(Bound::Unix(listener, file))
        }
    }
}

/// Refuses a place that others could reach, and a missing or short token.
pub(crate) fn check(at: &Place, token: Option<&Token>) -> Result<(), BindError> {
    let Place::Tcp(address) = at else { return Ok(()) };
    if !address.ip().is_loopback() {
        return Err(BindError::NotLoopback(*address));
    }
    if token.is_none_or(|token| token.0.len() < MIN_TOKEN) {
        return Err(BindError::NoToken(*address));
    }
    Ok(())
}

/// Removes the socket that a killed server left behind, if nothing listens on it.
async fn clear(path: &Path) -> Result<(), BindError> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() || UnixStream::connect(path).await.is_ok() {
        return Err(BindError::Taken(path.to_owned()));
    }
    let place = || Place::Unix(path.to_owned());
    std::fs::remove_file(path).map_err(|source| BindError::System { place: place(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_address_or_a_path() {
        for text in ["127.0.0.1:9641", "[::1]:1", "unix:/run/porthole/turn.sock"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        for text in ["", "9641", "localhost:1", "unix:", "unix:turn.sock", "/run/turn.sock"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn only_loopback_with_a_token_is_accepted() {
        let token = |text: &str| Token::from(text.to_owned());
        let long = token("0123456789abcdef");
        for (place, token, names) in [
            ("0.0.0.0:0", Some(&long), "use a loopback address"),
            ("[::]:0", Some(&long), "use a loopback address"),
            ("192.0.2.1:0", Some(&long), "use a loopback address"),
            ("127.0.0.1:0", None, "needs a token"),
            ("127.0.0.1:0", Some(&token("short")), "needs a token"),
        ] {
            let error = bind(&place.parse().unwrap(), token).await.unwrap_err().to_string();
            assert!(error.contains(names), "{place}: {error}");
        }
        assert!(bind(&"127.0.0.1:0".parse().unwrap(), Some(&long)).await.is_ok());
    }

    #[tokio::test]
    async fn a_socket_is_its_owners_and_is_removed_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("turn.sock");
        let place = Place::Unix(path.clone());
        let bound = bind(&place, None).await.unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, SOCKET_MODE);
        assert!(matches!(bind(&place, None).await, Err(BindError::Taken(_))), "it is in use");
        drop(bound);
        assert!(!path.exists());

        // As a killed server leaves it.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        assert!(bind(&place, None).await.is_ok(), "nothing listens there");

        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&place, None).await, Err(BindError::Taken(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
