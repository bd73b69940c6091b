//! Certificate signing requests that others made (PKCS#10 in PEM): what they ask for, once their signature is found good.

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;

const REQUEST: &str = "CERTIFICATE REQUEST";
const CERTIFICATE: &str = "CERTIFICATE";

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requested {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub dns_names: Vec<String>,
    pub ip_addresses: usize,
    pub emails: usize,
    pub uris: usize,
}

/// Reads a request in PEM and checks that its signer has the key. The error is upstream's text where it has one.
pub fn requested(pem: &[u8]) -> Result<Requested, String> {
    let block = Pem::iter_from_buffer(pem).next().and_then(Result::ok).filter(|block| block.label == REQUEST);
    let Some(block) = block else { return Err(format!("PEM block type must be {REQUEST}")) };
    let malformed = |_| "asn1: structure error: malformed certificate request".to_owned();
    let (_, request) = X509CertificationRequest::from_der(&block.contents).map_err(malformed)?;
    request.verify_signature().map_err(|error| format!("x509: {error}"))?;
    let subject = &request.certification_request_info.subject;
    let text = |part: &x509_parser::x509::AttributeTypeAndValue<'_>| part.as_str().unwrap_or_default().to_owned();
    let mut found = Requested {
        common_name: subject.iter_common_name().map(text).next().unwrap_or_default(),
        organizations: subject.iter_organization().map(text).collect(),
        ..Requested::default()
    };
    for extension in request.requested_extensions().into_iter().flatten() {
        let ParsedExtension::SubjectAlternativeName(names) = extension else { continue };
        for name in &names.general_names {
            match name {
                GeneralName::DNSName(name) => found.dns_names.push((*name).to_owned()),
                GeneralName::IPAddress(_) => found.ip_addresses += 1,
                GeneralName::RFC822Name(_) => found.emails += 1,
                GeneralName::URI(_) => found.uris += 1,
                _ => {}
            }
        }
    }
    Ok(found)
}

/// Checks the certificates that were issued for a request.
pub fn check_certificates(pem: &[u8]) -> Result<(), String> {
    let mut blocks = 0;
    for block in Pem::iter_from_buffer(pem).map_while(Result::ok) {
        if block.label != CERTIFICATE {
            return Err(format!("only CERTIFICATE PEM blocks are allowed, found {:?}", block.label));
        }
        block.parse_x509().map_err(|_| "x509: malformed certificate".to_owned())?;
        blocks += 1;
    }
    if blocks == 0 { Err("must contain at least one CERTIFICATE PEM block".to_owned()) } else { Ok(()) }
}
