//! One HTTP request to a server: is it there, is it Porthole, and what time does it have?

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{CertificateError, Error as TlsError};
use url::Url;

use super::Patient;
use super::finding::Finding;

/// Time for the whole request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// More than the headers of the response have.
const MAX_RESPONSE_BYTES: usize = 8 * 1024;
/// Difference of two clocks from which short-lived credentials and codes begin to fail.
const CLOCKS_APART: Duration = Duration::from_secs(30);
/// The answer of `/healthz`.
const HEALTHY: &str = "ok\n";

/// The response of a server.
#[derive(Debug, PartialEq, Eq)]
struct Reply {
    status: u16,
    date: Option<SystemTime>,
    body: String,
}

/// Returns true if Porthole answers at this address, with TLS for this name if it is given.
///
/// # Errors
///
/// Returns the reason why the certificate is not trusted.
pub(super) async fn is_porthole(
    address: SocketAddr,
    tls: Option<(&TlsConnector, &str)>,
) -> Result<bool, String> {
    let host = address.ip().to_string();
    match timeout(TIMEOUT, get(address, &host, "/healthz", tls)).await {
        Ok(Ok(reply)) => Ok(reply.status == 200 && reply.body == HEALTHY),
        Ok(Err(error)) => match untrusted(&error) {
            Some(reason) => Err(reason.to_string()),
            None => Ok(false),
        },
        Err(_) => Ok(false),
    }
}

/// Asks a server of this machine over a connection if it is alive.
///
/// # Errors
///
/// Fails if it does not answer within 5 s, or answers anything but 200.
pub async fn ask_health(stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let asked = timeout(TIMEOUT, exchange(stream, "localhost", "/healthz")).await;
    let reply = asked.map_err(|_| io::Error::other("no answer within 5 s"))??;
    if reply.status == 200 {
        return Ok(());
    }
    Err(io::Error::other(format!("it answers with {}: {}", reply.status, reply.body.trim())))
}

/// Checks that a gateway reaches its server, and that their clocks agree.
pub(super) async fn check_server(patient: &Patient<'_>) -> Vec<Finding> {
    let Some(url) = &patient.config.gateway.server else {
        let advice = "give the URL of the signaling server: gateway.server, or --server";
        return vec![Finding::failure("server", "the gateway has no server", advice)];
    };
    let subject = format!("server {url}");
    match timeout(TIMEOUT, ask(url, &patient.tls)).await {
        Ok(Ok(reply)) if reply.status == 200 && reply.body == HEALTHY => {
            let mut findings = vec![Finding::ok(subject, "Porthole answers")];
            findings.extend(reply.date.map(|date| clock(date, SystemTime::now())));
            findings
        }
        Ok(Ok(reply)) => {
            let text = format!("something answers with {}, not Porthole", reply.status);
            let advice = "check the URL: it is that of the dashboard, with its path if it has one";
            vec![Finding::failure(subject, text, advice)]
        }
        Ok(Err(error)) => vec![unreachable_server(subject, &error)],
        Err(_) => {
            let advice = "check that the server runs, and that no firewall on the way stops it";
            vec![Finding::failure(subject, "no answer within 5 s", advice)]
        }
    }
}

fn unreachable_server(subject: String, error: &io::Error) -> Finding {
    match untrusted(error) {
        Some(reason) => Finding::failure(
            subject,
            format!("its certificate is not trusted: {reason}"),
            "use the name that the certificate is for, or set gateway.ca_certificates to the \
             certificate of its authority; if the server has made one of its own, start the \
             gateway with the fingerprint in the server's log: --ca-fingerprint",
        ),
        None => Finding::failure(
            subject,
            format!("cannot be reached: {error}"),
            "check the URL, this machine's network and its DNS",
        ),
    }
}

