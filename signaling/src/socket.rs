//! `/ws`: the WebSocket of clients and gateways (RFC 6455, ONVIF WebRTC 26.06 §5.1).

use crate::{
    drive::Driver,
    line::{Line, LineEnd},
    peer::Permit,
    refusal::Refusal,
};
use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use porthole_signaling_core::{Bucket, Close, ConnId, Principal, Rate};
use porthole_signaling_proto::{MAX_MESSAGE_BYTES, SUBPROTOCOL, rpc::Message};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncReadExt as _,
    time::{MissedTickBehavior, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Error, Message as Frame,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, WebSocketConfig},
    },
};
use tracing::debug;

/// The default of 128 KiB for each idle gateway and viewer is most of what they cost.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// How often a peer is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// A peer that was silent for this long at a ping is dead: noticed within 30 s.
const SILENCE: Duration = Duration::from_secs(20);
/// A peer that does not take a message for this long is dead.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer may take to hear why it is closed.
const LINGER: Duration = Duration::from_secs(2);
/// How much of a message that is too long is read away, so that its sender hears why.
const LINGER_BYTES: usize = 16 * 1024 * 1024;
/// Pings and pongs; browsers send none of themselves.
const CONTROL_RATE: Rate = Rate { burst: 60, per_minute: 300 };

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Answers the handshake; the WebSocket is served in a task of its own.
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
    let permit = request.extensions_mut().remove::<Permit>();
    driver.clone().tasks.spawn(async move {
        match upgrade.await {
            Ok(upgraded) => serve(driver, upgraded, principal).await,
            Err(error) => debug!(%error, "the WebSocket was not taken up"),
        }
        drop(permit);
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

/// RFC 6455 §4.2.1; gives `Sec-WebSocket-Accept`.
fn check_handshake(headers: &HeaderMap) -> Result<HeaderValue, Refusal> {
    let bad = |text: &str| Refusal::new(StatusCode::BAD_REQUEST, text);
    if !has_word(headers, &header::CONNECTION, "upgrade")
        || !has_word(headers, &header::UPGRADE, "websocket")
    {
        let mut refusal = Refusal::new(StatusCode::UPGRADE_REQUIRED, "this is for WebSockets");
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
        .map_err(|_| bad("`Sec-WebSocket-Key` is no key"))
}

fn has_word(headers: &HeaderMap, name: &header::HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|found| found.trim().eq_ignore_ascii_case(word))
}

async fn serve(driver: Arc<Driver>, upgraded: Upgraded, principal: Option<Principal>) {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    let io = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
    let (line, mut end) = Line::new();
    let conn = driver.open(line, principal);
    let close = tokio::select! {
        close = exchange(&driver, &mut socket, &mut end, conn) => close,
        () = driver.abort.cancelled() => None,
    };
    driver.closed(conn);
    if let Some(close) = close {
        debug!(conn = conn.0, code = close.code, reason = close.reason, "closing the WebSocket");
        // Whoever does not want to hear it is gone all the same.
        let _in_time = timeout(LINGER, say_goodbye(&mut socket, close)).await;
    }
}

/// Passes messages on until one side has enough; what to say to the peer, if it still listens.
async fn exchange(
    driver: &Arc<Driver>,
    socket: &mut Socket,
    end: &mut LineEnd,
    conn: ConnId,
) -> Option<Close> {
    let mut ping = tokio::time::interval(PING_INTERVAL);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    let mut control = Bucket::new(CONTROL_RATE, heard);
    loop {
        let frame = tokio::select! {
            message = end.next() => match message {
                Ok(json) => Frame::text(json),
                Err(close) => return Some(close),
            },
            frame = socket.next() => {
                heard = Instant::now();
                if let Err(close) = receive(driver, conn, frame, &mut control) {
                    return close;
                }
                continue;
            }
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE {
                    debug!(conn = conn.0, "the peer is silent");
                    return None;
                }
                Frame::Ping(bytes::Bytes::new())
            }
        };
        let sent = tokio::select! {
            sent = timeout(SEND_TIMEOUT, socket.send(frame)) => sent,
            close = end.cut() => return Some(close),
        };
        if !matches!(sent, Ok(Ok(()))) {
            return None;
        }
    }
}

/// `Err` ends the WebSocket, with something to say if the peer still listens.
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
        Some(Err(error)) => Err(broken(&error)),
        Some(Ok(Frame::Close(_))) | None => Err(None),
    }
}

fn broken(error: &Error) -> Option<Close> {
    if matches!(error, Error::Utf8(_)) {
        return Some(Close { code: 1007, reason: "the text is not UTF-8" });
    }
    let wrong = matches!(error, Error::Protocol(_));
    wrong.then_some(Close { code: 1002, reason: "that is not RFC 6455" })
}

/// Says why, and waits for the peer to have heard it.
async fn say_goodbye(socket: &mut Socket, close: Close) {
    let readable = close != Close::TOO_BIG;
    let frame = CloseFrame { code: close.code.into(), reason: close.reason.into() };
    let sent: Result<(), tungstenite::Error> = socket.send(Frame::Close(Some(frame))).await;
    if sent.is_err() {
        return;
    }
    if readable {
        // Its own close frame is the last; then it is ours to end the connection.
        while let Some(Ok(_)) = socket.next().await {}
    } else {
        read_away(socket).await;
    }
}

/// Reads what is still under way of a message that nobody wants: a socket closed over unread
/// bytes is reset, and its peer would never hear why.
async fn read_away(socket: &mut Socket) {
    let mut scratch = vec![0; READ_BUFFER_BYTES];
    let mut read = 0;
    while read < LINGER_BYTES {
        match socket.get_mut().read(&mut scratch).await {
            Ok(0) | Err(_) => return,
            Ok(count) => read += count,
        }
    }
}
