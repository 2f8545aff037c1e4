//! The authority itself: its certificate, its key, and what it issues. No clock is read here.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, date_time_ymd,
};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier as _;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use url::Host;
use x509_parser::prelude::{FromDer as _, X509Certificate};

const DAY_S: u64 = 24 * 3600;
/// Life of an authority: trusting it again on every device is work, and there is nobody who would
/// revoke it.
const AUTHORITY_LIFE_S: u64 = 3650 * DAY_S;
/// Life with which an authority issues nothing more.
const AUTHORITY_REST_S: u64 = 90 * DAY_S;
/// Life of a certificate: iPhones refuse those with more than 825 days, and browsers those of
/// public authorities with more than 398.
const CERTIFICATE_LIFE_S: u64 = 398 * DAY_S;
/// Time before the issue from which on a certificate is valid, for devices whose clock is behind.
const BACKDATED_S: u64 = DAY_S;
/// The last second that a certificate can name: that of the year 9999 (RFC 5280 §4.1.2.5).
const LAST_S: u64 = 253_402_300_799;
/// Longest common name (RFC 5280 appendix A.1).
const MAX_COMMON_NAME: usize = 64;

/// Domains without public names, below which every authority may issue.
const LOCAL_DOMAINS: [&str; 4] = ["home.arpa", "internal", "lan", "local"];
/// Private and link-local networks of IPv4 (RFC 1918, RFC 3927), in which the same holds.
const LOCAL_V4: [([u8; 4], u8); 4] =
    [([10, 0, 0, 0], 8), ([172, 16, 0, 0], 12), ([192, 168, 0, 0], 16), ([169, 254, 0, 0], 16)];
/// Private and link-local networks of IPv6 (RFC 4193, RFC 4291).
const LOCAL_V6: [(u16, u8); 2] = [(0xfc00, 7), (0xfe80, 10)];

/// The end of a certificate in PEM.
const END: &str = "-----END CERTIFICATE-----\n";

/// An authority for servers in private networks and for those with the names it was made for.
/// Devices that check its constraints take nothing else, whoever may get its key.
pub(super) struct Authority {
    /// The certificate in PEM.
    certificate: String,
    der: CertificateDer<'static>,
    key: KeyPair,
    common_name: String,
    not_after_s: u64,
}

impl Authority {
    /// Makes one for these names.
    pub(super) fn make(names: &[Host], now_s: u64) -> anyhow::Result<Self> {
        let first = names.first().context("an authority needs a name")?;
        // Devices list authorities by this name, and keep those of former servers.
        let mut common_name = format!("Porthole {:04x}, {first}", rand::random::<u16>());
        common_name.truncate(MAX_COMMON_NAME);
        let key = KeyPair::generate()?;
        let mut params = params(&common_name);
        set_validity(&mut params, now_s, now_s.saturating_add(AUTHORITY_LIFE_S));
        params.name_constraints = Some(constraints(names));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.self_signed(&key)?.pem();
        Self::from_pem(&format!("{certificate}{}", key.serialize_pem()))
    }

