//! TCP connections: accepted up to a number, each with time limits, ended in good order.

use axum::Router;
use http::HeaderMap;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;
use tracing::{debug, warn};

/// TCP connections at once; below the usual limit of open files after everything else.
const MAX_CONNECTIONS: usize = 16_384;
/// How long somebody may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head of a request.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// How long to rest when no connection can be accepted: usually too many open files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// The header of a reverse proxy: the addresses a request came by, the one it saw itself last.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerAddress(pub(crate) IpAddr);

impl PeerAddress {
    /// A reverse proxy is believed only on this machine; anybody else could claim to be anybody.
    /// What comes before the last address is the client's own word.
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

/// One of the places for connections; given back when the last of its owners goes.
#[derive(Debug, Clone)]
pub(crate) struct Permit {
    _place: Arc<OwnedSemaphorePermit>,
}

/// Serves until `stop`; connections then finish the request they are at.
pub(crate) async fn accept(
    listener: TcpListener,
    router: Router,
    tasks: TaskTracker,
    stop: CancellationToken,
    abort: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            debug!("too many connections; one was turned away");
            continue;
        };
        let permit = Permit { _place: Arc::new(place) };
        let (router, stop, abort) = (router.clone(), stop.clone(), abort.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = serve(stream, address, router, stop, permit) => {}
                () = abort.cancelled() => {}
            }
        });
    }
}

async fn serve(
    stream: TcpStream,
    address: SocketAddr,
    router: Router,
    stop: CancellationToken,
    permit: Permit,
) {
    // Small messages are waited for; without it each would be held back for the one before.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "the connection is gone already");
        return;
    }
    // The permit goes with the connection into a WebSocket.
    let service = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        let peer = PeerAddress::of(address.ip(), request.headers());
        request.extensions_mut().insert(peer);
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
        debug!(%error, "an HTTP connection has ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proxy_on_this_machine_says_who_its_client_is() {
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
            let found = PeerAddress::of(tcp.parse().unwrap(), &headers);
            assert_eq!(found, PeerAddress(expected.parse().unwrap()), "{tcp} {forwarded:?}");
        }
    }
}
