//! An identity in use: a certificate that renews itself long before it expires, without a restart.
//!
//! ```text
//! valid --2/3 of its life--> renew --ok--> valid (new key, new certificate)
//!                              +--failed--> valid (the old one), tried again after a while
//! ```

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{SignatureScheme, crypto::ring::sign::any_ecdsa_type};
use rustls_pki_types::pem::PemObject;
use stdx::Clock;

use crate::authority::{Authority, end_of, read_key};
use crate::certificate::{Issued, Request, renew_at};
use crate::error::PkiError;
use crate::file;
use crate::subject::parse;

/// A failed renewal is tried again this often.
const RETRY: SignedDuration = SignedDuration::from_mins(1);
/// The wall clock may jump (suspend, time set by hand), so it is read again at least this often.
const SLEEP_MAX: SignedDuration = SignedDuration::from_hours(1);

/// Where an identity comes from, and comes from again when it is renewed.
#[derive(Clone, Debug)]
pub enum Source {
    /// Signed by the authority that we hold.
    Authority(Arc<Authority>, Request),
    /// Read from files that somebody else renews.
    Files { certificate: PathBuf, key: PathBuf },
}

/// A certificate and key for TLS, on either side. Share it by `Arc`; give it to [`crate::server_config`] or
/// [`crate::client_config`], and run [`Identity::keep_fresh`] in a task.
#[derive(Debug)]
pub struct Identity {
    source: Source,
    current: RwLock<Current>,
}

#[derive(Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    renew_at: Timestamp,
    not_after: Timestamp,
}

impl Identity {
    pub fn new(source: Source, now: Timestamp) -> Result<Arc<Self>, PkiError> {
        let current = RwLock::new(source.load(now)?);
        Ok(Arc::new(Self { source, current }))
    }

    /// An identity signed by `authority`.
    pub fn issued(authority: &Arc<Authority>, request: Request, now: Timestamp) -> Result<Arc<Self>, PkiError> {
        Self::new(Source::Authority(authority.clone(), request), now)
    }

    /// The certificate that is in use.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certified().cert.first().cloned().expect("invariant: an identity has a certificate")
    }

    pub fn not_after(&self) -> Timestamp {
        self.current.read().unwrap_or_else(PoisonError::into_inner).not_after
    }

    pub fn renew_at(&self) -> Timestamp {
        self.current.read().unwrap_or_else(PoisonError::into_inner).renew_at
    }

    fn certified(&self) -> Arc<CertifiedKey> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).key.clone()
    }

    /// Renews if two thirds of the lifetime are over, and says when to look again. After a failure the old certificate
    /// stays in use.
    pub fn renew_if_due(&self, now: Timestamp) -> (Timestamp, Result<bool, PkiError>) {
        let due = self.renew_at();
        if now < due {
            return (due, Ok(false));
        }
        match self.source.load(now) {
            Ok(fresh) => {
                let next = fresh.renew_at.max(now + RETRY);
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
                (next, Ok(true))
            }
            Err(why) => (now + RETRY, Err(why)),
        }
    }

    /// Renews for ever; its owner cancels it by dropping it.
    pub async fn keep_fresh(self: Arc<Self>, clock: Arc<dyn Clock>) {
        loop {
            let now = clock.now();
            let (next, renewed) = self.renew_if_due(now);
            match renewed {
                Ok(true) => tracing::info!(until = %self.not_after(), "renewed a certificate"),
                Ok(false) => {}
                Err(why) => tracing::warn!(%why, until = %self.not_after(), "cannot renew a certificate"),
            }
            let wait = now.duration_until(next).min(SLEEP_MAX);
            tokio::time::sleep(Duration::try_from(wait).unwrap_or_default()).await;
        }
    }
}

impl Source {
    fn load(&self, now: Timestamp) -> Result<Current, PkiError> {
        match self {
            Self::Authority(authority, request) => Current::new(&authority.issue(request, now)),
            Self::Files { certificate, key } => Current::new(&read(certificate, key)?),
        }
    }
}

impl Current {
    fn new(issued: &Issued) -> Result<Self, PkiError> {
        let signing = any_ecdsa_type(&issued.key.rustls()).map_err(|why| PkiError::Tls(why.to_string()))?;
        let key = Arc::new(CertifiedKey::new(vec![issued.certificate.clone()], signing));
        Ok(Self { key, renew_at: issued.renew_at(), not_after: issued.not_after })
    }
}

/// Reads a certificate and its key, and sees that they belong together.
fn read(certificate_path: &PathBuf, key_path: &PathBuf) -> Result<Issued, PkiError> {
    let text = |path: &PathBuf| {
        let missing =
            || PkiError::File { action: "read", path: path.clone(), source: std::io::ErrorKind::NotFound.into() };
        file::read(path)?.ok_or_else(missing)
    };
    let corrupt = |why: String| PkiError::Corrupt { path: certificate_path.clone(), why };
    let certificate = CertificateDer::from_pem_slice(text(certificate_path)?.as_bytes());
    let certificate = certificate.map_err(|why| corrupt(why.to_string()))?.into_owned();
    let key = read_key(&text(key_path)?, key_path)?;
    let parsed = parse(&certificate).map_err(|why| corrupt(why.to_string()))?;
    if parsed.public_key().subject_public_key.data.as_ref() != key.public() {
        return Err(PkiError::Mismatch { key: key_path.clone(), certificate: certificate_path.clone() });
    }
    let not_after = end_of(&parsed)?;
    let not_before = Timestamp::from_second(parsed.validity().not_before.timestamp());
    let not_before = not_before.map_err(|why| corrupt(why.to_string()))?;
    debug_assert!(renew_at(not_before, not_after) <= not_after);
    Ok(Issued { certificate, key, not_before, not_after })
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
