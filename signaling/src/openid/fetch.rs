//! Requests to the provider: over TLS except to this machine, bounded in time and size, and without
//! following redirects.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, Error as TlsError, RootCertStore};
use url::{Position, Url};

use super::is_loopback;

/// Time for one request, from the look-up of the name to the last byte.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest body, in bytes: a JWK set of a large provider has about 10 kB.
const MAX_BODY: usize = 256 * 1024;
/// The longest head of a response, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// The most headers of a response.
const MAX_HEADERS: usize = 128;

/// A request to an address of the provider.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) url: &'a Url,
    /// The value of `Authorization`.
    pub(super) authorization: Option<&'a str>,
    /// The form to send; without one, it is a `GET`.
    pub(super) form: Option<&'a str>,
}

impl<'a> Question<'a> {
    /// Creates a request for a document.
    pub(super) fn get(url: &'a Url) -> Self {
        Self { url, authorization: None, form: None }
    }
}

/// An error of a request. The program's log has it, and no response to a browser.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The address has no TLS, and is not on this machine.
    #[error("{0} has no TLS")]
    Plain(String),
    /// The server takes no connection, or has no certificate that counts.
    #[error("no connection to {0}: {1}")]
    Connect(String, io::Error),
    /// The exchange was not HTTP, or ended early.
    #[error("no response from {0}: {1}")]
    Http(String, hyper::Error),
    /// The response is longer than it may be, or ended early.
    #[error("the response of {0} is too long, or ended early")]
    Body(String),
    /// The response did not arrive in time.
    #[error("{0} did not respond within 10 s")]
    Timeout(String),
    /// The response is a redirect or a refusal.
    #[error("{0} responded with status {1}")]
    Status(String, StatusCode),
}

/// Sends requests, each on a connection of its own.
pub(super) struct Fetcher {
    tls: TlsConnector,
    timeout: Duration,
}

impl Fetcher {
    /// Creates it. Servers need a certificate of an authority that browsers trust, or of one of
    /// these.
    pub(super) fn new(authorities: &[CertificateDer<'static>]) -> Result<Self, TlsError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for authority in authorities {
            roots.add(authority.clone())?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?;
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), timeout: TIMEOUT })
    }

    /// Returns the body of a response with status 200.
    pub(super) async fn document(&self, question: Question<'_>) -> Result<Bytes, FetchError> {
        match self.send(question).await? {
            (StatusCode::OK, body) => Ok(body),
            (status, _) => Err(FetchError::Status(host(question.url), status)),
        }
    }

    /// Sends a request. Returns the status and the body, whatever they are.
    pub(super) async fn send(
        &self,
        question: Question<'_>,
    ) -> Result<(StatusCode, Bytes), FetchError> {
        let late = |_| FetchError::Timeout(host(question.url));
        timeout(self.timeout, self.send_now(question)).await.map_err(late)?
    }

    async fn send_now(&self, question: Question<'_>) -> Result<(StatusCode, Bytes), FetchError> {
        let host = host(question.url);
        let failed = |error| FetchError::Connect(host.clone(), error);
        match question.url.scheme() {
            "https" => {
                let stream = connect(question.url, |_| true).await.map_err(failed)?;
                let name = question.url.host_str().unwrap_or_default();
                let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(name).map_err(io::Error::other).map_err(failed)?;
                exchange(self.tls.connect(name, stream).await.map_err(failed)?, question).await
            }
            // A name could lead elsewhere.
            "http" if is_loopback(question.url) => {
                let is_here = |address: &SocketAddr| address.ip().is_loopback();
                exchange(connect(question.url, is_here).await.map_err(failed)?, question).await
            }
            _ => Err(FetchError::Plain(host)),
        }
    }
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").finish_non_exhaustive()
    }
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or("an address without a host").to_owned()
}

/// Connects to the first of the URL's addresses that counts and takes the connection.
async fn connect(url: &Url, counts: impl Fn(&SocketAddr) -> bool) -> io::Result<TcpStream> {
    let port = url.port_or_known_default().unwrap_or_default();
    let name = url.host_str().unwrap_or_default();
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no usable address");
    for address in lookup_host((name, port)).await?.filter(counts) {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    question: Question<'_>,
) -> Result<(StatusCode, Bytes), FetchError> {
    let failed = |error| FetchError::Http(host(question.url), error);
    let handshake = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(failed)?;
    let answer = async {
        let response = sender.send_request(request(question)).await.map_err(failed)?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await;
        let body = body.map_err(|_| FetchError::Body(host(question.url)))?;
        Ok((parts.status, body.to_bytes()))
    };
    // What has arrived can be read after the end of the connection.
    let connection = async {
        let _ended = connection.await;
        std::future::pending::<Result<(StatusCode, Bytes), FetchError>>().await
    };
    tokio::select! {
        answer = answer => answer,
        never = connection => never,
    }
}

fn request(Question { url, authorization, form }: Question<'_>) -> http::Request<Full<Bytes>> {
    let mut request = http::Request::new(Full::default());
    let text = |text: &str| http::HeaderValue::try_from(text).ok();
    let path = &url[Position::BeforePath..Position::AfterQuery];
    *request.uri_mut() = path.parse().unwrap_or_default();
    let authority = &url[Position::BeforeHost..Position::AfterPort];
    let headers = [
        (header::HOST, Some(authority)),
        (header::ACCEPT, Some("application/json")),
        (header::USER_AGENT, Some("porthole")),
        (header::CONNECTION, Some("close")),
        (header::AUTHORIZATION, authorization),
    ];
    for (name, value) in headers {
        if let Some(value) = value.and_then(text) {
            request.headers_mut().insert(name, value);
        }
    }
    if let Some(form) = form {
        *request.method_mut() = Method::POST;
        let kind = http::HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        *request.body_mut() = Full::from(form.to_owned());
    }
    request
}

#[cfg(test)]
mod tests;
