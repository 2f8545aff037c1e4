//! The entrance of HTTP connections: as long as there are places, with time limits, and an orderly
//! shutdown. Connections come from our own TCP listener, or from one of the program.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Uri};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tracing::{debug, warn};

use crate::http2;
use crate::places::{Place, Places};
use crate::prefix::{Prefix, UsedPrefix};
use crate::proxies::Proxies;

/// Time a client has to send the head of a request.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head of a request, in bytes.
pub(crate) const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Pause after a failed accept, of which the usual cause is too many open files.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The version of HTTP that a connection speaks, which its TLS handshake has found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1, over which WebSockets go, too.
    Http1,
    /// HTTP/2, by ALPN.
    Http2,
}

/// The address of the client that sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

/// Rules for connections, and the places that they take.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    /// The path of the public URL.
    pub(crate) prefix: Prefix,
    /// The proxies that say who their clients are.
    pub(crate) proxies: Proxies,
    /// The places of connections.
    pub(crate) places: Arc<Places>,
}

/// The entrance to a server, for connections that the program has accepted at other listeners.
#[derive(Debug, Clone)]
pub struct Entrance {
    router: Router,
    admission: Admission,
    tasks: TaskTracker,
    /// Ends connections after their current request.
    stop: CancellationToken,
    /// Ends them at once.
    abort: CancellationToken,
}

/// A connection that has a place, and is not served yet.
#[derive(Debug)]
pub struct Visitor {
    entrance: Entrance,
    address: IpAddr,
    place: Place,
}

impl Entrance {
    pub(crate) fn new(
        router: Router,
        admission: Admission,
        tasks: TaskTracker,
        abort: CancellationToken,
    ) -> Self {
        Self { router, admission, tasks, stop: CancellationToken::new(), abort }
    }

    /// Returns the entrance for the public port, where clients speak TLS with this program.
    pub(crate) fn at_public_port(&self) -> Self {
        let mut entrance = self.clone();
        entrance.admission.proxies = entrance.admission.proxies.at_public_port();
        entrance
    }

    /// Takes a place for a connection from this address, as early as possible: before a handshake.
    /// `None` if there are too many connections; this one must be closed then.
    #[must_use]
    pub fn admit(&self, address: IpAddr) -> Option<Visitor> {
        let address = address.to_canonical();
        // A proxy stands for all its clients, of whom the requests will tell.
        let stranger = (!self.admission.proxies.trusts(address)).then_some(address);
        let place = self.admission.places.take(stranger)?;
        Some(Visitor { entrance: self.clone(), address, place })
    }
}

impl Visitor {
    /// Waits until the connection must be closed: another one needs the place, or the server ends.
    pub async fn must_leave(&self) {
        tokio::select! {
            () = self.place.lost() => {}
            () = self.entrance.stop.cancelled() => {}
        }
    }

    /// Serves HTTP on a stream until it ends, in a task of the server. Peers wait for small
    /// messages: `TCP_NODELAY` should be set.
    pub fn serve(
        self,
        version: HttpVersion,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) {
        let tasks = self.entrance.tasks.clone();
        tasks.spawn(async move {
            let (place, abort) = (self.place.clone(), self.entrance.abort.clone());
            tokio::select! {
                () = self.exchange(version, stream) => {}
                () = place.lost() => {}
                () = abort.cancelled() => {}
            }
        });
    }

    async fn exchange(
        self,
        version: HttpVersion,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) {
        let Self { entrance: Entrance { router, admission, tasks, stop, .. }, address, place } =
            self;
        let requests = Requests { admission, address, place };
        let io = TokioIo::new(stream);
        let done = match version {
            HttpVersion::Http1 => serve_http1(io, router, requests, stop).await,
            HttpVersion::Http2 => http2::serve(io, router, requests, tasks, stop).await,
        };
        if let Err(error) = done {
            debug!(%error, "an HTTP connection has failed");
        }
    }
}

