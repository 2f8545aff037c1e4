//! The certificates in files: do they fit their key, and how long are they valid?

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use porthole_turn_server::{TlsFiles, WatchedCertificate};
use x509_parser::parse_x509_certificate;

use super::Patient;
use super::finding::Finding;

/// Time before the end at which an automatic renewal should have happened: Let's Encrypt's tools
/// renew 30 days before it.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// Checks the certificate of the public port and that of TURN.
pub(super) fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let config = patient.config;
    let mut findings = Vec::new();
    let mut add = |name: &str, certificate: &Option<PathBuf>, key: &Option<PathBuf>| {
        if let (Some(certificate), Some(key)) = (certificate, key) {
            let files = TlsFiles { certificate: certificate.clone(), key: key.clone() };
            findings.push(check_files(&format!("certificate of {name}"), &files));
        }
    };
    if patient.has_signaling() {
        add("the public port", &config.public.certificate, &config.public.key);
    }
    if patient.has_turn() {
        add("TURN", &config.turn.tls_certificate, &config.turn.tls_key);
    }
    findings
}

fn check_files(subject: &str, files: &TlsFiles) -> Finding {
    let certificate = match WatchedCertificate::watch("the doctor", files.clone()) {
        Ok(watched) => watched.current(),
        Err(error) => {
            let advice = "give the certificate with its intermediates and the key that belongs to \
                          it, both as PEM";
            return Finding::failure(subject, error.to_string(), advice);
        }
    };
    let parsed = certificate.cert.first().and_then(|first| parse_x509_certificate(first).ok());
    match parsed {
        Some((_, parsed)) => {
            let time = |seconds: i64| {
                let seconds = u64::try_from(seconds).unwrap_or_default();
                SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
            };
            let validity = parsed.validity();
            let valid = [validity.not_before, validity.not_after].map(|at| time(at.timestamp()));
            check_validity(subject, valid, SystemTime::now())
        }
        None => Finding::ok(subject, "fits its key"),
    }
}

fn check_validity(subject: &str, [from, to]: [SystemTime; 2], now: SystemTime) -> Finding {
    let end = httpdate::fmt_http_date(to);
    let renew = "renew it, and see to it that this happens by itself";
    if now < from {
        let text = format!("is valid only from {}", httpdate::fmt_http_date(from));
        return Finding::failure(subject, text, "check the clock of this machine");
    }
    match to.duration_since(now) {
        Err(_) => Finding::failure(subject, format!("ended on {end}"), renew),
        Ok(left) if left < SOON => Finding::warning(subject, format!("ends on {end}"), renew),
        Ok(_) => Finding::ok(subject, format!("fits its key, and is valid until {end}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn a_certificate_is_valid_or_ends_soon_or_has_ended_or_not_begun() {
        let day = Duration::from_secs(24 * 3600);
        let now = SystemTime::UNIX_EPOCH + day * 20_000;
        for (from, to, expected) in [
            (now - day, now + day * 60, Level::Ok),
            (now - day, now + day * 13, Level::Warning),
            (now - day * 2, now - day, Level::Failure),
            (now + day, now + day * 60, Level::Failure),
        ] {
            assert_eq!(check_validity("certificate", [from, to], now).level, expected);
        }
    }

    #[test]
    fn files_are_read_as_the_server_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key, other] =
            ["cert.pem", "key.pem", "other.pem"].map(|name| folder.path().join(name));
        let made = rcgen::generate_simple_self_signed(["cams.example.org".to_owned()]).unwrap();
        let foreign = rcgen::KeyPair::generate().unwrap();
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        std::fs::write(&other, foreign.serialize_pem()).unwrap();
        for (key, expected) in [
            (key, Level::Ok),
            (other, Level::Failure),
            (folder.path().join("missing.pem"), Level::Failure),
        ] {
            let files = TlsFiles { certificate: certificate.clone(), key };
            let found = check_files("certificate", &files);
            assert_eq!(found.level, expected, "{found:?}");
        }
    }
}
