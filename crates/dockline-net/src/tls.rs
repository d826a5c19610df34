//! Encryption: what is checked of a server's certificate, by the five words of libpq's `sslmode`, and what rustls's errors mean.

use std::borrow::Cow;
use std::fs;
use std::sync::Arc;

use dockline_core::{Error, Result, Settings, Tls};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;

/// What rustls needs for the settings; `None` if there is to be no encryption. Its provider is ring, and is not installed for the
/// process.
///
/// # Errors
///
/// [`ImproperlyConfigured`](dockline_core::ErrorKind::ImproperlyConfigured), naming the setting.
pub fn client_config(settings: &Settings) -> Result<Option<Arc<ClientConfig>>> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match settings.get_tls() {
        Tls::Disable => return Ok(None),
        Tls::Prefer | Tls::Require => Arc::new(Unchecked { provider: Arc::clone(&provider) }),
        word => {
            let roots = Arc::new(roots(settings)?);
            let inner = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                .build()
                .map_err(|error| Error::config(format!("setting tls_ca_file: {error}")).with_source(error))?;
            if word == Tls::VerifyCa { Arc::new(AnyName { inner }) } else { inner }
        }
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::config(format!("setting tls: {error}")).with_source(error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match (settings.get_tls_client_cert(), settings.get_tls_client_key()) {
        (Some(certificate), Some(key)) => {
            let chain = certificates("tls_client_cert", certificate)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| Error::config(format!("setting tls_client_key: {key:?}: {error}")))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                Error::config(format!("settings tls_client_cert, tls_client_key: {error}")).with_source(error)
            })?
        }
        _ => builder.with_no_client_auth(),
    };
    // An alias has few hosts, and each takes eight. The usual memory for 256 sessions would be most of what an alias takes.
    config.resumption = Resumption::in_memory_sessions(32);
    Ok(Some(Arc::new(config)))
}

/// What an error of rustls means, and what to do about it.
pub fn explain(error: &rustls::Error) -> Cow<'static, str> {
    use rustls::CertificateError as Bad;

    match error {
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
            "no authority that is trusted has signed the server's certificate; name the right one in tls_ca_file".into()
        }
        rustls::Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            "the server's certificate does not name this host; connect by a name that it has, or set tls to verify-ca"
                .into()
        }
        rustls::Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "the server's certificate has expired; the server needs a new one".into()
        }
        rustls::Error::AlertReceived(alert) => {
            format!("the server refuses ({alert:?}); does it want another tls_client_cert?").into()
        }
        other => other.to_string().into(),
    }
}

/// Checks that the client's certificate and its key belong together. Files that are missing are [`check_tls_files`]'s.
///
/// [`check_tls_files`]: crate::check_tls_files
///
/// # Errors
///
/// [`ImproperlyConfigured`](dockline_core::ErrorKind::ImproperlyConfigured), naming the settings.
pub fn check_client_certificate(settings: &Settings) -> Result<()> {
    let (Some(certificate), Some(key)) = (settings.get_tls_client_cert(), settings.get_tls_client_key()) else {
        return Ok(());
    };
    let wrong = |error: &dyn std::fmt::Display| {
        Error::config(format!("settings tls_client_cert, tls_client_key: {certificate:?}, {key:?}: {error}"))
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain = chain.map_err(|error| wrong(&error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(&error))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map(drop).map_err(|error| wrong(&error))
}

/// The file of the settings alone, or else Mozilla's list.
fn roots(settings: &Settings) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(path) = settings.get_tls_ca_file() else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(roots);
    };
    for certificate in certificates("tls_ca_file", path)? {
        roots
            .add(certificate)
            .map_err(|error| Error::config(format!("setting tls_ca_file: {path:?}: {error}")).with_source(error))?;
    }
    Ok(roots)
}

fn certificates(setting: &str, path: &str) -> Result<Vec<CertificateDer<'static>>> {
    let wrong = |why: String| Error::config(format!("setting {setting}: {path:?}: {why}"));
    let pem = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() { Err(wrong("it has no certificate in PEM form".to_owned())) } else { Ok(found) }
}

/// `prefer` and `require`: encrypted, whoever it is.
#[derive(Debug)]
struct Unchecked {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    // A certificate that nobody checks makes its signatures worth nothing; and old ones cannot even be read.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// `verify-ca`: signed by an authority that is trusted, for whatever name.
#[derive(Debug)]
struct AnyName {
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.inner.verify_server_cert(certificate, chain, name, ocsp, now) {
            // The name is looked at last: all else is in order.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
