//! A camera that says yes to everything, and has no picture.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use anyhow::Result;

/// The session description of its stream.
const SDP: &str = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n";

/// Starts a camera that runs until the test ends.
pub(crate) fn start() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away is the end of its connection.
            thread::spawn(move || serve(stream));
        }
    });
    Ok(address)
}

fn serve(mut stream: TcpStream) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") {
            anyhow::ensure!(reader.read_line(&mut request)? > 0, "the client is gone");
        }
        let number = request.lines().find_map(|line| line.strip_prefix("CSeq: "));
        let more = match request.split(' ').next() {
            Some("DESCRIBE") => format!("Content-Length: {}\r\n\r\n{SDP}", SDP.len()),
            Some("SETUP") => {
                "Session: 7\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n".to_owned()
            }
            _ => "Session: 7\r\n\r\n".to_owned(),
        };
        let reply = format!("RTSP/1.0 200 OK\r\nCSeq: {}\r\n{more}", number.unwrap_or_default());
        stream.write_all(reply.as_bytes())?;
    }
}