/// The requests of one connection, on their way to the router. A WebSocket keeps the place of its
/// connection.
#[derive(Debug, Clone)]
pub(crate) struct Requests {
    admission: Admission,
    address: IpAddr,
    place: Place,
}

impl Requests {
    /// Adds what the routes need to know of a request, whatever version of HTTP it came in.
    pub(crate) fn prepare(&self, mut request: Request<Incoming>) -> Request<Body> {
        let Self { admission: Admission { prefix, proxies, .. }, address, place } = self;
        name_host(&mut request);
        let client = proxies.client(*address, request.headers());
        if proxies.trusts(*address) {
            place.note_client((!client.is_proxy).then_some(client.address));
        }
        let prefix = UsedPrefix::take(prefix, &mut request);
        request.extensions_mut().insert(prefix);
        request.extensions_mut().insert(ClientAddress(client.address));
        request.extensions_mut().insert(place.clone());
        request.map(Body::new)
    }
}

/// Moves the host from the address of a request into `Host`, where everybody looks for it. HTTP/2
/// has it there (`:authority`, RFC 9113 §8.3.1), and so have requests of HTTP/1.1 for proxies; a
/// `Host` beside it does not count (RFC 9112 §3.2.2).
fn name_host<B>(request: &mut Request<B>) {
    let Some(authority) = request.uri().authority() else { return };
    let host = authority.as_str().rsplit('@').next().unwrap_or_default();
    let host = HeaderValue::from_str(host);
    let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    match host {
        Ok(host) => drop(request.headers_mut().insert(HOST, host)),
        Err(_) => drop(request.headers_mut().remove(HOST)),
    }
}

async fn serve_http1(
    io: TokioIo<impl AsyncRead + AsyncWrite + Unpin + Send + 'static>,
    router: Router,
    requests: Requests,
    stop: CancellationToken,
) -> hyper::Result<()> {
    let service = router.map_request(move |request: Request<Incoming>| requests.prepare(request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(io, TowerToHyperService::new(service))
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        done = connection.as_mut() => done,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

/// Accepts connections until `stop`; all open connections then finish their current request.
pub(crate) async fn run(listener: TcpListener, entrance: &Entrance, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return entrance.stop.cancel(),
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let Some(visitor) = entrance.admit(address.ip()) else {
            debug!("refused a connection: there are too many");
            continue;
        };
        // Nagle's algorithm would delay each small message until the previous one is acknowledged.
        match stream.set_nodelay(true) {
            Ok(()) => visitor.serve(HttpVersion::Http1, stream),
            Err(error) => debug!(%error, "the connection is already closed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_request_is_in_one_header_whatever_version_it_came_in() {
        for (what, address, header, host, left) in [
            ("HTTP/1.1", "/ws?a=b", Some("h.example"), Some("h.example"), "/ws?a=b"),
            ("HTTP/1.0", "/ws", None, None, "/ws"),
            ("HTTP/2", "https://h.example:8443/ws?a=b", None, Some("h.example:8443"), "/ws?a=b"),
            ("both", "https://h.example/", Some("evil.example"), Some("h.example"), "/"),
            ("an address", "https://[2001:db8::7]/", None, Some("[2001:db8::7]"), "/"),
            ("a name", "https://anna@h.example/", None, Some("h.example"), "/"),
            ("for a proxy", "http://h.example/a", Some("other"), Some("h.example"), "/a"),
            ("no path", "https://h.example", None, Some("h.example"), "/"),
            ("CONNECT", "h.example:443", Some("other"), Some("h.example:443"), "/"),
            ("OPTIONS *", "*", Some("h.example"), Some("h.example"), "*"),
        ] {
            let mut request = Request::builder().uri(address);
            if let Some(header) = header {
                request = request.header(HOST, header);
            }
            let mut request = request.body(()).unwrap();
            name_host(&mut request);
            let found = request.headers().get_all(HOST).iter().map(|host| host.to_str().unwrap());
            assert_eq!(found.collect::<Vec<_>>(), Vec::from_iter(host), "{what}");
            assert_eq!(request.uri().to_string(), left, "{what}");
        }
    }
}
