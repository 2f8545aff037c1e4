//! The authority of a signaling server that has made one of its own, as a gateway comes to trust
//! it: it is in the certificates that the server shows, and its fingerprint is the one that was
//! given. It is stored, and trusted from then on.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use porthole_signaling::Fingerprint;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
};
use tracing::info;
use url::Url;

use crate::config::Config;
use crate::data;

/// The file in the data folder with the authority, which is DER.
const FILE: &str = "server-ca.crt";
/// Time for the connection and its handshake.
const TIME: Duration = Duration::from_secs(10);

/// Returns the authority that the gateway with this data folder trusts, if there is one.
///
/// # Errors
///
/// Fails if the file is there and cannot be read.
pub fn stored(data: &Path) -> anyhow::Result<Option<CertificateDer<'static>>> {
    let path = data.join(FILE);
    match fs::read(&path) {
        Ok(der) => Ok(Some(der.into())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Stores the authority of the server if `gateway.ca_fingerprint` is set and it is not stored yet.
/// Nothing is sent to the server but the beginning of a handshake.
///
/// # Errors
///
/// Fails if the server cannot be reached, or shows no authority with this fingerprint.
pub async fn obtain(config: &Config, server: &Url) -> anyhow::Result<()> {
    let Some(wanted) = config.gateway.ca_fingerprint.map(|wanted| wanted.0) else { return Ok(()) };
    if stored(&config.data)?.is_some_and(|found| Fingerprint::of(&found) == wanted) {
        return Ok(());
    }
    let fetched = timeout(TIME, fetch(server, wanted)).await;
    let authority = fetched.map_err(|_| anyhow!("{server} did not answer within 10 s"))??;
    let path = config.data.join(FILE);
    let written = data::write_secret(&path, &authority);
    written.with_context(|| format!("cannot write {}", path.display()))?;
    info!("the gateway trusts the server's own certificate authority from now on");
    Ok(())
}

async fn fetch(server: &Url, wanted: Fingerprint) -> anyhow::Result<CertificateDer<'static>> {
    ensure!(
        matches!(server.scheme(), "https" | "wss"),
        "gateway.ca_fingerprint is for a server with https, which {server} is not"
    );
    let host = server.host_str().context("the URL of the server has no host")?;
    let host = host.trim_matches(['[', ']']);
    let port = server.port_or_known_default().context("the URL of the server has no port")?;
    let unreachable = || format!("cannot get the certificate of {server}");
    let stream = TcpStream::connect((host, port)).await.with_context(unreachable)?;

    let provider = Arc::new(ring::default_provider());
    let pinned = Arc::new(Pinned { wanted, provider, found: OnceLock::new() });
    let builder = ClientConfig::builder_with_provider(Arc::clone(&pinned.provider));
    let builder = builder.with_safe_default_protocol_versions()?;
    let verifier: Arc<dyn ServerCertVerifier> = pinned.clone();
    let tls = builder.dangerous().with_custom_certificate_verifier(verifier);
    let connector = TlsConnector::from(Arc::new(tls.with_no_client_auth()));
    let connected = connector.connect(ServerName::try_from(host.to_owned())?, stream).await;
    ensure!(
        pinned.found.get() != Some(&None),
        "{server} has no certificate authority with the fingerprint {wanted}, so nothing was sent \
         to it: compare it with the one in the log of the server. If it is the same, another \
         machine answers in its place"
    );
    drop(connected.with_context(unreachable)?);
    pinned.found.get().cloned().flatten().with_context(unreachable)
}

/// Accepts what an authority with this fingerprint has issued, if it is among the certificates that
/// the server shows.
#[derive(Debug)]
struct Pinned {
    wanted: Fingerprint,
    provider: Arc<CryptoProvider>,
    /// The authority, or `None` if the server has shown others. Unset before it has shown any.
    found: OnceLock<Option<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let mut shown = intermediates.iter();
        let found = shown.find(|one| Fingerprint::of(one) == self.wanted);
        let found = found.map(|one| one.clone().into_owned());
        // There is one handshake, so that it is set once.
        let _ = self.found.set(found.clone());
        let authority = found.ok_or(CertificateError::UnknownIssuer)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority)?;
        let provider = Arc::clone(&self.provider);
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.build().map_err(|error| TlsError::General(error.to_string()))?;
        verifier.verify_server_cert(certificate, &[], name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, Issuer, KeyPair};
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    use super::*;
    use crate::config::CaFingerprint;

    /// A server that tells how many bytes came in each connection, after the handshake.
    struct TestServer {
        url: Url,
        authority: CertificateDer<'static>,
        received: mpsc::Receiver<Option<usize>>,
    }

    /// Starts one with a certificate for this name.
    async fn serve(name: &str) -> TestServer {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let issuer: &Issuer<'_, KeyPair> = &authority;
        let issued = params.signed_by(&key, issuer).unwrap();
        let chain = vec![issued.der().clone(), authority.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let tls = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, received) = mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let read = match acceptor.accept(stream).await {
                    Ok(mut stream) => {
                        let mut bytes = Vec::new();
                        // It may end with or without a farewell.
                        let _ = stream.read_to_end(&mut bytes).await;
                        Some(bytes.len())
                    }
                    Err(_) => None,
                };
                sender.send(read).await.unwrap();
            }
        });
        let url = Url::parse(&format!("https://127.0.0.1:{port}/cams")).unwrap();
        TestServer { url, authority: authority.der().clone(), received }
    }

    fn config(data: &Path, authority: &CertificateDer<'_>) -> Config {
        let mut config = Config { data: data.to_owned(), ..Config::default() };
        config.gateway.ca_fingerprint = Some(CaFingerprint(Fingerprint::of(authority)));
        config
    }

    #[tokio::test]
    async fn the_authority_with_the_given_fingerprint_is_trusted_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let (mut first, mut second) = (serve("127.0.0.1").await, serve("127.0.0.1").await);
        obtain(&Config { data: data.to_owned(), ..Config::default() }, &first.url).await.unwrap();
        assert_eq!(stored(data).unwrap(), None, "nobody has asked for it");

        let error = obtain(&config(data, &second.authority), &first.url).await.unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("so nothing was sent to it"), "{error}");
        assert!(!error.contains('\n'), "{error}");
        assert_eq!(first.received.recv().await, Some(None), "the handshake is not finished");
        assert_eq!(stored(data).unwrap(), None);

        obtain(&config(data, &first.authority), &first.url).await.unwrap();
        assert_eq!(first.received.recv().await, Some(Some(0)), "nothing but a handshake");
        assert_eq!(stored(data).unwrap(), Some(first.authority.clone()));
        // Later the server may be away.
        let nowhere = Url::parse("https://127.0.0.1:1").unwrap();
        obtain(&config(data, &first.authority), &nowhere).await.unwrap();

        // The server has another authority now, of which its owner gives the fingerprint.
        assert!(obtain(&config(data, &first.authority), &second.url).await.is_ok());
        assert_eq!(stored(data).unwrap(), Some(first.authority.clone()), "it is not asked");
        obtain(&config(data, &second.authority), &second.url).await.unwrap();
        assert_eq!(second.received.recv().await, Some(Some(0)));
        assert_eq!(stored(data).unwrap(), Some(second.authority.clone()));
    }

    #[tokio::test]
    async fn a_server_that_cannot_be_trusted_or_reached_is_one_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let other_name = serve("cams.lan").await;
        let config = config(folder.path(), &other_name.authority);
        let plain = Url::parse("http://127.0.0.1:1").unwrap();
        let closed = Url::parse("https://127.0.0.1:1").unwrap();
        for (what, url, sentence) in [
            (
                "a certificate for another name",
                &other_name.url,
                "cannot get the certificate of https",
            ),
            ("plain http", &plain, "is for a server with https"),
            ("a closed port", &closed, "cannot get the certificate of https"),
        ] {
            let error = format!("{:#}", obtain(&config, url).await.unwrap_err());
            assert!(error.contains(sentence) && !error.contains('\n'), "{what}: {error}");
            assert_eq!(stored(folder.path()).unwrap(), None, "{what}");
        }
    }
}
