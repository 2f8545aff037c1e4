//! Serves connections: a few at once, each with time limits.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::listener::Bound;

/// Most connections at once: an operator, a scraper and a script need a few. Others wait.
const MAX_CONNECTIONS: usize = 32;
/// Time that the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of a head: tokens are short.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// Lifetime of a connection: far longer than any request takes.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause after a connection could not be accepted.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Accepts and serves connections until `stop` is cancelled.
pub(crate) async fn accept(bound: Bound, router: Router, stop: CancellationToken) {
    let limit = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let serve_all = async {
        loop {
            let Ok(permit) = Arc::clone(&limit).acquire_owned().await else { return };
            let (router, stop) = (router.clone(), stop.clone());
            match next(&bound).await {
                Ok(stream) => drop(tokio::spawn(async move {
                    let _permit = permit;
                    tokio::select! {
                        () = serve(stream, router) => {}
                        () = tokio::time::sleep(CONNECTION_TIMEOUT) => {}
                        () = stop.cancelled() => {}
                    }
                })),
                Err(error) => {
                    tracing::warn!(%error, "the admin API cannot accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    };
    tokio::select! {
        () = serve_all => {}
        () = stop.cancelled() => {}
    }
}

/// A connection of either kind.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn next(bound: &Bound) -> std::io::Result<Box<dyn Stream>> {
    Ok(match bound {
        Bound::Tcp(listener, _) => Box::new(listener.accept().await?.0),
        Bound::Unix(listener, _) => Box::new(listener.accept().await?.0),
    })
}

async fn serve(stream: Box<dyn Stream>, router: Router) {
    let service = router.map_request(|request: http::Request<hyper::body::Incoming>| {
        request.map(axum::body::Body::new)
    });
    let done = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .await;
    if let Err(error) = done {
        tracing::debug!(%error, "a connection to the admin API has ended");
    }
}
