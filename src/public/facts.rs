//! Facts about the certificate of the public port, read from the certificate itself.

use instant_acme::CertificateIdentifier;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, Der};
use url::Host;
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate};

/// Facts about a certificate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Seconds since 1970.
    pub(super) not_before_s: u64,
    /// Seconds since 1970.
    pub(super) not_after_s: u64,
    pub(super) names: Vec<Host>,
    /// The name by which its authority knows it (RFC 9773 §4.1).
    pub(super) identifier: Option<CertificateIdentifier<'static>>,
}

impl Facts {
    /// Reads the first certificate of a chain in PEM.
    pub(super) fn read(pem: &[u8]) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(pem).ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        let validity = certificate.validity();
        let second = |time: i64| u64::try_from(time).ok();
        let names = certificate.subject_alternative_name().ok()??;
        Some(Self {
            not_before_s: second(validity.not_before.timestamp())?,
            not_after_s: second(validity.not_after.timestamp())?,
            names: names.value.general_names.iter().filter_map(host).collect(),
            identifier: identifier(&certificate),
        })
    }

    /// Returns true if the certificate has all these names.
    pub(super) fn covers(&self, names: &[Host]) -> bool {
        names.iter().all(|name| self.names.contains(name))
    }

    /// Returns the time when two thirds of its life are over, in seconds since 1970.
    pub(super) fn renewal_s(&self) -> u64 {
        self.not_before_s.saturating_add(self.life_s() / 3 * 2)
    }

    /// Returns the length of its life in seconds.
    pub(super) fn life_s(&self) -> u64 {
        self.not_after_s.saturating_sub(self.not_before_s)
    }
}

fn identifier(certificate: &X509Certificate<'_>) -> Option<CertificateIdentifier<'static>> {
    for extension in certificate.extensions() {
        if let ParsedExtension::AuthorityKeyIdentifier(authority) = extension.parsed_extension()
            && let Some(key) = &authority.key_identifier
        {
            let serial = Der::from_slice(certificate.raw_serial());
            return Some(CertificateIdentifier::new(Der::from_slice(key.0), serial).into_owned());
        }
    }
    None
}

fn host(name: &GeneralName<'_>) -> Option<Host> {
    match name {
        GeneralName::DNSName(name) => Host::parse(name).ok(),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).ok().map(|bytes| Host::Ipv4(bytes.into()));
            v4.or_else(|| Some(Host::Ipv6(<[u8; 16]>::try_from(*bytes).ok()?.into())))
        }
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::URI(_)
        | GeneralName::RegisteredID(_) => None,
    }
}
