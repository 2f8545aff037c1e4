//! The HTTP client for authorities: one connection for each request, over TLS, within bounds.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, RETRY_AFTER};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_util::task::AbortOnDropHandle;

/// Time for a request and its response.
const REQUEST_TIME: Duration = Duration::from_secs(30);
/// The longest response, in bytes: a chain of certificates has 10 kB.
const MAX_BODY: usize = 256 * 1024;
/// Longest time, in seconds, after which an authority may want to be asked again: a week. The
/// client of the protocol adds it to the time of day, and must not leave what can be counted.
const LONGEST_RETRY_S: u64 = 7 * 24 * 60 * 60;
/// The port of HTTPS.
const HTTPS_PORT: u16 = 443;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// A client that trusts the authorities that browsers trust, and others.
#[derive(Clone)]
pub(super) struct Client(TlsConnector);

impl Client {
    /// Makes a client that trusts these certificates, too.
    pub(super) fn new(others: Vec<CertificateDer<'static>>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for certificate in others {
            roots.add(certificate)?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?;
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    async fn exchange(
        self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<BytesResponse, AnyError> {
        let (request, host, port) = prepare(request)?;
        let tcp = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
        let tls = self.0.connect(name, tcp).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await?;
        let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let (mut parts, body) = sender.send_request(request).await?.into_parts();
        bound_retry(&mut parts.headers);
        let body = Limited::new(body, MAX_BODY).collect().await?.to_bytes();
        Ok(Response::from_parts(parts, Full::new(body)).into())
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let exchange = self.clone().exchange(request);
        Box::pin(async {
            let response = timeout(REQUEST_TIME, exchange).await.map_err(AnyError::from);
            response.and_then(|response| response).map_err(Error::Other)
        })
    }
}

/// Shortens the time after which to ask again, if it is too long.
fn bound_retry(headers: &mut HeaderMap) {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    if seconds.and_then(|text| text.trim().parse().ok()).is_some_and(|s: u64| s > LONGEST_RETRY_S) {
        headers.insert(RETRY_AFTER, HeaderValue::from(LONGEST_RETRY_S));
    }
}

/// Returns the request as it goes over a connection, with the host and port to connect to.
fn prepare<B>(mut request: Request<B>) -> Result<(Request<B>, String, u16), AnyError> {
    let uri = request.uri().clone();
    if uri.scheme() != Some(&Scheme::HTTPS) {
        return Err("an authority must have an https address".into());
    }
    let authority = uri.authority().ok_or("the address has no host")?;
    request.headers_mut().insert(HOST, HeaderValue::from_str(authority.as_str())?);
    let path = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    Ok((request, authority.host().to_owned(), authority.port_u16().unwrap_or(HTTPS_PORT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_ask_again_is_bounded() {
        for (sent, left) in [
            ("21600", "21600"),
            ("604801", "604800"),
            ("18446744073709551615", "604800"),
            ("99999999999999999999", "99999999999999999999"),
            ("Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 1999 23:59:59 GMT"),
        ] {
            let mut headers = HeaderMap::from_iter([(RETRY_AFTER, sent.parse().unwrap())]);
            bound_retry(&mut headers);
            assert_eq!(headers[RETRY_AFTER], left);
        }
    }

    #[test]
    fn requests_go_over_tls_with_their_host() {
        for (address, expected) in [
            ("https://acme.example/dir?a=1", Some(("/dir?a=1", "acme.example", 443))),
            ("https://acme.example:14000", Some(("/", "acme.example", 14000))),
            ("https://[::1]:14000/dir", Some(("/dir", "[::1]", 14000))),
            ("http://acme.example/dir", None),
            ("/dir", None),
        ] {
            let request = Request::builder().uri(address).body(()).unwrap();
            let found = prepare(request).ok();
            let found = found.as_ref().map(|(request, host, port)| {
                assert!(address.contains(request.headers()[HOST].to_str().unwrap()));
                (request.uri().path_and_query().unwrap().as_str(), host.as_str(), *port)
            });
            assert_eq!(found, expected, "{address}");
        }
    }
}
