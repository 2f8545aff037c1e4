//! The certificates in files and of the authority: do they fit their key, and how long are they
//! valid?

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use porthole_signaling::Fingerprint;
use porthole_turn_server::{TlsFiles, WatchedCertificate};
use x509_parser::parse_x509_certificate;

use super::Patient;
use super::finding::Finding;
use crate::public;

/// Time before the end at which an automatic renewal should have happened: Let's Encrypt's tools
/// renew 30 days before it.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// The part of a certificate's life with which Porthole should have renewed it by itself: it does
/// so with a third left.
const LATE: u32 = 4;

/// The side that renews a certificate.
#[derive(Debug, Clone, Copy)]
enum Renewal {
    /// Renewal by the owner, with a tool.
    Owner,
    /// Renewal by Porthole itself.
    Porthole,
}

/// Checks the certificate of the public port and that of TURN.
pub(super) fn check(patient: &Patient<'_>) -> Vec<Finding> {
    let config = patient.config;
    let mut findings = Vec::new();
    let mut add = |name: &str, certificate: &Option<PathBuf>, key: &Option<PathBuf>| {
        if let (Some(certificate), Some(key)) = (certificate, key) {
            let files = TlsFiles { certificate: certificate.clone(), key: key.clone() };
            findings.push(check_files(&format!("certificate of {name}"), &files, Renewal::Owner));
        }
    };
    let public = &config.public;
    if patient.has_signaling() {
        add("the public port", &public.certificate, &public.key);
    }
    if patient.has_turn() {
        add("TURN", &config.turn.tls_certificate, &config.turn.tls_key);
    }
    if patient.has_signaling() && !public.listen.is_empty() && public.certificate.is_none() {
        if let Err(error) = public::check_own_ca(config) {
            let text = "has no name to vouch for, so that Porthole does not start";
            let finding = Finding::failure("own certificate authority", text, error.to_string());
            findings.push(finding);
        } else if public.own_ca {
            findings.extend(check_own(&config.data));
        } else {
            findings.push(check_given(&public::acme_certificate(&config.data)));
        }
    }
    findings
}

/// Checks the server's own authority and the certificate by it.
fn check_own(data: &Path) -> Vec<Finding> {
    let subject = "own certificate authority";
    let authority = match public::own_authority(data) {
        Ok(Some(authority)) => authority,
        Ok(None) => {
            let advice = "start Porthole, which makes it";
            return vec![Finding::warning(subject, "was not made yet", advice)];
        }
        Err(error) => {
            let advice = "run the doctor as the user who runs Porthole; if the file is damaged, \
                          restore it from a backup";
            return vec![Finding::failure(subject, format!("{error:#}"), advice)];
        }
    };
    let parsed = parse_x509_certificate(&authority).ok();
    let end = parsed.map_or(0, |(_, parsed)| parsed.validity().not_after.timestamp());
    let text = format!(
        "valid until {}, with the SHA-256 fingerprint {}",
        httpdate::fmt_http_date(time(end)),
        Fingerprint::of(&authority)
    );
    let file = public::own_certificate(data);
    let files = TlsFiles { certificate: file.clone(), key: file };
    vec![
        Finding::ok(subject, text),
        check_files("certificate of the public port", &files, Renewal::Porthole),
    ]
}

