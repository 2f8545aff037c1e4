//! The TCP listener: accepts HTTP connections up to a bound, with time limits, and shuts them down
//! in order.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::HeaderMap;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tracing::{debug, warn};

use crate::prefix::{Prefix, UsedPrefix};

/// The most TCP connections at once: below the usual limit of open files, with room for the rest.
const MAX_CONNECTIONS: usize = 16_384;
/// Time a client has to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Pause after a failed accept, of which the usual cause is too many open files.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The header of reverse proxies that lists the addresses a request came through; the last is the
/// one that the proxy itself saw.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address of the client that sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl ClientAddress {
    /// Returns the address that a reverse proxy reports, if the request comes from one on this
    /// machine; from elsewhere, anyone could send the header. Only its last address counts: the
    /// ones before it are claims of the client.
    fn of(tcp: IpAddr, headers: &HeaderMap) -> Self {
        let tcp = tcp.to_canonical();
        if !tcp.is_loopback() {
            return Self(tcp);
        }
        let last = headers.get_all(FORWARDED_FOR).into_iter().next_back();
        let last = last.and_then(|value| value.to_str().ok()?.rsplit(',').next());
        Self(last.and_then(|address| address.trim().parse().ok()).unwrap_or(tcp))
    }
}

/// A connection's share of [`MAX_CONNECTIONS`], released when the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Permit {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// Accepts connections until `stop`; open connections then finish their current request.
pub(crate) async fn run(
    listener: TcpListener,
    router: Router,
    prefix: Prefix,
    tasks: TaskTracker,
    stop: CancellationToken,
    abort: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
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
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            debug!("refused a connection: there are too many");
            continue;
        };
        let permit = Permit { _permit: Arc::new(permit) };
        let (router, prefix) = (router.clone(), prefix.clone());
        let (stop, abort) = (stop.clone(), abort.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = serve(stream, address, (router, prefix), stop, permit) => {}
                () = abort.cancelled() => {}
            }
        });
    }
}

async fn serve(
    stream: TcpStream,
    address: SocketAddr,
    (router, prefix): (Router, Prefix),
    stop: CancellationToken,
    permit: Permit,
) {
    // Peers wait for small messages, and Nagle's algorithm would delay each until the previous one
    // is acknowledged.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "the connection is already closed");
        return;
    }
    // A WebSocket keeps the permit of its connection.
    let service = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        let client = ClientAddress::of(address.ip(), request.headers());
        let prefix = UsedPrefix::take(&prefix, &mut request);
        request.extensions_mut().insert(prefix);
        request.extensions_mut().insert(client);
        request.extensions_mut().insert(permit.clone());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proxy_on_this_machine_may_report_a_client_address() {
        for (tcp, forwarded, expected) in [
            ("192.0.2.1", vec![], "192.0.2.1"),
            ("192.0.2.1", vec!["198.51.100.7"], "192.0.2.1"),
            ("::ffff:192.0.2.1", vec!["198.51.100.7"], "192.0.2.1"),
            ("127.0.0.1", vec![], "127.0.0.1"),
            ("127.0.0.1", vec!["198.51.100.7"], "198.51.100.7"),
            ("::1", vec!["2001:db8::7"], "2001:db8::7"),
            ("::ffff:127.0.0.1", vec!["198.51.100.7"], "198.51.100.7"),
            ("127.0.0.1", vec!["203.0.113.1, 198.51.100.7"], "198.51.100.7"),
            ("127.0.0.1", vec!["203.0.113.1", "203.0.113.2,198.51.100.7 "], "198.51.100.7"),
            ("127.0.0.1", vec!["198.51.100.7, unknown"], "127.0.0.1"),
            ("127.0.0.1", vec![""], "127.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            for value in &forwarded {
                headers.append(FORWARDED_FOR, value.parse().unwrap());
            }
            let found = ClientAddress::of(tcp.parse().unwrap(), &headers);
            assert_eq!(found, ClientAddress(expected.parse().unwrap()), "{tcp} {forwarded:?}");
        }
    }
}
