//! The cluster's certificate authority: `ca.crt` and `ca.key` in one directory.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;

use crate::certificate::{Issued, Request, Signer, Usage, sign};
use crate::error::PkiError;
use crate::file;
use crate::key::{Key, pem};
use crate::subject::{Subject, parse, subject_of};

/// Ten years, as kubeadm's.
const AUTHORITY_LIFETIME: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);

/// Signs the certificates of one cluster.
#[derive(Debug)]
pub struct Authority {
    name: Subject,
    key: Key,
    certificate: CertificateDer<'static>,
    not_after: Timestamp,
}

impl Authority {
    /// Reads `ca.crt` and `ca.key` in `directory`, or makes both where there are none. A creation that a crash cut
    /// short is finished: the key is written first, and a key alone gets a certificate.
    pub fn load_or_create(directory: &Path, now: Timestamp) -> Result<Self, PkiError> {
        let (certificate_path, key_path) = paths(directory);
        if file::read(&certificate_path)?.is_some() {
            return Self::load(directory, now);
        }
        file::make_directory(directory)?;
        let key = match file::read(&key_path)? {
            Some(text) => read_key(&text, &key_path)?,
            None => {
                let key = Key::generate();
                file::write_atomically(&key_path, key.to_pem().as_bytes(), file::SECRET)?;
                key
            }
        };
        let authority = Self::from_key(key, now);
        file::write_atomically(&certificate_path, authority.certificate_pem().as_bytes(), file::PUBLIC)?;
        Ok(authority)
    }

    /// Reads an authority that must be there.
    pub fn load(directory: &Path, now: Timestamp) -> Result<Self, PkiError> {
        let (certificate_path, key_path) = paths(directory);
        let certificate_text = required(&certificate_path, &key_path)?;
        let key_text = required(&key_path, &certificate_path)?;
        let corrupt = |why: String| PkiError::Corrupt { path: certificate_path.clone(), why };
        let certificate = CertificateDer::from_pem_slice(certificate_text.as_bytes());
        let certificate = certificate.map_err(|why| corrupt(why.to_string()))?.into_owned();
        let key = read_key(&key_text, &key_path)?;
        let name = subject_of(&certificate).map_err(|why| corrupt(why.to_string()))?;
        let parsed = parse(&certificate).map_err(|why| corrupt(why.to_string()))?;
        if !parsed.is_ca() {
            return Err(corrupt("it is not the certificate of an authority".to_owned()));
        }
        if parsed.public_key().subject_public_key.data.as_ref() != key.public() {
            return Err(PkiError::Mismatch { key: key_path, certificate: certificate_path });
        }
        let not_after = end_of(&parsed)?;
        if not_after <= now {
            return Err(PkiError::Expired { path: certificate_path, at: not_after });
        }
        Ok(Self { name, key, certificate, not_after })
    }

    /// An authority that exists in memory only, for tests and simulations.
    pub fn ephemeral(now: Timestamp) -> Self {
        Self::from_key(Key::generate(), now)
    }

    fn from_key(key: Key, now: Timestamp) -> Self {
        let request = Request {
            subject: Subject::new("kubernetes", &[]),
            usage: Usage::Authority,
            dns_names: Vec::new(),
            addresses: Vec::new(),
            lifetime: AUTHORITY_LIFETIME,
        };
        let issued = sign(&request, key, None, now);
        Self { name: request.subject, key: issued.key, certificate: issued.certificate, not_after: issued.not_after }
    }

    /// A new key with a certificate for it.
    pub fn issue(&self, request: &Request, now: Timestamp) -> Issued {
        let signer = Signer { name: &self.name, key: &self.key, not_after: self.not_after };
        sign(request, Key::generate(), Some(&signer), now)
    }

    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What clients trust: `certificate-authority-data` of a kubeconfig, the ConfigMap kube-root-ca.crt.
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }
}

pub(crate) fn end_of(certificate: &X509Certificate<'_>) -> Result<Timestamp, PkiError> {
    let seconds = certificate.validity().not_after.timestamp();
    Timestamp::from_second(seconds).map_err(|why| PkiError::Certificate(why.to_string()))
}

pub(crate) fn read_key(text: &str, path: &Path) -> Result<Key, PkiError> {
    Key::from_pem(text).map_err(|why| PkiError::Corrupt { path: path.to_owned(), why: why.to_string() })
}

fn paths(directory: &Path) -> (PathBuf, PathBuf) {
    (directory.join("ca.crt"), directory.join("ca.key"))
}

fn required(path: &Path, other: &Path) -> Result<String, PkiError> {
    file::read(path)?.ok_or_else(|| PkiError::Missing { missing: path.to_owned(), present: other.to_owned() })
}
