//! The WebSocket to the signaling server, without reconnecting.

use anyhow::Context as _;
use futures_util::{SinkExt as _, StreamExt as _};
use porthole_signaling_proto::SUBPROTOCOL;
use porthole_signaling_proto::rpc::Message;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use url::Url;

pub use porthole_gateway::driver::LinkEvent;

/// Passes messages both ways. When the connection is lost, media goes on, so this discards messages
/// and waits.
///
/// # Errors
/// Returns an error if there is no connection, or nobody takes its events any more.
pub async fn run(
    server: &Url,
    token: &str,
    events: mpsc::Sender<LinkEvent>,
    mut outgoing: mpsc::Receiver<Message>,
) -> anyhow::Result<()> {
    let url = porthole_gateway::websocket_url(server)?;
    let mut request = url.as_str().into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse()?);
    headers.insert("Authorization", format!("Bearer {token}").parse()?);
    // No message waits for the acknowledgement of the one before.
    let no_delay = true;
    let connected = tokio_tungstenite::connect_async_with_config(request, None, no_delay).await;
    let (mut socket, _) = connected.context("the server does not respond")?;
    let server = porthole_gateway::server_address(socket.get_ref());
    events.send(LinkEvent::Online { server }).await?;
    loop {
        tokio::select! {
            message = outgoing.recv() => {
                let Some(message) = message else { break };
                if socket.send(Frame::text(message.to_json())).await.is_err() {
                    break;
                }
            }
            frame = socket.next() => match frame {
                Some(Ok(Frame::Text(text))) => {
                    if let Ok(message) = Message::from_json(&text) {
                        events.send(LinkEvent::Message(message)).await?;
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            },
        }
    }
    // Messages from now on cannot be delivered.
    events.send(LinkEvent::Offline).await?;
    while outgoing.recv().await.is_some() {}
    Ok(())
}
