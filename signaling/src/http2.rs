//! Connections of HTTP/2 (RFC 9113): many requests at a time, each a stream. WebSockets go over
//! HTTP/1.1, because the server does not announce the extended CONNECT of RFC 8441.
//!
//! What a connection may cost is bounded here: streams, heads, bodies, what waits to be sent,
//! streams that are given up, and the time without a request.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::Request;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::rt::{Executor, Read, Write};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::listener::{HEAD_TIMEOUT, MAX_HEAD_BYTES, Requests};

/// Most requests of a connection at a time. A page of the dashboard makes a dozen; more than these
/// wait in the browser.
const MAX_STREAMS: u32 = 32;
/// Most requests of a connection whose bodies are being received or answered. Each body is read as
/// a whole, so that a connection would otherwise take 64 KiB for each of its streams.
const MAX_BODIES: usize = 4;
/// Bytes of a body that a client may send before the server takes them.
const STREAM_WINDOW: u32 = 8 * 1024;
/// Bytes of all bodies of a connection that a client may send before the server takes them: those
/// that wait for a place must not fill it, or none that has a place would ever be whole.
const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;
/// Bytes of a response that wait for a slow client.
const MAX_SEND_BUFFER: usize = 64 * 1024;
/// Most streams that a client may have given up before the server has seen them: with more, its
/// connection ends (CVE-2023-44487, rapid reset). A browser gives up a page's requests, most of
/// which were seen before.
const MAX_UNSEEN_RESETS: usize = 20;
/// Most streams that the server has had to reset, because their frames break the rules, before the
/// connection ends.
const MAX_OWN_RESETS: usize = 64;
/// Silence after which a client is asked if it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// Time for its answer.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Time without a request after which a connection ends: as between two requests of HTTP/1.1.
const IDLE_TIME: Duration = HEAD_TIMEOUT;
/// Time that a client has to hear that its connection ends, or to begin it at all.
const FAREWELL_TIME: Duration = Duration::from_secs(10);

/// Serves a connection until it ends, has been idle for some time, or `stop`.
pub(crate) async fn serve(
    io: impl Read + Write + Unpin + Send + 'static,
    router: Router,
    requests: Requests,
    tasks: TaskTracker,
    stop: CancellationToken,
) -> hyper::Result<()> {
    let (open, open_requests) = watch::channel(0_usize);
    let (open, bodies) = (Arc::new(open), Arc::new(Semaphore::new(MAX_BODIES)));
    let service = service_fn(move |request: Request<Incoming>| {
        let counted = Counted::new(&open);
        let (router, bodies) = (router.clone(), Arc::clone(&bodies));
        let has_body = !request.body().is_end_stream();
        let request = requests.prepare(request);
        async move {
            // It is never closed, so that there is a place sooner or later.
            let _place = if has_body { bodies.acquire_owned().await.ok() } else { None };
            let response = router.oneshot(request).await;
            response.map(|response| response.map(|body| Answer { body, _counted: counted }))
        }
    });
    let connection = builder(tasks).serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        done = connection.as_mut() => return done,
        () = stop.cancelled() => {}
        () = idle(open_requests) => {}
    }
    connection.as_mut().graceful_shutdown();
    timeout(FAREWELL_TIME, connection).await.unwrap_or(Ok(()))
}

fn builder(tasks: TaskTracker) -> http2::Builder<Tasks> {
    let mut builder = http2::Builder::new(Tasks(tasks));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_UNSEEN_RESETS)
        .max_local_error_reset_streams(MAX_OWN_RESETS)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// The tasks of the server, in which each stream has one. A stream ends with its connection.
#[derive(Debug, Clone)]
struct Tasks(TaskTracker);

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

/// The body of a response, until the end of which its request counts as open.
struct Answer {
    body: Body,
    _counted: Counted,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request that is counted as open.
struct Counted(Arc<watch::Sender<usize>>);

impl Counted {
    fn new(open: &Arc<watch::Sender<usize>>) -> Self {
        open.send_modify(|count| *count = count.saturating_add(1));
        Self(Arc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// Waits until there has been no open request for [`IDLE_TIME`].
async fn idle(mut open: watch::Receiver<usize>) {
    loop {
        if open.wait_for(|count| *count == 0).await.is_err() {
            return;
        }
        let begun = open.wait_for(|count| *count > 0);
        // The sender lives as long as the connection.
        if !matches!(timeout(IDLE_TIME, begun).await, Ok(Ok(_))) {
            return;
        }
    }
}
