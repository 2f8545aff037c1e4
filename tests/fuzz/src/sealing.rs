//! The target for what a server sends as a sealed password, and what a disk has as stored cameras.

use std::time::{Duration, Instant};

use porthole_gateway_core::sealing::{Purpose, SealError, Sealing};
use porthole_gateway_core::store::{Store, Vault};
use porthole_signaling_proto::GatewayId;
use porthole_signaling_proto::manage::{Login, Sealed};

/// Checks that no bytes are opened as a password that was not sealed, and that a nonce is used up
/// by the first try. The lines are the nonce (empty: the one that was handed out), the encapsulated
/// key, the ciphertext and the address. All of them are also read as a plaintext, and as the file
/// of stored cameras.
pub fn sealed_messages(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default().to_owned();
    let gateway: GatewayId = "gateway".parse().expect("an id");
    let now = Instant::now();
    let mut sealing = Sealing::new(gateway.clone(), [7; 32], now);
    let out = sealing.hand_out(now);
    let (nonce, enc, ciphertext, address) = (line(), line(), line(), line());
    let nonce = if nonce.is_empty() { out.nonce } else { nonce };
    let sealed = Sealed { nonce, enc, ciphertext };
    let purpose =
        Purpose { camera: None, address: &address, allows_text: data.len().is_multiple_of(2) };
    let first = sealing.open(now + Duration::from_secs(1), &sealed, purpose);
    let error = first.expect_err("nobody has sealed it");
    let sentence = error.to_string();
    assert!(!sentence.contains(char::is_control) && sentence.len() < 300);
    assert_eq!(sealing.open(now, &sealed, purpose).err(), Some(SealError::Nonce), "a second time");

    if let Some(login) = Login::from_json(data) {
        assert_eq!(Login::from_json(&login.to_json()), Some(login));
    }
    if let Ok(store) = Store::read(&text) {
        let vault = Vault::new(gateway, &[1; 32], [2; 32]);
        assert!(store.cameras().all(|kept| kept.credentials(&vault).is_none()));
        assert_eq!(Store::read(&store.write()), Ok(store), "a file that was read is written");
    }
}