/// Compares the clock of the server with ours.
fn clock(theirs: SystemTime, ours: SystemTime) -> Finding {
    let (ahead, apart) = match ours.duration_since(theirs) {
        Ok(apart) => ("ahead of", apart),
        Err(error) => ("behind", error.duration()),
    };
    if apart < CLOCKS_APART {
        return Finding::ok("clock", "agrees with the server's");
    }
    let text = format!("{} s {ahead} the server's", apart.as_secs());
    Finding::failure("clock", text, "set it by NTP on both machines: timedatectl set-ntp true")
}

async fn ask(url: &Url, tls: &TlsConnector) -> io::Result<Reply> {
    let invalid = || io::Error::other("it is not an http or https URL with a host");
    let host = url.host_str().ok_or_else(invalid)?;
    let port = url.port_or_known_default().ok_or_else(invalid)?;
    let name = host.trim_matches(['[', ']']);
    let address = lookup_host((name, port)).await?.next();
    let address = address.ok_or_else(|| io::Error::other("the name has no address"))?;
    let path = format!("{}/healthz", url.path().trim_end_matches('/'));
    let tls = matches!(url.scheme(), "https" | "wss").then_some((tls, name));
    get(address, host, &path, tls).await
}

async fn get(
    address: SocketAddr,
    host: &str,
    path: &str,
    tls: Option<(&TlsConnector, &str)>,
) -> io::Result<Reply> {
    let stream = TcpStream::connect(address).await?;
    let Some((connector, name)) = tls else { return exchange(stream, host, path).await };
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    exchange(connector.connect(name, stream).await?, host, path).await
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    path: &str,
) -> io::Result<Reply> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    let bound = u64::try_from(MAX_RESPONSE_BYTES).unwrap_or(u64::MAX);
    // A server may close TLS without saying so; what has arrived counts.
    if let Err(error) = stream.take(bound).read_to_end(&mut bytes).await
        && error.kind() != io::ErrorKind::UnexpectedEof
    {
        return Err(error);
    }
    parse(&String::from_utf8_lossy(&bytes)).ok_or_else(|| io::Error::other("it is no HTTP server"))
}

fn parse(text: &str) -> Option<Reply> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let mut status = lines.next()?.split(' ');
    let is_http = status.next()?.starts_with("HTTP/1.");
    let status = status.next()?.parse().ok().filter(|_| is_http)?;
    let date = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("date").then(|| httpdate::parse_http_date(value.trim()).ok())?
    });
    Some(Reply { status, date, body: body.to_owned() })
}

fn untrusted(error: &io::Error) -> Option<CertificateError> {
    let TlsError::InvalidCertificate(reason) = error.get_ref()?.downcast_ref()? else {
        return None;
    };
    Some(reason.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn a_response_is_read_or_refused() {
        let epoch = SystemTime::UNIX_EPOCH;
        let date = "Date: Thu, 01 Jan 1970 00:00:09 GMT";
        for (text, expected) in [
            (
                format!("HTTP/1.1 200 OK\r\n{date}\r\n\r\nok\n"),
                Some((200, Some(epoch + Duration::from_secs(9)), "ok\n")),
            ),
            ("HTTP/1.0 404 Not Found\r\n\r\n".to_owned(), Some((404, None, ""))),
            ("HTTP/1.1 200 OK\r\nDate: today\r\n\r\n".to_owned(), Some((200, None, ""))),
            ("SSH-2.0-OpenSSH\r\n\r\n".to_owned(), None),
            ("HTTP/1.1 ok\r\n\r\n".to_owned(), None),
            (String::new(), None),
        ] {
            let found = parse(&text).map(|reply| (reply.status, reply.date, reply.body));
            let expected = expected.map(|(status, date, body)| (status, date, body.to_owned()));
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn clocks_that_are_apart_are_named_with_their_order() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (theirs, level, text) in [
            (now - Duration::from_secs(29), Level::Ok, "agrees with the server's"),
            (now - Duration::from_secs(90), Level::Failure, "90 s ahead of the server's"),
            (now + Duration::from_secs(90), Level::Failure, "90 s behind the server's"),
        ] {
            let found = clock(theirs, now);
            assert_eq!((found.level, found.text.as_str()), (level, text));
        }
    }
}
