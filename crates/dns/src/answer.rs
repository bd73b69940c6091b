//! From a query to its answer, or to whom to ask. Pure.
//!
//! ```text
//! SVC.NS.svc.DOMAIN                A, AAAA, SRV of a service; CNAME of an ExternalName
//! _PORT._PROTO.SVC.NS.svc.DOMAIN   SRV of one port
//! LABEL.SVC.NS.svc.DOMAIN          an endpoint, by hostname or dashed address
//! A-B-C-D.NS.pod.DOMAIN            the address that it spells, when the namespace exists
//! ...in-addr.arpa, ...ip6.arpa     PTR of services, else of endpoints
//! dns-version.DOMAIN, ns.dns.DOMAIN, DOMAIN (SOA, NS)
//! ```

use std::collections::BTreeSet;
use std::net::IpAddr;

use api::Key;
use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use crate::Config;
use crate::compile::{Endpoint, Kind, Port, Records};
use crate::zone::{Owner, Zone};

/// The version of the specification that is implemented.
const DNS_VERSION: &str = "1.1.0";
/// The largest datagram that we say to take.
const PAYLOAD_BYTES: u16 = 1232;
/// How many ExternalName services may point to one another.
const CNAMES_MAX: usize = 8;

/// What to do about a query.
#[derive(Clone, Debug)]
pub enum Answer {
    Reply(Message),
    /// Nothing of the cluster: ask upstream.
    Forward,
    /// The reply so far ends in a name outside the cluster: ask upstream for that and add its answers.
    Chase(Message, Query),
}

/// Decides about one query. `turn` rotates the addresses of an answer, so that clients spread over them.
pub fn answer(zone: &Zone, config: &Config, query: &Message, turn: usize) -> Answer {
    let mut reply = reply_to(query);
    reply.metadata.recursion_available = !config.upstreams.is_empty();
    let code = match refusal(query) {
        Ok(question) => return Lookup { zone, config, turn }.answer(question, reply),
        Err(code) => code,
    };
    reply.metadata.response_code = code;
    Answer::Reply(reply)
}

/// An empty reply, with EDNS where the query has it.
pub(crate) fn reply_to(query: &Message) -> Message {
    let mut reply = Message::new(query.metadata.id, MessageType::Response, query.metadata.op_code);
    reply.metadata = Metadata::response_from_request(&query.metadata);
    reply.queries = query.queries.clone();
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD_BYTES).set_version(0);
        reply.set_edns(edns);
    }
    reply
}

fn refusal(query: &Message) -> Result<&Query, ResponseCode> {
    if query.metadata.op_code != OpCode::Query {
        return Err(ResponseCode::NotImp);
    }
    if query.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        return Err(ResponseCode::BADVERS);
    }
    match &query.queries[..] {
        [question] if question.query_class() == DNSClass::IN => Ok(question),
        [_] => Err(ResponseCode::Refused),
        _ => Err(ResponseCode::FormErr),
    }
}

/// The records of a name that exists.
#[derive(Default)]
struct Found {
    addresses: Vec<IpAddr>,
    services: Vec<(u16, Name, Vec<IpAddr>)>,
    others: Vec<RData>,
    alias: Option<Name>,
}

struct Lookup<'a> {
    zone: &'a Zone,
    config: &'a Config,
    turn: usize,
}

