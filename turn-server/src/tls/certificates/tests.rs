use std::fs;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use tempfile::TempDir;

use super::*;
use crate::tls::test_certificates::{pair, rsa};

fn files(folder: &TempDir) -> TlsFiles {
    TlsFiles { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem") }
}

fn write(files: &TlsFiles, (certificate, key): &(String, String)) {
    fs::write(&files.certificate, certificate).unwrap();
    fs::write(&files.key, key).unwrap();
}

fn written(pair: &(String, String)) -> (TempDir, TlsFiles) {
    let folder = tempfile::tempdir().unwrap();
    let files = files(&folder);
    write(&files, pair);
    (folder, files)
}

#[test]
fn every_usual_kind_of_key_is_accepted() {
    for key in [
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
        KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
        KeyPair::generate_for(&PKCS_ED25519).unwrap(),
        rsa(),
    ] {
        let (_folder, files) = written(&pair(&key));
        Certificates::load(files, false).unwrap();
    }
}

#[test]
fn the_error_names_what_is_wrong_with_the_files() {
    let (certificate, key) = pair(&KeyPair::generate().unwrap());
    let (_, other_key) = pair(&KeyPair::generate().unwrap());
    let broken = certificate.replacen("MII", "AII", 1);
    for (certificate, key, expected) in [
        (Some(&*certificate), None, "key.pem cannot be read"),
        (None, Some(&*key), "cert.pem cannot be read"),
        (Some(""), Some(&*key), "cert.pem holds no certificate in PEM"),
        (Some(&*key), Some(&*key), "cert.pem holds no certificate in PEM"),
        (Some(&*certificate), Some("no key"), "key.pem holds no private key in PEM"),
        (Some(&*certificate), Some(&*other_key), "does not belong to the certificate"),
        (Some(&*broken), Some(&*key), "cannot be used for TLS"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        for (file, text) in [(&files.certificate, certificate), (&files.key, key)] {
            if let Some(text) = text {
                fs::write(file, text).unwrap();
            }
        }
        let error = Certificates::load(files, false).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_new_pair_replaces_the_old_one_and_a_bad_one_does_not() {
    let (first, second) =
        (pair(&KeyPair::generate().unwrap()), pair(&KeyPair::generate().unwrap()));
    let (_folder, files) = written(&first);
    let certificates = Certificates::load(files.clone(), false).unwrap();
    let before = certificates.tls();
    assert!(!certificates.reload().unwrap());

    // Half of a renewal.
    fs::write(&files.certificate, &second.0).unwrap();
    certificates.reload().unwrap_err();
    assert!(Arc::ptr_eq(&before, &certificates.tls()));

    fs::write(&files.key, &second.1).unwrap();
    assert!(certificates.reload().unwrap());
    assert!(!Arc::ptr_eq(&before, &certificates.tls()));
    assert!(!certificates.reload().unwrap());
}

#[test]
fn the_watcher_finds_a_new_pair_and_ends_when_dropped() {
    let (_folder, files) = written(&pair(&KeyPair::generate().unwrap()));
    let certificates = Arc::new(Certificates::load(files.clone(), false).unwrap());
    let before = certificates.tls();
    let watcher = watch(Arc::clone(&certificates), Duration::from_millis(1)).unwrap();
    write(&files, &pair(&KeyPair::generate().unwrap()));
    while Arc::ptr_eq(&before, &certificates.tls()) {
        std::thread::yield_now();
    }
    drop(watcher);
    assert_eq!(Arc::strong_count(&certificates), 1);
}
