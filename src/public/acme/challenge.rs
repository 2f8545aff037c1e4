//! The answers to challenges of an authority: by TLS at the public port (RFC 8737), or by HTTP at
//! port 80 (RFC 8555 §8.3). Each exists while its order does.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_util::task::AbortOnDropHandle;
use url::Host;

use crate::public::settings;

/// The application protocol of the challenge by TLS, which a client must offer alone.
pub(in crate::public) const ALPN: &[u8] = b"acme-tls/1";
/// The path of the answer to a challenge by HTTP, before its token.
const HTTP_PATH: &str = "/.well-known/acme-challenge/";
/// Most connections at a time to the answers by HTTP; an authority makes a handful.
const MAX_CONNECTIONS: usize = 64;
/// Time for a request of the authority.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 8 * 1024;
/// Pause after a failed accept, of which the usual cause is too many open files.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The answers by TLS: certificates that only an authority asks for, by the name that it sends.
#[derive(Debug, Default)]
pub(in crate::public) struct TlsAnswers(Mutex<HashMap<String, Arc<CertifiedKey>>>);

impl TlsAnswers {
    /// Returns the answer for the name in a handshake.
    pub(in crate::public) fn get(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        self.lock().get(server_name).cloned()
    }

    /// Adds the answer for a name: a certificate with the digest of the key authorization.
    pub(super) fn add(&self, name: &Host, digest: &[u8]) -> anyhow::Result<()> {
        let text = name.to_string();
        let mut params = CertificateParams::new([text.trim_matches(['[', ']']).to_owned()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.der().clone();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        // Not `from_der`, which refuses the extension, because it is critical.
        let key = CertifiedKey::new(vec![certificate], ring::sign::any_ecdsa_type(&key)?);
        self.lock().insert(server_name(name), Arc::new(key));
        Ok(())
    }

    /// Removes all answers.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// Locks the answers even after a panic: each is added or removed as a whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<CertifiedKey>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the name that an authority sends for this host: for an address, the one of the reverse
/// DNS (RFC 8738 §6).
fn server_name(host: &Host) -> String {
    match host {
        Host::Domain(name) => name.to_ascii_lowercase(),
        Host::Ipv4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Host::Ipv6(address) => {
            let mut name = String::new();
            for byte in address.octets().into_iter().rev() {
                // Writing to a string cannot fail.
                let _ = write!(name, "{:x}.{:x}.", byte & 15, byte >> 4);
            }
            name + "ip6.arpa"
        }
    }
}

/// Converts the host of an order.
pub(super) fn address(host: &Host) -> Option<IpAddr> {
    match host {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some(IpAddr::V4(*address)),
        Host::Ipv6(address) => Some(IpAddr::V6(*address)),
    }
}

type Texts = Arc<Mutex<HashMap<String, String>>>;

/// The answers by HTTP, served while this exists.
#[derive(Debug)]
pub(super) struct HttpAnswers {
    texts: Texts,
    _servers: Vec<AbortOnDropHandle<()>>,
}

impl HttpAnswers {
    /// Listens on the addresses.
    pub(super) fn listen(addresses: &[SocketAddr]) -> anyhow::Result<Self> {
        let texts = Texts::default();
        let listeners = settings::listen(addresses)?.into_iter();
        let servers = listeners.map(|(_, listener)| {
            AbortOnDropHandle::new(tokio::spawn(serve(listener, Arc::clone(&texts))))
        });
        Ok(Self { _servers: servers.collect(), texts })
    }

    /// Adds the answer for a token.
    pub(super) fn add(&self, token: &str, text: &str) {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.insert(format!("{HTTP_PATH}{token}"), text.to_owned());
    }
}

async fn serve(listener: TcpListener, texts: Texts) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // All end with this task.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_RETRY).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let texts = Arc::clone(&texts);
        connections.spawn(async move {
            let service = service_fn(|request| {
                let response = answer(&request, &texts);
                async { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .keep_alive(false)
                .max_buf_size(MAX_HEAD)
                .serve_connection(TokioIo::new(stream), service);
            // Whatever goes wrong, the authority tells.
            let _ = timeout(REQUEST_TIME, connection).await;
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, texts: &Texts) -> Response<Full<Bytes>> {
    respond(request.method(), request.uri().path(), texts)
}

fn respond(method: &Method, path: &str, texts: &Texts) -> Response<Full<Bytes>> {
    let texts = texts.lock().unwrap_or_else(PoisonError::into_inner);
    let text = texts.get(path).filter(|_| method == Method::GET);
    let mut response = Response::new(Full::from(text.cloned().unwrap_or_default()));
    if text.is_none() {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_asked_for_by_its_name_in_the_reverse_dns() {
        for (host, name) in [
            ("Cameras.example.org", "cameras.example.org"),
            ("203.0.113.7", "7.113.0.203.in-addr.arpa"),
            (
                "[2001:db8::7]",
                "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
            ),
        ] {
            let host = Host::parse(host).unwrap();
            assert_eq!(server_name(&host), name);
            let answers = TlsAnswers::default();
            answers.add(&host, &[7; 32]).unwrap();
            assert!(answers.get(name).is_some() && answers.get("other.example").is_none());
            answers.clear();
            assert!(answers.get(name).is_none(), "it ends with the order");
        }
    }

    #[test]
    fn only_the_answers_of_the_order_are_served_by_http() {
        let texts = Texts::default();
        texts.lock().unwrap().insert(format!("{HTTP_PATH}token"), "token.thumbprint".to_owned());
        for (method, path, status) in [
            (Method::GET, "/.well-known/acme-challenge/token", 200),
            (Method::POST, "/.well-known/acme-challenge/token", 404),
            (Method::GET, "/.well-known/acme-challenge/", 404),
            (Method::GET, "/.well-known/acme-challenge/../token", 404),
            (Method::GET, "/", 404),
        ] {
            assert_eq!(respond(&method, path, &texts).status(), status, "{method} {path}");
        }
    }
}