fn time(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

/// Checks the certificate that an authority has given.
fn check_given(file: &Path) -> Finding {
    let subject = "certificate of the public port";
    if matches!(file.try_exists(), Ok(false)) {
        let advice = "start Porthole, which asks the authority for it; its log says what is in \
                      the way";
        return Finding::warning(subject, "was not given yet", advice);
    }
    let files = TlsFiles { certificate: file.to_owned(), key: file.to_owned() };
    check_files(subject, &files, Renewal::Porthole)
}

fn check_files(subject: &str, files: &TlsFiles, renewal: Renewal) -> Finding {
    let certificate = match WatchedCertificate::watch("the doctor", files.clone()) {
        Ok(watched) => watched.current(),
        Err(error) => {
            let advice = match renewal {
                Renewal::Owner => {
                    "give the certificate with its intermediates and the key that belongs to it, \
                     both as PEM"
                }
                Renewal::Porthole => {
                    "run the doctor as the user who runs Porthole; if the file is damaged, delete \
                     it and start Porthole again"
                }
            };
            return Finding::failure(subject, error.to_string(), advice);
        }
    };
    let parsed = certificate.cert.first().and_then(|first| parse_x509_certificate(first).ok());
    match parsed {
        Some((_, parsed)) => {
            let validity = parsed.validity();
            let valid = [validity.not_before, validity.not_after].map(|at| time(at.timestamp()));
            check_validity(subject, valid, SystemTime::now(), renewal)
        }
        None => Finding::ok(subject, "fits its key"),
    }
}

fn check_validity(
    subject: &str,
    [from, to]: [SystemTime; 2],
    now: SystemTime,
    renewal: Renewal,
) -> Finding {
    let end = httpdate::fmt_http_date(to);
    let (soon, renew) = match renewal {
        Renewal::Owner => (SOON, "renew it, and see to it that this happens by itself"),
        Renewal::Porthole => (
            to.duration_since(from).unwrap_or_default() / LATE,
            "it should have been renewed by now; the log of Porthole says what is in the way",
        ),
    };
    if now < from {
        let text = format!("is valid only from {}", httpdate::fmt_http_date(from));
        return Finding::failure(subject, text, "check the clock of this machine");
    }
    match to.duration_since(now) {
        Err(_) => Finding::failure(subject, format!("ended on {end}"), renew),
        Ok(left) if left < soon => Finding::warning(subject, format!("ends on {end}"), renew),
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
        for (from, to, by_owner, by_porthole) in [
            (now - day, now + day * 60, Level::Ok, Level::Ok),
            (now - day, now + day * 13, Level::Warning, Level::Ok),
            (now - day, now + day * 5, Level::Warning, Level::Ok),
            (now - day * 5, now + day, Level::Warning, Level::Warning),
            (now - day * 70, now + day * 20, Level::Ok, Level::Warning),
            (now - day * 2, now - day, Level::Failure, Level::Failure),
            (now + day, now + day * 60, Level::Failure, Level::Failure),
        ] {
            let level = |renewal| check_validity("certificate", [from, to], now, renewal).level;
            let found = (level(Renewal::Owner), level(Renewal::Porthole));
            assert_eq!(found, (by_owner, by_porthole), "{from:?} {to:?}");
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
            let found = check_files("certificate", &files, Renewal::Owner);
            assert_eq!(found.level, expected, "{found:?}");
        }
        let given = folder.path().join("given.pem");
        assert_eq!(check_given(&given).level, Level::Warning, "there is none yet");
        std::fs::write(&given, made.cert.pem()).unwrap();
        assert_eq!(check_given(&given).level, Level::Failure, "it has no key");
        std::fs::write(&given, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
        assert_eq!(check_given(&given).level, Level::Ok, "{:?}", check_given(&given));
    }

    #[test]
    fn an_own_authority_is_shown_with_its_fingerprint_or_with_what_is_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let (data, own) = (folder.path(), folder.path().join("own-ca"));
        let levels = || check_own(data).iter().map(|found| found.level).collect::<Vec<_>>();
        assert_eq!(levels(), [Level::Warning], "there is none yet");
        std::fs::create_dir(&own).unwrap();
        let made = rcgen::generate_simple_self_signed(["cams.lan".to_owned()]).unwrap();
        std::fs::write(own.join("authority.pem"), made.cert.pem()).unwrap();
        assert_eq!(levels(), [Level::Ok, Level::Failure], "it has issued nothing");
        let both = made.cert.pem() + &made.signing_key.serialize_pem();
        std::fs::write(own.join("certificate.pem"), both).unwrap();
        let found = check_own(data);
        assert_eq!(levels(), [Level::Ok, Level::Ok], "{found:?}");
        let fingerprint = Fingerprint::of(made.cert.der()).to_string();
        assert!(found[0].text.ends_with(&fingerprint), "{found:?}");
        std::fs::write(own.join("authority.pem"), "nonsense").unwrap();
        assert_eq!(levels(), [Level::Failure]);
    }
}