    /// Reads its certificate, followed by its key.
    pub(super) fn from_pem(text: &str) -> anyhow::Result<Self> {
        let end = text.find(END).context("it has no certificate")? + END.len();
        let (certificate, key) = text.split_at(end);
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| anyhow!("its certificate cannot be read"))?;
        let (common_name, not_after_s) = read(&der)?;
        let key = KeyPair::from_pem(key.trim()).map_err(|_| anyhow!("its key cannot be read"))?;
        Ok(Self { certificate: certificate.to_owned(), der, key, common_name, not_after_s })
    }

    /// Returns its certificate, followed by its key.
    pub(super) fn to_pem(&self) -> String {
        format!("{}{}", self.certificate, self.key.serialize_pem())
    }

    pub(super) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Returns true if another one must be made, because it ends soon.
    pub(super) fn is_spent(&self, now_s: u64) -> bool {
        self.not_after_s <= now_s.saturating_add(AUTHORITY_REST_S)
    }

    /// Issues a certificate with a new key. Returns it with the authority's and the key, in PEM.
    ///
    /// # Errors
    ///
    /// Fails if the authority may not vouch for one of the names.
    pub(super) fn issue(&self, names: &[Host], now_s: u64) -> anyhow::Result<String> {
        let mut params = CertificateParams::new(names.iter().map(plain).collect::<Vec<_>>())?;
        // Without a common name, because some clients compare that with the name constraints.
        params.distinguished_name = DistinguishedName::new();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let end_s = now_s.saturating_add(CERTIFICATE_LIFE_S).min(self.not_after_s);
        set_validity(&mut params, now_s, end_s);
        let key = KeyPair::generate()?;
        let issuer = Issuer::new(self::params(&self.common_name), &self.key);
        let issued = params.signed_by(&key, &issuer)?;
        self.check(issued.der(), names, now_s)?;
        Ok(format!("{}{}{}", issued.pem(), self.certificate, key.serialize_pem()))
    }

    /// Checks a certificate as clients do that trust the authority.
    pub(super) fn check(
        &self,
        issued: &CertificateDer<'_>,
        names: &[Host],
        now_s: u64,
    ) -> anyhow::Result<()> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone())?;
        let provider = Arc::new(ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now_s));
        for name in names {
            let server = ServerName::try_from(plain(name))?;
            let checked = verifier.verify_server_cert(issued, &[], &server, &[], now);
            // The verifier does not say which of the names it refuses.
            checked.map_err(|error| anyhow!("it cannot vouch for {}: {error}", list(names)))?;
        }
        Ok(())
    }
}

fn list(names: &[Host]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns the settings of an authority's certificate that its own certificates repeat.
fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn set_validity(params: &mut CertificateParams, now_s: u64, end_s: u64) {
    let epoch = date_time_ymd(1970, 1, 1);
    let begin_s = now_s.saturating_sub(BACKDATED_S);
    params.not_before = epoch + Duration::from_secs(begin_s.min(LAST_S));
    params.not_after = epoch + Duration::from_secs(end_s.min(LAST_S));
}

/// Returns what the authority may vouch for. Both kinds of names are always there, because a kind
/// that is not mentioned would be free.
fn constraints(names: &[Host]) -> NameConstraints {
    let mut permitted = Vec::new();
    permitted.extend(LOCAL_DOMAINS.map(|domain| GeneralSubtree::DnsName(domain.to_owned())));
    let v4 = LOCAL_V4.map(|(network, bits)| (IpAddr::from(network), bits));
    let v6 = LOCAL_V6
        .map(|(first, bits)| (IpAddr::from(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0)), bits));
    let subnet =
        |(network, bits)| GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(network, bits));
    permitted.extend(v4.into_iter().chain(v6).map(subnet));
    for name in names {
        permitted.push(match name {
            Host::Domain(name) => GeneralSubtree::DnsName(name.clone()),
            Host::Ipv4(address) => subnet((IpAddr::from(*address), 32)),
            Host::Ipv6(address) => subnet((IpAddr::from(*address), 128)),
        });
    }
    NameConstraints { permitted_subtrees: permitted, excluded_subtrees: Vec::new() }
}

/// Returns the common name of an authority, and the end of its life in seconds since 1970.
fn read(der: &CertificateDer<'_>) -> anyhow::Result<(String, u64)> {
    let parsed = X509Certificate::from_der(der);
    let (_, certificate) = parsed.map_err(|_| anyhow!("its certificate cannot be read"))?;
    let name = certificate.subject().iter_common_name().next();
    let name = name.and_then(|name| name.as_str().ok()).context("it has no name")?;
    let end_s = u64::try_from(certificate.validity().not_after.timestamp())?;
    Ok((name.to_owned(), end_s))
}

