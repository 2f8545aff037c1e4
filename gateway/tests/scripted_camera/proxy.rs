//! Ways to a camera: through TLS, and through the two requests of an HTTP tunnel.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, copy_bidirectional};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Starts a proxy with a certificate that nobody has signed. Returns its port. `change` may spoil
/// the certificate.
pub(crate) async fn tls_proxy(camera: u16, change: impl Fn(&[u8]) -> Vec<u8>) -> u16 {
    let generated = rcgen::generate_simple_self_signed(["camera".to_owned()]).expect("a key");
    let key = generated.signing_key.serialize_der().try_into().expect("a key");
    let key = ring::sign::any_supported_type(&key).expect("a key");
    let certificate = change(generated.cert.der()).into();
    let certified = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certified));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut to = TcpStream::connect(("127.0.0.1", camera)).await.expect("the camera");
                let _ = copy_bidirectional(&mut stream, &mut to).await;
            });
        }
    });
    port
}

/// Starts a server that refuses every TLS handshake with an alert of this number (RFC 8446 §6).
/// Returns its port.
pub(crate) async fn tls_refusal(alert: u8) -> u16 {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut hello = [0; 4096];
            let _ = stream.read(&mut hello).await;
            let _ = stream.write_all(&[21, 3, 1, 0, 2, 2, alert]).await;
        }
    });
    port
}

type Waiting = Arc<Mutex<HashMap<String, OwnedWriteHalf>>>;

/// Starts the HTTP server of a camera. Returns its port.
pub(crate) async fn tunnel(camera: u16) -> u16 {
    let (listener, port) = listen().await;
    let waiting = Waiting::default();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handle(stream, camera, Arc::clone(&waiting)));
        }
    });
    port
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    (listener, port)
}

/// Handles one of the two requests.
async fn handle(mut stream: TcpStream, camera: u16, waiting: Waiting) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).expect("a request is text");
    let cookie = head.lines().find_map(|line| line.strip_prefix("x-sessioncookie: "));
    let cookie = cookie.expect("both requests have it").to_owned();
    if head.starts_with("GET ") {
        let to = TcpStream::connect(("127.0.0.1", camera)).await.expect("the camera");
        let (mut from_camera, to_camera) = to.into_split();
        waiting.lock().expect("no panic").insert(cookie, to_camera);
        let reply = b"HTTP/1.0 200 OK\r\nContent-Type: application/x-rtsp-tunnelled\r\n\r\n";
        stream.write_all(reply).await.expect("it reads");
        let _ = copy(&mut from_camera, &mut stream).await;
        return;
    }
    assert!(head.starts_with("POST "), "{head}");
    let to_camera = waiting.lock().expect("no panic").remove(&cookie);
    let mut to_camera = to_camera.expect("GET comes first");
    let mut text = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(len @ 1..) = stream.read(&mut buffer).await {
        text.extend_from_slice(&buffer[..len]);
        // Each message is padded by itself, so it ends a group of four.
        let whole = text.len() / 4 * 4;
        for group in text.drain(..whole).collect::<Vec<_>>().chunks(4) {
            let bytes = STANDARD.decode(group).expect("base64");
            if to_camera.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }
}
