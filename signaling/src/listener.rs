//! The TCP listener: accepts HTTP connections as long as there are places, with time limits, and
//! shuts them down in order.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
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

/// Accepts connections until `stop`; open connections then finish their current request.
pub(crate) async fn run(
    listener: TcpListener,
    router: Router,
    admission: Admission,
    tasks: TaskTracker,
    stop: CancellationToken,
    abort: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let ip = address.ip().to_canonical();
        // A proxy stands for all its clients, of whom the requests will tell.
        let stranger = (!admission.proxies.trusts(ip)).then_some(ip);
        let Some(place) = admission.places.take(stranger) else {
            debug!("refused a connection: there are too many");
            continue;
        };
        let (router, admission) = (router.clone(), admission.clone());
        let (stop, abort) = (stop.clone(), abort.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = serve(stream, ip, (router, admission), stop, place.clone()) => {}
                () = place.lost() => {}
                () = abort.cancelled() => {}
            }
        });
    }
}

async fn serve(
    stream: TcpStream,
    address: IpAddr,
    (router, admission): (Router, Admission),
    stop: CancellationToken,
    place: Place,
) {
    // Peers wait for small messages, and Nagle's algorithm would delay each until the previous one
    // is acknowledged.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "the connection is already closed");
        return;
    }
    // A WebSocket keeps the place of its connection.
    let service = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
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