/// Formats a name without the brackets that IPv6 addresses have in URLs.
fn plain(name: &Host) -> String {
    match name {
        Host::Domain(name) => name.clone(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::public::facts::Facts;

    const NOW_S: u64 = 1_796_000_000;

    fn hosts(names: &[&str]) -> Vec<Host> {
        names.iter().map(|name| Host::parse(name).unwrap()).collect()
    }

    fn first(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    #[test]
    fn it_vouches_for_private_networks_and_its_own_names_and_for_nothing_else() {
        let own = hosts(&["cams.example.org", "203.0.113.7", "[2001:db8::7]"]);
        let made = Authority::make(&own, NOW_S).unwrap();
        // As after a restart.
        let authority = Authority::from_pem(&made.to_pem()).unwrap();
        assert_eq!(authority.der(), made.der());
        for (name, allowed) in [
            ("cams.example.org", true),
            ("203.0.113.7", true),
            ("[2001:db8::7]", true),
            ("192.168.1.7", true),
            ("10.9.8.7", true),
            ("172.31.255.1", true),
            ("169.254.1.1", true),
            ("[fd00::7]", true),
            ("[fe80::7]", true),
            ("porthole.local", true),
            ("cams.lan", true),
            ("cams.home.arpa", true),
            ("cams.internal", true),
            ("example.org", false),
            ("bank.example", false),
            ("notlocal", false),
            ("203.0.113.8", false),
            ("172.32.0.1", false),
            ("[2001:db8::8]", false),
        ] {
            let issued = authority.issue(&hosts(&[name]), NOW_S);
            assert_eq!(issued.is_ok(), allowed, "{name}: {:?}", issued.err());
        }
        let error = authority.issue(&hosts(&["bank.example"]), NOW_S).unwrap_err().to_string();
        assert!(error.starts_with("it cannot vouch for bank.example: "), "{error}");
    }

    #[test]
    fn a_certificate_is_valid_with_a_slow_clock_and_for_398_days_but_not_beyond_its_authority() {
        let names = hosts(&["cams.lan"]);
        let authority = Authority::make(&names, NOW_S).unwrap();
        let near_end_s = NOW_S + AUTHORITY_LIFE_S - 100 * DAY_S;
        for (issued_s, life_s) in [(NOW_S, CERTIFICATE_LIFE_S), (near_end_s, 100 * DAY_S)] {
            let pem = authority.issue(&names, issued_s).unwrap();
            let certificate = first(&pem);
            let facts = Facts::read(pem.as_bytes()).unwrap();
            assert_eq!(facts.not_before_s, issued_s - BACKDATED_S);
            assert_eq!(facts.not_after_s, issued_s + life_s);
            assert_eq!(facts.names, names);
            for (now_s, valid) in [
                (issued_s - BACKDATED_S - 1, false),
                (issued_s - BACKDATED_S + 1, true),
                (issued_s + life_s - 1, true),
                (issued_s + life_s + 1, false),
            ] {
                let checked = authority.check(&certificate, &names, now_s);
                assert_eq!(checked.is_ok(), valid, "{issued_s} {now_s}: {checked:?}");
            }
        }
        for (now_s, spent) in [
            (NOW_S, false),
            (near_end_s, false),
            (NOW_S + AUTHORITY_LIFE_S - 90 * DAY_S, true),
            (NOW_S + AUTHORITY_LIFE_S + 1, true),
        ] {
            assert_eq!(authority.is_spent(now_s), spent, "{now_s}");
        }
    }

    #[test]
    fn another_authority_for_the_same_names_vouches_for_nothing() {
        let names = hosts(&["cams.lan"]);
        let authorities = [(); 2].map(|()| Authority::make(&names, NOW_S).unwrap());
        let issued = authorities.each_ref().map(|one| first(&one.issue(&names, NOW_S).unwrap()));
        for (at, authority) in authorities.iter().enumerate() {
            for (by, issued) in issued.iter().enumerate() {
                assert_eq!(authority.check(issued, &names, NOW_S).is_ok(), at == by, "{at} {by}");
            }
        }
    }

    #[test]
    fn a_damaged_authority_is_not_used() {
        let whole = Authority::make(&hosts(&["cams.lan"]), NOW_S).unwrap().to_pem();
        let half = &whole[..whole.len() / 2];
        let key = &whole[whole.find("-----BEGIN PRIVATE").unwrap()..];
        let no_key = &whole[..whole.find("-----BEGIN PRIVATE").unwrap()];
        for text in ["", "nonsense", half, key, no_key] {
            assert!(Authority::from_pem(text).is_err(), "{text}");
        }
        // A key that belongs to another one is found when it signs.
        let other = Authority::make(&hosts(&["cams.lan"]), NOW_S).unwrap().to_pem();
        let mixed = format!("{no_key}{}", &other[other.find("-----BEGIN PRIVATE").unwrap()..]);
        let mixed = Authority::from_pem(&mixed).unwrap();
        assert!(mixed.issue(&hosts(&["cams.lan"]), NOW_S).is_err());
    }
}
