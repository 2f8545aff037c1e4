//! The dashboard's files, as built by Vite and embedded in the program.
//!
//! Architecture invariant: this crate knows no HTTP server. The signaling server chooses the
//! response headers, and serves `index.html` for unknown paths.

#![warn(missing_docs)]

use std::borrow::Cow;

use rust_embed::RustEmbed;

/// The page that is served if the dashboard was not built.
const NOT_BUILT: &[u8] = include_bytes!("not-built.html");

/// The folder of files whose names contain a hash of their content.
const IMMUTABLE_FOLDER: &str = "assets/";

#[derive(RustEmbed)]
#[folder = "dist"]
struct Dist;

/// A file of the dashboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// The content of the file.
    pub bytes: Cow<'static, [u8]>,
    /// The value of the `Content-Type` header.
    pub mime: &'static str,
    /// True if a browser may cache the file forever, because its name changes with its content.
    pub immutable: bool,
    /// The value of the `ETag` header, with its quotes.
    pub etag: String,
}

/// Returns the file at `path`, which may begin with a slash.
///
/// `index.html` always exists: without a built dashboard it explains how to build it.
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

/// Returns an `ETag` from half of the SHA-256, which is enough to tell versions of a file apart.
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
    fn the_index_page_always_exists() {
        let page = asset("index.html").expect("the dashboard, or the page that replaces it");
        assert!(page.bytes.starts_with(b"<!doctype html>"));
        assert_eq!(page.mime, "text/html; charset=utf-8");
        assert!(!page.immutable);
        assert!(page.etag.len() > 2 && page.etag.starts_with('"') && page.etag.ends_with('"'));
        assert_eq!(asset("/index.html"), Some(page));
    }

    #[test]
    fn a_missing_file_is_none() {
        for path in ["", "assets/", "assets/none.js", "../Cargo.toml", "/etc/passwd"] {
            assert_eq!(asset(path), None, "{path}");
        }
    }

    #[test]
    fn hashed_files_are_cached_forever() {
        for path in Dist::iter() {
            let file = asset(&path).expect("a listed file can be read");
            assert_eq!(file.immutable, path.starts_with(IMMUTABLE_FOLDER), "{path}");
            assert_ne!(file.mime, "application/octet-stream", "{path} has no type");
        }
    }
}