impl Lookup<'_> {
    fn answer(&self, question: &Query, mut reply: Message) -> Answer {
        let mut name = question.name().clone();
        let mut owner = name.clone();
        for _ in 0..CNAMES_MAX {
            let labels = labels(&name);
            let found = match self.inside(&labels) {
                Some(inside) => self.find(inside),
                None => match name.parse_arpa_name().ok().and_then(|net| self.pointers(net.addr(), net.prefix_len())) {
                    Some(found) => Some(found),
                    None => return self.outside(question, &name, reply),
                },
            };
            if !self.zone.is_complete() {
                reply.metadata.response_code = ResponseCode::ServFail;
                return Answer::Reply(reply);
            }
            reply.metadata.authoritative = true;
            let Some(found) = found else {
                reply.metadata.response_code = ResponseCode::NXDomain;
                reply.add_authority(self.soa());
                return Answer::Reply(reply);
            };
            let Some(target) = found.alias.clone().filter(|_| question.query_type() != RecordType::CNAME) else {
                self.add(question, &owner, found, &mut reply);
                return Answer::Reply(reply);
            };
            reply.add_answer(self.record(&owner, RData::CNAME(CNAME(target.clone()))));
            (name, owner) = (target.clone(), target);
        }
        reply.metadata.response_code = ResponseCode::ServFail;
        Answer::Reply(reply)
    }

    /// The labels in front of the cluster's domain, or nothing for a name outside.
    fn inside<'l>(&self, labels: &'l [String]) -> Option<Vec<&'l str>> {
        let domain: Vec<&str> = self.config.domain.split('.').collect();
        let cut = labels.len().checked_sub(domain.len())?;
        let is_inside = labels[cut..].iter().zip(domain).all(|(label, part)| label.eq_ignore_ascii_case(part));
        is_inside.then(|| labels[..cut].iter().map(String::as_str).collect())
    }

    fn outside(&self, question: &Query, name: &Name, mut reply: Message) -> Answer {
        let is_reverse = name.parse_arpa_name().is_ok();
        match (self.config.upstreams.is_empty(), reply.answers.is_empty()) {
            (false, true) => return Answer::Forward,
            (false, false) => {
                let mut query = question.clone();
                query.set_name(name.clone());
                return Answer::Chase(reply, query);
            }
            // Nobody knows a name for the address, and a client that looks for one shall not try again.
            (true, true) if is_reverse && !self.zone.is_complete() => {
                reply.metadata.response_code = ResponseCode::ServFail;
            }
            (true, true) if is_reverse => {
                reply.metadata.response_code = ResponseCode::NXDomain;
                reply.add_authority(self.soa());
            }
            (true, true) => reply.metadata.response_code = ResponseCode::Refused,
            (true, false) => {}
        }
        Answer::Reply(reply)
    }

    /// Nothing when the name does not exist.
    fn find(&self, labels: Vec<&str>) -> Option<Found> {
        let nothing = Some(Found::default());
        match labels[..] {
            [] => Some(Found {
                others: vec![RData::SOA(self.soa_data()), RData::NS(NS(self.name("ns.dns")?))],
                ..Found::default()
            }),
            ["dns-version"] => {
                Some(Found { others: vec![RData::TXT(TXT::new(vec![DNS_VERSION.into()]))], ..Found::default() })
            }
            ["ns", "dns"] => Some(Found { addresses: self.config.addresses.clone(), ..Found::default() }),
            ["svc" | "pod" | "dns"] => nothing,
            [namespace, "svc" | "pod"] if self.zone.has_namespace(namespace) => nothing,
            [pod, namespace, "pod"] if self.zone.has_namespace(namespace) => {
                Some(Found { addresses: vec![spelled(pod)?], ..Found::default() })
            }
            [service, namespace, "svc"] => self.service(namespace, service, "", ""),
            [label, service, namespace, "svc"] => self.endpoint(namespace, service, label),
            [port, protocol, service, namespace, "svc"] => {
                let (port, protocol) = (port.strip_prefix('_')?, protocol.strip_prefix('_')?);
                self.service(namespace, service, port, protocol)
            }
            _ => None,
        }
    }

    fn service(&self, namespace: &str, name: &str, port: &str, protocol: &str) -> Option<Found> {
        let records = self.zone.service(namespace, name)?;
        match &records.kind {
            Kind::External(target) => {
                let is_name = target.parse::<IpAddr>().is_err() && !target.is_empty() && port.is_empty();
                let target = Name::from_ascii(absolute(target)).ok().filter(|_| is_name)?;
                Some(Found { alias: Some(target), ..Found::default() })
            }
            Kind::Cluster { addresses, ports } => {
                let target = self.name(&format!("{name}.{namespace}.svc"))?;
                let ports: Vec<u16> = matching(ports, port, protocol).collect();
                // A service without ports has no records, like any without the port that is asked for.
                (!ports.is_empty()).then(|| Found {
                    addresses: addresses.to_vec(),
                    services: ports.into_iter().map(|port| (port, target.clone(), addresses.to_vec())).collect(),
                    ..Found::default()
                })
            }
            Kind::Headless => {
                let wanted = |endpoint: &&Endpoint| {
                    let any = port.is_empty() && endpoint.ports.is_empty();
                    any || matching(&endpoint.ports, port, protocol).next().is_some()
                };
                self.endpoints(namespace, name, records.endpoints.iter().filter(wanted), port, protocol)
            }
        }
    }

    fn endpoint(&self, namespace: &str, service: &str, label: &str) -> Option<Found> {
        let records: &Records = self.zone.service(namespace, service)?;
        let named = records.endpoints.iter().filter(|endpoint| &*endpoint.label == label);
        self.endpoints(namespace, service, named, "", "")
    }

    /// Nothing when there are none: a headless service without ready endpoints has no name.
    fn endpoints<'e>(
        &self,
        namespace: &str,
        service: &str,
        endpoints: impl Iterator<Item = &'e Endpoint>,
        port: &str,
        protocol: &str,
    ) -> Option<Found> {
        let mut found = Found::default();
        for endpoint in endpoints {
            if !found.addresses.contains(&endpoint.address) {
                found.addresses.push(endpoint.address);
            }
            let target = self.name(&format!("{}.{service}.{namespace}.svc", endpoint.label))?;
            for number in matching(&endpoint.ports, port, protocol) {
                let known = found.services.iter_mut().find(|(port, name, _)| *port == number && *name == target);
                match known {
                    Some((.., addresses)) => addresses.push(endpoint.address),
                    None => found.services.push((number, target.clone(), vec![endpoint.address])),
                }
            }
        }
        (!found.addresses.is_empty()).then_some(found)
    }

    /// Names of an address: of services, else of endpoints. Nothing when the cluster does not know it.
    fn pointers(&self, address: IpAddr, prefix_len: u8) -> Option<Found> {
        let is_whole = prefix_len == if address.is_ipv4() { 32 } else { 128 };
        let owners: Vec<&Owner> = self.zone.owners(address).filter(|_| is_whole).collect();
        let has_service = owners.iter().any(|owner| matches!(owner, Owner::Service(_)));
        let name = |owner: &&Owner| match owner {
            Owner::Service(Key { namespace, name }) => self.name(&format!("{name}.{namespace}.svc")),
            Owner::Endpoint(..) if has_service => None,
            Owner::Endpoint(Key { namespace, name }, label) => self.name(&format!("{label}.{name}.{namespace}.svc")),
        };
        let names: BTreeSet<Name> = owners.iter().filter_map(name).collect();
        let others = names.into_iter().map(|name| RData::PTR(PTR(name))).collect::<Vec<_>>();
        (!others.is_empty()).then(|| Found { others, ..Found::default() })
    }

    /// Adds what the question asks for; the SOA record where there is nothing of its type.
    fn add(&self, question: &Query, owner: &Name, found: Found, reply: &mut Message) {
        let wanted = question.query_type();
        let mut addresses: Vec<RData> =
            found.addresses.iter().map(|a| RData::from(*a)).filter(|data| data.record_type() == wanted).collect();
        if !addresses.is_empty() {
            let turn = self.turn % addresses.len();
            addresses.rotate_left(turn);
        }
        let mut answers = addresses;
        answers.extend(found.others.into_iter().filter(|data| data.record_type() == wanted));
        answers.extend(found.alias.map(|target| RData::CNAME(CNAME(target))));
        if wanted == RecordType::SRV {
            let count = u16::try_from(found.services.len()).unwrap_or(u16::MAX).max(1);
            let mut targets = BTreeSet::new();
            for (port, target, addresses) in found.services {
                answers.push(RData::SRV(SRV::new(0, (100 / count).max(1), port, target.clone())));
                if targets.insert(target.clone()) {
                    reply.add_additionals(addresses.iter().map(|address| self.record(&target, RData::from(*address))));
                }
            }
        }
        if answers.is_empty() {
            reply.add_authority(self.soa());
        }
        reply.add_answers(answers.into_iter().map(|data| self.record(owner, data)));
    }

    fn record(&self, owner: &Name, data: RData) -> Record {
        Record::from_rdata(owner.clone(), self.config.ttl_secs, data)
    }

    fn name(&self, front: &str) -> Option<Name> {
        Name::from_ascii(absolute(&format!("{front}.{}", self.config.domain))).ok()
    }

    fn soa(&self) -> Record {
        let owner = Name::from_ascii(absolute(&self.config.domain)).unwrap_or_else(|_| Name::root());
        self.record(&owner, RData::SOA(self.soa_data()))
    }

    fn soa_data(&self) -> SOA {
        let name = |front| self.name(front).unwrap_or_else(Name::root);
        SOA::new(name("ns.dns"), name("hostmaster"), self.zone.serial(), 7200, 1800, 86_400, self.config.ttl_secs)
    }
}

fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

/// Lowercase labels, the first one first. A label that is no text matches nothing that we have.
fn labels(name: &Name) -> Vec<String> {
    name.iter().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).collect()
}

fn matching<'p>(ports: &'p [Port], name: &'p str, protocol: &'p str) -> impl Iterator<Item = u16> + 'p {
    let matches = move |port: &&Port| {
        (name.is_empty() || *port.name == *name) && (protocol.is_empty() || *port.protocol == *protocol)
    };
    ports.iter().filter(matches).map(|port| port.number)
}

/// The address that a pod's label spells with dashes.
fn spelled(label: &str) -> Option<IpAddr> {
    let is_v4 = label.matches('-').count() == 3 && !label.contains("--");
    label.replace('-', if is_v4 { "." } else { ":" }).parse().ok()
}
