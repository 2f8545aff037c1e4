//! The dashboard's files. The dashboard is a single page, served under each of its paths.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::app::App;
use crate::config::Asset;
use crate::refusal::Refusal;

/// The dashboard's single page.
const INDEX: &str = "index.html";
/// The beginning of each address in [`INDEX`], which is relative to the root of the dashboard.
const RELATIVE: &str = "=\"./";
/// First part of the path of a camera's page. The camera's id follows, which may have dots.
const CAMERA: &str = "camera";
/// First parts of the paths that do not belong to the dashboard.
const NOT_PAGES: [&str; 3] = ["api", "whep", "ws"];

pub(crate) async fn serve(State(app): State<Arc<App>>, request: Request) -> Response {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return not_found().into_response();
    }
    let path = request.uri().path().trim_start_matches('/');
    if request.uri().path() == app.prefix.as_str() {
        return Redirect::permanent(&format!("{}/", app.prefix.as_str())).into_response();
    }
    let index = || Some(index(&(app.assets)(INDEX)?, path));
    let asset = match path {
        "" | INDEX => index(),
        _ => (app.assets)(path).or_else(|| is_page(path).then(index).flatten()),
    };
    match asset {
        Some(asset) => respond(asset, request.headers()),
        None => not_found().into_response(),
    }
}

/// Returns the dashboard's page for this path. Its addresses lead up to the root of the dashboard
/// from there, wherever below a proxy's path that root may be.
fn index(page: &Asset, path: &str) -> Asset {
    let depth = path.matches('/').count();
    if depth == 0 {
        return page.clone();
    }
    let text = String::from_utf8_lossy(&page.bytes);
    let up = text.replace(RELATIVE, &format!("=\"{}", "../".repeat(depth)));
    let etag = page.etag.as_deref().map(|etag| format!("{}-{depth}\"", etag.trim_end_matches('"')));
    Asset { bytes: Cow::Owned(up.into_bytes()), etag, ..page.clone() }
}

/// Tells pages from missing files: `/setup` is a page, `/assets/gone.js` is a missing file.
fn is_page(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let plain = !path.split('/').any(|part| part.starts_with('.'));
    plain && !NOT_PAGES.contains(&first) && (first == CAMERA || !last.contains('.'))
}

fn respond(asset: Asset, request: &HeaderMap) -> Response {
    let Asset { bytes, mime, immutable, etag } = asset;
    let etag = etag.and_then(|etag| HeaderValue::from_str(&etag).ok());
    let known = etag.as_ref().is_some_and(|tag| request.get(header::IF_NONE_MATCH) == Some(tag));
    let mut response = Response::new(match (known, bytes) {
        (true, _) => Body::empty(),
        (false, Cow::Borrowed(bytes)) => Body::from(bytes),
        (false, Cow::Owned(bytes)) => Body::from(bytes),
    });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    let cached = if immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cached));
    if let Ok(mime) = HeaderValue::from_str(&mime) {
        headers.insert(header::CONTENT_TYPE, mime);
    }
    if let Some(etag) = etag {
        headers.insert(header::ETAG, etag);
    }
    response
}

fn not_found() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is no such page")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_finds_the_root_of_the_dashboard_from_any_depth() {
        let page = Asset {
            bytes: Cow::Borrowed(b"<meta content=\"./\"><script src=\"./assets/a.js\">"),
            mime: Cow::Borrowed("text/html"),
            immutable: false,
            etag: Some("\"1\"".to_owned()),
        };
        for (path, root, etag) in [
            ("", "./", "\"1\""),
            ("setup", "./", "\"1\""),
            ("camera/demo", "../", "\"1-1\""),
            ("camera/demo/", "../../", "\"1-2\""),
        ] {
            let found = index(&page, path);
            let expected = format!("<meta content=\"{root}\"><script src=\"{root}assets/a.js\">");
            assert_eq!(String::from_utf8_lossy(&found.bytes), expected, "{path}");
            assert_eq!(found.etag.as_deref(), Some(etag), "{path}");
        }
    }

    #[test]
    fn pages_are_told_from_files_and_interfaces() {
        for (path, page) in [
            ("setup", true),
            ("camera/demo", true),
            ("camera/front.door", true),
            ("camera/front.door/", true),
            ("cameras/front.door", false),
            ("camera/../secret", false),
            ("apiary", true),
            ("assets/app.js", false),
            ("favicon.ico", false),
            ("api/v1/nothing", false),
            ("whep/a/b/c", false),
            ("ws", false),
            ("../secret", false),
        ] {
            assert_eq!(is_page(path), page, "{path}");
        }
    }
}
