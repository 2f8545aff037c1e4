//! The dashboard, embedded: what Vite made of this folder, looked up by path.
//!
//! Architecture invariant: this crate knows no HTTP server. Which headers a file is served with,
//! and that an unknown path is answered with `index.html`, is the signaling server's to do.

use rust_embed::RustEmbed;
use std::borrow::Cow;

/// Stands in for the dashboard where it was not built.
const NOT_BUILT: &[u8] = include_bytes!("not-built.html");

/// Files whose name holds a hash of what is in them.
const IMMUTABLE_FOLDER: &str = "assets/";

#[derive(RustEmbed)]
#[folder = "dist"]
struct Dist;

/// A file of the dashboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// What is in it.
    pub bytes: Cow<'static, [u8]>,
    /// Its `Content-Type`.
    pub mime: &'static str,
    /// Whether a browser may keep it for ever: its name changes when it does.
    pub immutable: bool,
    /// Its `ETag`, in quotes.
    pub etag: String,
}

/// The file at `path`, with or without a leading slash; `index.html` is always there.
pub fn asset(path: &str) -> Option<Asset> {
    let path = path.trim_start_matches('/');
    match Dist::get(path) {
        Some(file) => Some(Asset {
            bytes: file.data,
            mime: mime(path),
            immutable: path.starts_with(IMMUTABLE_FOLDER),
            etag: etag(&file.metadata.sha256_hash()),
        }),
        None if path == "index.html" => Some(Asset {
            bytes: Cow::Borrowed(NOT_BUILT),
            mime: mime(path),
            immutable: false,
            etag: "\"not-built\"".to_owned(),
        }),
        None => None,
    }
}

/// Half of a SHA-256 tells versions of a file apart well enough.
fn etag(hash: &[u8; 32]) -> String {
    let digits: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

fn mime(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("txt") => "text/plain; charset=utf-8",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_page() {
        let page = asset("index.html").expect("the dashboard, or the page that stands in for it");
        assert!(page.bytes.starts_with(b"<!doctype html>"));
        assert_eq!(page.mime, "text/html; charset=utf-8");
        assert!(!page.immutable);
        assert!(page.etag.len() > 2 && page.etag.starts_with('"') && page.etag.ends_with('"'));
        assert_eq!(asset("/index.html"), Some(page));
    }

    #[test]
    fn what_is_not_there_is_not_served() {
        for path in ["", "assets/", "assets/none.js", "../Cargo.toml", "/etc/passwd"] {
            assert_eq!(asset(path), None, "{path}");
        }
    }

    #[test]
    fn hashed_files_are_kept_for_ever() {
        for path in Dist::iter() {
            let file = asset(&path).expect("a listed file can be read");
            assert_eq!(file.immutable, path.starts_with(IMMUTABLE_FOLDER), "{path}");
            assert_ne!(file.mime, "application/octet-stream", "{path} has no type");
        }
    }
}
