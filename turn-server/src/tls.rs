//! TLS and DTLS, and the certificate that both use.

pub(crate) mod certificates;
pub(crate) mod chain;
pub(crate) mod client;
pub(crate) mod dtls;
pub(crate) mod stream;
#[cfg(test)]
pub(crate) mod test_certificates;
