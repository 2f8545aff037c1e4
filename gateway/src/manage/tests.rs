use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, VerifyingKey};
use porthole_signaling_proto::identity;

use super::*;

#[tokio::test]
async fn the_sealing_key_is_signed_with_the_key_of_the_gateway_and_bound_to_its_nonce() {
    let folder = tempfile::tempdir().unwrap();
    let key = Arc::new(Key::load_or_create(folder.path()).unwrap());
    let ((_, questions), (answers, _received)) = (mpsc::channel(1), mpsc::channel(1));
    let channels = ManagerChannels { questions, answers };
    let (file, store, vault) = StoreFile::load(folder.path(), key.id()).unwrap();
    let shelf = Shelf { file, store, vault };
    let (updates, _) = mpsc::channel(1);
    let timeouts = crate::ingest::Timeouts::default();
    let (cameras, _) = Cameras::new(Vec::new(), Vec::new(), timeouts, updates).unwrap();
    let mut manager = Manager::new(Arc::clone(&key), shelf, cameras, Vec::new(), channels);
    let result = manager.sealing_key();
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let public: [u8; 32] = decode(&result.public_key).try_into().unwrap();
    assert_eq!(identity::gateway_id(&public), key.id());
    let verifying = VerifyingKey::from_bytes(&public).unwrap();
    let signature = Signature::from_slice(&decode(&result.signature)).unwrap();
    let signed = |gateway, nonce: &str, key: &str| {
        let message = sealing_key_message(gateway, nonce, key);
        verifying.verify_strict(&message, &signature).is_ok()
    };
    let (id, other) = (key.id(), "gw2".parse().unwrap());
    assert!(signed(&id, &result.nonce, &result.sealing_key));
    let second = manager.sealing_key();
    assert!(!signed(&id, &second.nonce, &result.sealing_key), "another nonce");
    assert!(!signed(&id, &result.nonce, &result.public_key), "another key");
    assert!(!signed(&other, &result.nonce, &result.sealing_key), "another gateway");
}
