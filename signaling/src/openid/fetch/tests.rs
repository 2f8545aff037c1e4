//! Tests with servers that misbehave.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// Starts a server that responds to one request with these bytes, and then ends the connection or
/// waits for ever.
async fn server(response: Vec<u8>, ends: bool) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        // The client may have heard enough.
        let _sent = stream.write_all(&response).await;
        if !ends {
            std::future::pending::<()>().await;
        }
    });
    Url::parse(&format!("http://127.0.0.1:{port}/a?b=c")).unwrap()
}

#[tokio::test]
async fn a_response_is_bounded_in_length_and_time_and_no_redirect_is_followed() {
    let ok = |rest: &str| format!("HTTP/1.1 200 OK\r\n{rest}").into_bytes();
    let long = "x".repeat(MAX_BODY + 1);
    let length = long.len();
    let headers: String = (0..200).map(|number| format!("X-{number}: y\r\n")).collect();
    let head = format!("X: {}\r\n\r\n", "y".repeat(2 * MAX_HEAD));
    for (what, response, ends, expected) in [
        ("with a length", ok("Content-Length: 2\r\n\r\n{}"), false, Ok("{}")),
        ("until the end", ok("\r\n{}"), true, Ok("{}")),
        (
            "in pieces",
            ok("Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
            false,
            Ok("{}"),
        ),
        ("too long", ok(&format!("Content-Length: {length}\r\n\r\n{long}")), true, Err("too long")),
        ("too long, without a length", ok(&format!("\r\n{long}")), true, Err("too long")),
        ("cut", ok("Content-Length: 9\r\n\r\n{}"), true, Err("ended early")),
        ("a long head", ok(&head), true, Err("no response")),
        ("many headers", ok(&format!("{headers}\r\n")), true, Err("no response")),
        ("no HTTP", b"SSH-2.0-OpenSSH\r\n\r\n".to_vec(), true, Err("no response")),
        ("nothing", Vec::new(), true, Err("no response")),
        ("silence", Vec::new(), false, Err("did not respond")),
        ("silence in the body", ok("Content-Length: 9\r\n\r\n{}"), false, Err("did not respond")),
        (
            "a redirect",
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n".to_vec(),
            true,
            Err("status 302"),
        ),
        ("a refusal", b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_vec(), true, Err("500")),
    ] {
        let url = server(response, ends).await;
        let is_silent = what.starts_with("silence");
        let timeout = if is_silent { Duration::from_millis(50) } else { TIMEOUT };
        let fetcher = Fetcher { timeout, ..Fetcher::new(&[]).unwrap() };
        let found = fetcher.document(Question::get(&url)).await;
        match (found, expected) {
            (Ok(body), Ok(expected)) => assert_eq!(body, expected, "{what}"),
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{what}: {error}");
            }
            (found, _) => panic!("{what}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn nothing_is_sent_without_tls_except_to_this_machine() {
    let fetcher = Fetcher::new(&[]).unwrap();
    for url in ["http://192.0.2.1/", "http://id.example/", "ftp://127.0.0.1/", "file:///etc/passwd"]
    {
        let found = fetcher.document(Question::get(&Url::parse(url).unwrap())).await;
        assert!(matches!(found, Err(FetchError::Plain(_))), "{url}: {found:?}");
    }
}
