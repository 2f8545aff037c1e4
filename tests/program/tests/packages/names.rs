//! A name server that knows one name.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use porthole_test_support::program::Place;

/// Time between two looks at whether it is to end.
const PAUSE: Duration = Duration::from_millis(50);
const HEADER_BYTES: usize = 12;
/// The end of a question: its type and class.
const QUESTION_TAIL: usize = 4;
const ADDRESS: [u8; 2] = [0, 1];

/// A running name server. It ends when dropped.
pub(crate) struct NameServer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    /// Serves the IPv4 address of a name at port 53 of an address; other names do not exist.
    pub(crate) fn start(
        place: Place<'_>,
        at: Ipv4Addr,
        name: &str,
        address: Ipv4Addr,
    ) -> Result<Self> {
        let socket = place.inside(|| UdpSocket::bind((at, 53)))??;
        socket.set_read_timeout(Some(PAUSE))?;
        let name = name.to_owned();
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut query = [0; 512];
            while !is_over.load(Ordering::Relaxed) {
                match socket.recv_from(&mut query) {
                    Ok((length, from)) => {
                        if let Some(answer) = answer(&query[..length], &name, address) {
                            let _ = socket.send_to(&answer, from);
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers a query (RFC 1035 §4): the address if it asks for that of the name.
fn answer(query: &[u8], known: &str, address: Ipv4Addr) -> Option<Vec<u8>> {
    let question = query.get(HEADER_BYTES..)?;
    let end = question.iter().position(|byte| *byte == 0)? + 1;
    let (name, tail) = (question.get(..end)?, question.get(end..end + QUESTION_TAIL)?);
    let is_known = name.eq_ignore_ascii_case(&encoded(known));
    let has_answer = is_known && tail[..2] == ADDRESS;
    // A response of a server that recurses: success, or no such name.
    let flags = if is_known { [0x81, 0x80] } else { [0x81, 0x83] };
    let counts = [0, 1, 0, u8::from(has_answer), 0, 0, 0, 0];
    let mut bytes = [&query[..2], &flags, &counts, name, tail].concat();
    if has_answer {
        // The name of the question, type A, class IN, 60 s, four bytes.
        bytes.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        bytes.extend(address.octets());
    }
    Some(bytes)
}

fn encoded(name: &str) -> Vec<u8> {
    let label = |label: &str| {
        let length = u8::try_from(label.len()).unwrap_or(u8::MAX);
        [&[length], label.as_bytes()].concat()
    };
    let mut bytes: Vec<u8> = name.split('.').flat_map(label).collect();
    bytes.push(0);
    bytes
}
