//! WebSockets of clients and gateways at `/ws` (RFC 6455, ONVIF WebRTC 26.06 §5.1).

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use porthole_signaling_core::{Bucket, Close, ConnId, Principal, Rate};
use porthole_signaling_proto::rpc::Message;
use porthole_signaling_proto::{MAX_MESSAGE_BYTES, SUBPROTOCOL};
use tokio::io::AsyncReadExt as _;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tokio_tungstenite::{WebSocketStream, tungstenite};
use tracing::debug;

use crate::driver::{self, Driver};
use crate::outbox::{Outbox, OutboxReader};
use crate::places::{self, Place};
use crate::refusal::Refusal;

/// Size of the read buffer. The default of 128 KiB would be most of the memory of an idle peer.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Interval of pings to the peer.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Silence after which, at the next ping, a peer counts as dead: it is noticed within 30 s.
const MAX_SILENCE: Duration = Duration::from_secs(20);
/// Time after which a peer that does not accept a message counts as dead.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Time a peer has to receive the reason why its WebSocket is closed.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes of an over-long message that are read and discarded, so that its sender receives the
/// reason.
const LINGER_BYTES: usize = 16 * 1024 * 1024;
/// Rate of pings and pongs. Browsers send no pings of their own.
const CONTROL_RATE: Rate = Rate { burst: 60, per_minute: 300 };

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Answers the handshake and serves the WebSocket in a task of its own.
pub(crate) fn upgrade(
    driver: &Arc<Driver>,
    mut request: Request,
    principal: Option<Principal>,
) -> Response {
    let key = match check_handshake(request.headers()) {
        Ok(key) => key,
        Err(refusal) => return refusal.into_response(),
    };
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return Refusal::new(StatusCode::BAD_REQUEST, "this connection cannot become a WebSocket")
            .into_response();
    };
    let driver = Arc::clone(driver);
    let place = request.extensions_mut().remove::<Place>();
    driver.clone().tasks.spawn(async move {
        match upgrade.await {
            Ok(upgraded) => serve(driver, upgraded, principal, place).await,
            Err(error) => debug!(%error, "the upgrade to a WebSocket failed"),
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    response
}

/// Checks the handshake (RFC 6455 §4.2.1). Returns the value of `Sec-WebSocket-Accept`.
fn check_handshake(headers: &HeaderMap) -> Result<HeaderValue, Refusal> {
    let bad = |text: &str| Refusal::new(StatusCode::BAD_REQUEST, text);
    if !has_word(headers, &header::CONNECTION, "upgrade")
        || !has_word(headers, &header::UPGRADE, "websocket")
    {
        let mut refusal =
            Refusal::new(StatusCode::UPGRADE_REQUIRED, "this path is for WebSockets only");
        refusal.header(header::UPGRADE, "websocket");
        return Err(refusal);
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(bad("the WebSocket version must be 13"));
    }
    if !has_word(headers, &header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        return Err(bad("the WebSocket sub-protocol must be `webrtc.onvif.org`"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let key = key.ok_or_else(|| bad("`Sec-WebSocket-Key` is missing"))?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
        .map_err(|_| bad("`Sec-WebSocket-Key` is not valid"))
}

fn has_word(headers: &HeaderMap, name: &header::HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|found| found.trim().eq_ignore_ascii_case(word))
}

async fn serve(
    driver: Arc<Driver>,
    upgraded: Upgraded,
    principal: Option<Principal>,
    place: Option<Place>,
) {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    let io = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let (outbox, mut reader) = Outbox::new();
    let conn = driver.open(driver::Socket { outbox, place: place.clone() }, principal);
    let close = tokio::select! {
        close = exchange(&driver, &mut socket, &mut reader, conn) => close,
        () = driver.abort.cancelled() => None,
        () = places::lost(place.as_ref()) => None,
    };
    driver.closed(conn);
    if let Some(close) = close {
        debug!(conn = conn.0, code = close.code, reason = close.reason, "closing the WebSocket");
        // The peer is disconnected even if it does not read the reason.
        let _in_time = timeout(LINGER, send_close(&mut socket, close)).await;
    }
}

/// Passes messages between the peer and the hub until one of them ends the WebSocket. Returns the
/// close frame to send, or `None` if the peer is gone or has closed the WebSocket itself.
async fn exchange(
    driver: &Arc<Driver>,
    socket: &mut Socket,
    outbox: &mut OutboxReader,
    conn: ConnId,
) -> Option<Close> {
    let mut ping = tokio::time::interval(PING_INTERVAL);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_received = Instant::now();
    let mut control = Bucket::new(CONTROL_RATE, last_received);
    loop {
        let frame = tokio::select! {
            message = outbox.next() => match message {
                Ok(json) => Frame::text(json),
                Err(close) => return Some(close),
            },
            frame = socket.next() => {
                last_received = Instant::now();
                if let Err(close) = receive(driver, conn, frame, &mut control) {
                    return close;
                }
                continue;
            }
            _ = ping.tick() => {
                if last_received.elapsed() > MAX_SILENCE {
                    debug!(conn = conn.0, "the peer is silent");
                    return None;
                }
                Frame::Ping(bytes::Bytes::new())
            }
        };
        let sent = tokio::select! {
            sent = timeout(SEND_TIMEOUT, socket.send(frame)) => sent,
            close = outbox.closed_now() => return Some(close),
        };
        if !matches!(sent, Ok(Ok(()))) {
            return None;
        }
    }
}

/// Handles a frame from the peer.
///
/// # Errors
/// When the WebSocket has to end: the close frame to send, if the peer can still receive one.
fn receive(
    driver: &Arc<Driver>,
    conn: ConnId,
    frame: Option<Result<Frame, Error>>,
    control: &mut Bucket,
) -> Result<(), Option<Close>> {
    match frame {
        Some(Ok(Frame::Text(text))) => {
            let message = Message::from_json(text.as_str());
            driver.with(|hub, now| hub.handle_message(now, conn, message));
            Ok(())
        }
        Some(Ok(Frame::Binary(_))) => Err(Some(Close::NOT_TEXT)),
        Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => {
            if control.take(Instant::now()) { Ok(()) } else { Err(Some(Close::TOO_MANY)) }
        }
        Some(Err(Error::Capacity(_))) => Err(Some(Close::TOO_BIG)),
        Some(Err(error)) => Err(close_for(&error)),
        Some(Ok(Frame::Close(_))) | None => Err(None),
    }
}

fn close_for(error: &Error) -> Option<Close> {
    if matches!(error, Error::Utf8(_)) {
        return Some(Close { code: 1007, reason: "the text is not UTF-8" });
    }
    let violates = matches!(error, Error::Protocol(_));
    violates.then_some(Close { code: 1002, reason: "a frame violates RFC 6455" })
}

/// Sends the close frame and waits until the peer has received it.
async fn send_close(socket: &mut Socket, close: Close) {
    let readable = close != Close::TOO_BIG;
    let frame = CloseFrame { code: close.code.into(), reason: close.reason.into() };
    let sent: Result<(), tungstenite::Error> = socket.send(Frame::Close(Some(frame))).await;
    if sent.is_err() {
        return;
    }
    if readable {
        // The peer answers with its own close frame, after which the server ends the connection
        // (RFC 6455 §7.1.1).
        while let Some(Ok(_)) = socket.next().await {}
    } else {
        discard(socket).await;
    }
}

/// Reads and discards the rest of an over-long message: a socket that is closed with unread bytes
/// is reset, and its peer would never receive the reason.
async fn discard(socket: &mut Socket) {
    let mut scratch = vec![0; READ_BUFFER_BYTES];
    let mut read = 0;
    while read < LINGER_BYTES {
        match socket.get_mut().read(&mut scratch).await {
            Ok(0) | Err(_) => return,
            Ok(count) => read += count,
        }
    }
}
