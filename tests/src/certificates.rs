//! Certificates for servers and clients of tests: good ones, and each kind of bad one.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tempfile::TempDir;

/// Files in PEM: an authority, a server's certificate, a client's, and an authority that signed none of them.
#[derive(Debug)]
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// All is well: the server's names are localhost and 127.0.0.1.
    pub fn new() -> Self {
        Self::with(&["localhost", "127.0.0.1"], false)
    }

    /// The server's certificate is for a host of another name.
    pub fn for_another_host() -> Self {
        Self::with(&["elsewhere.example"], false)
    }

    /// The server's certificate has expired.
    pub fn expired() -> Self {
        Self::with(&["localhost", "127.0.0.1"], true)
    }

    fn with(names: &[&str], expired: bool) -> Self {
        let this = Self { folder: TempDir::new().expect("a temporary folder") };
        let (ours, other) = (authority("Dockline Tests"), authority("Somebody Else"));
        this.write("ca.pem", &ours.pem());
        this.write("other-ca.pem", &other.pem());

        let mut server = leaf(names, names[0], ExtendedKeyUsagePurpose::ServerAuth);
        if expired {
            server.not_before = date_time_ymd(2020, 1, 1);
            server.not_after = date_time_ymd(2021, 1, 1);
        }
        this.sign("server", &server, &ours);
        this.sign("client", &leaf(&[], "app", ExtendedKeyUsagePurpose::ClientAuth), &ours);
        this.sign("stranger", &leaf(&[], "app", ExtendedKeyUsagePurpose::ClientAuth), &other);
        this
    }

    /// The authority that signed the server's and the client's certificates.
    pub fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// An authority that signed neither.
    pub fn other_ca(&self) -> PathBuf {
        self.file("other-ca.pem")
    }

    pub fn server(&self) -> PathBuf {
        self.file("server.pem")
    }

    pub fn server_key(&self) -> PathBuf {
        self.file("server.key")
    }

    /// A certificate of the user app.
    pub fn client(&self) -> PathBuf {
        self.file("client.pem")
    }

    pub fn client_key(&self) -> PathBuf {
        self.file("client.key")
    }

    /// A certificate of the user app that the other authority signed.
    pub fn stranger(&self) -> PathBuf {
        self.file("stranger.pem")
    }

    pub fn stranger_key(&self) -> PathBuf {
        self.file("stranger.key")
    }

    fn sign(&self, name: &str, params: &CertificateParams, by: &CertifiedIssuer<'_, KeyPair>) {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, by).expect("a signature");
        self.write(&format!("{name}.pem"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.file(name);
        std::fs::write(&path, content).expect("a file in a temporary folder");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("its permissions");
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

fn leaf(names: &[&str], common_name: &str, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names of hosts");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params
}
