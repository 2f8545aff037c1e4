//! Quirks of authentication.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Quirk;
use crate::scripted_camera::ScriptedCamera;
use crate::scripted_camera::password::{challenge, digest, is_authorized};

/// Requires a password with one of these hashes, and challenges with these lines.
fn guarded(
    camera: ScriptedCamera,
    hashes: &'static [&'static str],
    lines: fn() -> Vec<String>,
) -> ScriptedCamera {
    camera.answer(move |request, reply| {
        let is_open = is_authorized(request, "n1", hashes);
        if is_open { reply } else { challenge(reply, &lines()) }
    })
}

pub(crate) fn challenges() -> Vec<Quirk> {
    let both = || vec![digest("n1", ", algorithm=SHA-256"), digest("n1", ", algorithm=MD5")];
    let _: fn() -> Vec<String> = both;
    vec![
        Quirk::new("two, the strong one first", |camera| {
            guarded(camera, &["SHA-256", "MD5"], || {
                vec![digest("n1", ", algorithm=SHA-256"), digest("n1", ", algorithm=MD5")]
            })
        }),
        Quirk::new("two, of which only MD5 works", |camera| {
            guarded(camera, &["MD5"], || {
                vec![digest("n1", ", algorithm=SHA-256"), digest("n1", ", algorithm=MD5")]
            })
        }),
        Quirk::new("two in one line", |camera| {
            guarded(camera, &["MD5"], || {
                let (sha, md5) = (digest("n1", ", algorithm=SHA-256"), digest("n1", ""));
                vec![format!("{sha}, {md5}")]
            })
        }),
        Quirk::new("Basic and Digest", |camera| {
            guarded(camera, &["MD5"], || {
                vec!["Basic realm=\"camera\"".to_owned(), digest("n1", ", qop=\"auth\"")]
            })
        }),
        Quirk::new("an unknown one first", |camera| {
            guarded(camera, &["MD5"], || vec!["Negotiate".to_owned(), digest("n1", "")])
        }),
        Quirk::new("qop, opaque and odd spelling", |camera| {
            guarded(camera, &["MD5"], || {
                vec![
                    "digest REALM = \"camera\" , Nonce=\"n1\" qop=\"auth,auth-int\"; opaque=\"x\""
                        .to_owned(),
                ]
            })
        }),
        Quirk::new("the connection closes", |camera| {
            camera.answer(|request, reply| {
                let is_open = is_authorized(request, "n1", &["MD5"]);
                if is_open { reply } else { challenge(reply, &[digest("n1", "")]).closing() }
            })
        }),
    ]
    .into_iter()
    .map(Quirk::with_password)
    .collect()
}

pub(crate) fn expiring_nonces() -> Vec<Quirk> {
    fn expiring(camera: ScriptedCamera, stale: &'static str) -> ScriptedCamera {
        let count = Arc::new(AtomicUsize::new(0));
        camera.answer(move |request, reply| {
            // Each nonce is good for two requests.
            let nonce = format!("n{}", count.load(Ordering::Relaxed) / 2);
            let is_open = is_authorized(request, &nonce, &["MD5"]);
            count.fetch_add(usize::from(is_open), Ordering::Relaxed);
            let reply = match request.method() {
                "SETUP" => reply.with("Session", "12345678;timeout=2"),
                _ => reply,
            };
            if is_open { reply } else { challenge(reply, &[digest(&nonce, stale)]) }
        })
    }
    vec![
        Quirk::new("another nonce", |camera| expiring(camera, "")).with_password(),
        Quirk::new("a stale nonce", |camera| expiring(camera, ", stale=true")).with_password(),
    ]
}

pub(crate) fn paths() -> Vec<Quirk> {
    const PATH: &str = "/user=admin&password=secret&channel=1&stream=0.sdp?real_stream";
    vec![
        Quirk::new("a password in the path", |camera| camera).path(PATH),
        Quirk::new("a password in the query", |camera| camera).path("/live?usr=a&pwd=secret"),
    ]
}
