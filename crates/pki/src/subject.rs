//! Whom a certificate names: its common name is the user, its organizations are the groups.

use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::AttributeTypeAndValue;

use crate::error::PkiError;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    pub common_name: String,
    pub organizations: Vec<String>,
}

impl Subject {
    pub fn new(common_name: &str, organizations: &[&str]) -> Self {
        let organizations = organizations.iter().map(|name| (*name).to_owned()).collect();
        Self { common_name: common_name.to_owned(), organizations }
    }
}

/// The subject of a certificate in DER.
pub fn subject_of(certificate: &[u8]) -> Result<Subject, PkiError> {
    let parsed = parse(certificate)?;
    let text = |attribute: &AttributeTypeAndValue<'_>| attribute.as_str().map(str::to_owned).ok();
    let subject = parsed.subject();
    Ok(Subject {
        common_name: subject.iter_common_name().find_map(text).unwrap_or_default(),
        organizations: subject.iter_organization().filter_map(text).collect(),
    })
}

pub(crate) fn parse(certificate: &[u8]) -> Result<X509Certificate<'_>, PkiError> {
    let parsed = X509Certificate::from_der(certificate);
    parsed.map(|(_, certificate)| certificate).map_err(|why| PkiError::Certificate(why.to_string()))
}
