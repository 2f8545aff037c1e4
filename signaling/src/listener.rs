//! The entrance of HTTP connections: as long as there are places, with time limits, and an orderly
//! shutdown. Connections come from our own TCP listener, or from one of the program.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
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

use crate::places::{Place, Places};
use crate::prefix::{Prefix, UsedPrefix};
use crate::proxies::Proxies;

/// Time a client has to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Pause after a failed accept, of which the usual cause is too many open files.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

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
    pub fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let tasks = self.entrance.tasks.clone();
        tasks.spawn(async move {
            let (place, abort) = (self.place.clone(), self.entrance.abort.clone());
            tokio::select! {
                () = self.exchange(stream) => {}
                () = place.lost() => {}
                () = abort.cancelled() => {}
            }
        });
    }

    async fn exchange(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { entrance: Entrance { router, admission, stop, .. }, address, place } = self;
        // A WebSocket keeps the place of its connection.
        let service = router.map_request(move |mut request: http::Request<Incoming>| {
            let Admission { prefix, proxies, .. } = &admission;
            let client = proxies.client(address, request.headers());
            if proxies.trusts(address) {
                place.note_client((!client.is_proxy).then_some(client.address));
            }
            let prefix = UsedPrefix::take(prefix, &mut request);
            request.extensions_mut().insert(prefix);
            request.extensions_mut().insert(ClientAddress(client.address));
            request.extensions_mut().insert(place.clone());
            request.map(axum::body::Body::new)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let done = tokio::select! {
            done = connection.as_mut() => done,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = done {
            debug!(%error, "an HTTP connection has failed");
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
            Ok(()) => visitor.serve(stream),
            Err(error) => debug!(%error, "the connection is already closed"),
        }
    }
}
