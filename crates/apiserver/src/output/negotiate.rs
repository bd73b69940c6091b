//! What form an answer takes, by the Accept header and what the endpoint has to offer.
//!
//! Two stages refuse, as upstream: the route, which knows media types only and reads no wildcard but `*/*`, and the
//! handler, which also knows what `as=`, `stream=` and `pretty=` ask for.

use api::{Status, protobuf};

/// How an answer is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    Json { pretty: bool },
    Yaml,
    Protobuf,
}

const TYPES: [(&str, Media); 3] = [
    ("application/json", Media::Json { pretty: false }),
    ("application/yaml", Media::Yaml),
    (protobuf::CONTENT_TYPE, Media::Protobuf),
];
const STREAMS: [&str; 2] = ["application/json;stream=watch", protobuf::WATCH_CONTENT_TYPE];

/// What an answer shows of the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Object,
    /// PartialObjectMetadata, of one object or of a list's.
    Partial {
        list: bool,
    },
    Table(Include),
}

/// What goes into the `object` of a Table's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Include {
    None,
    Metadata,
    Object,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    pub media: Media,
    pub view: View,
    /// The apiVersion of Tables and PartialObjectMetadata.
    pub meta_version: &'static str,
}

/// What an endpoint can answer with.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// The route looks at the header before the handler; those of custom resources do not.
    pub routed: bool,
    /// The kind can be written as protobuf.
    pub protobuf: bool,
    /// The route serves lists, and so watches.
    pub streams: bool,
    /// A watch was asked for.
    pub watch: bool,
    /// Tables and PartialObjectMetadata can be had.
    pub views: bool,
}

impl Offer {
    /// JSON, YAML and protobuf of what is no resource of a list.
    pub const PLAIN: Self = Self { routed: true, protobuf: true, streams: false, watch: false, views: false };
}

impl Form {
    pub const JSON: Self =
        Self { media: Media::Json { pretty: false }, view: View::Object, meta_version: "meta.k8s.io/v1" };

    /// The best form of the Accept header that is offered.
    pub fn negotiate(accept: &str, offer: Offer) -> Result<Self, Status> {
        if accept.is_empty() {
            return Ok(Self::JSON);
        }
        if offer.routed && !routes(accept) {
            return Err(not_routed(offer.streams));
        }
        let clauses = Clause::all(accept);
        let fitting = clauses.iter().flat_map(|clause| {
            TYPES.iter().filter(|(name, _)| clause.covers(name)).filter_map(|(_, media)| clause.form(*media, offer))
        });
        let form = fitting.into_iter().next().ok_or_else(|| not_acceptable(&TYPES.map(|(name, _)| name)))?;
        if offer.watch && form.media == Media::Yaml {
            return Err(not_acceptable(&STREAMS));
        }
        Ok(form)
    }

    /// Pretty as the query or the agent would have it: tools that print what they are sent get it indented.
    pub fn prettified(self, pretty: Option<&str>, user_agent: &str) -> Self {
        let Media::Json { pretty: already } = self.media else { return self };
        let is_human = || ["curl", "Wget", "Mozilla/5.0"].iter().any(|agent| user_agent.starts_with(agent));
        let asked = match pretty {
            Some(value) if !value.is_empty() => matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"),
            _ => is_human(),
        };
        Self { media: Media::Json { pretty: already || asked }, ..self }
    }

    /// With `includeObject` of the query.
    pub fn with_include(self, include: Option<&str>) -> Result<Self, Status> {
        let View::Table(_) = self.view else { return Ok(self) };
        let include = match include {
            Some("None") => Include::None,
            Some("Object") => Include::Object,
            Some("Metadata" | "") | None => Include::Metadata,
            Some(other) => {
                return Err(Status::bad_request(format!(
                    "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: must be \
                     'Metadata', 'Object', 'None', or empty"
                )));
            }
        };
        Ok(Self { view: View::Table(include), ..self })
    }
}

/// One alternative of an Accept header.
struct Clause<'a> {
    kind: &'a str,
    subtype: &'a str,
    params: Vec<(&'a str, &'a str)>,
    quality: f32,
}

impl<'a> Clause<'a> {
    /// All alternatives, better ones first.
    fn all(accept: &'a str) -> Vec<Self> {
        let mut clauses: Vec<Self> = accept.split(',').filter_map(Self::parse).collect();
        clauses.sort_by_key(Self::rank);
        clauses
    }

    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';');
        let media = parts.next()?.trim();
        let (kind, subtype) = if media == "*" { ("*", "*") } else { media.split_once('/')? };
        let params: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
        let params: Vec<(&str, &str)> = params.into_iter().map(|(key, value)| (key.trim(), value.trim())).collect();
        let quality = params.iter().find(|(key, _)| *key == "q").map_or(1.0, |(_, q)| q.parse().unwrap_or(0.0));
        Some(Self { kind: kind.trim(), subtype: subtype.trim(), params, quality })
    }

    /// Better ones first: by quality, then the more specific.
    fn rank(&self) -> (std::cmp::Reverse<u32>, bool, bool) {
        let quality = self.quality.clamp(0.0, 1.0);
        // Non-negative floats are ordered as their bits.
        (std::cmp::Reverse(quality.to_bits()), self.kind == "*", self.subtype == "*")
    }

    fn covers(&self, name: &str) -> bool {
        let (kind, subtype) = name.split_once('/').unwrap_or_default();
        match (self.kind, self.subtype) {
            ("*", "*") => true,
            (own, "*") => own == kind,
            (own, own_subtype) => own == kind && own_subtype == subtype,
        }
    }

    fn param(&self, name: &str) -> Option<&'a str> {
        self.params.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    /// The clause's form in this medium, if it can be had.
    fn form(&self, media: Media, offer: Offer) -> Option<Form> {
        match self.param("stream") {
            None | Some("") => {}
            Some("watch") if media != Media::Yaml => {}
            Some(_) => return None,
        }
        if self.param("sv").is_some_and(|version| !matches!(version, "" | "v1")) {
            return None;
        }
        let media = match media {
            Media::Json { .. } => Media::Json { pretty: self.param("pretty") == Some("1") },
            other => other,
        };
        let converts = ["as", "g", "v"].iter().any(|name| self.param(name).is_some());
        if !converts {
            let can = media != Media::Protobuf || offer.protobuf;
            return can.then_some(Form { media, ..Form::JSON });
        }
        let meta_version = match (self.param("g"), self.param("v")) {
            (Some("meta.k8s.io"), Some("v1")) => "meta.k8s.io/v1",
            (Some("meta.k8s.io"), Some("v1beta1")) => "meta.k8s.io/v1beta1",
            _ => return None,
        };
        let view = match self.param("as")? {
            // A Table has no protobuf.
            "Table" if media != Media::Protobuf => View::Table(Include::Metadata),
            "PartialObjectMetadata" => View::Partial { list: false },
            "PartialObjectMetadataList" => View::Partial { list: true },
            _ => return None,
        };
        offer.views.then_some(Form { media, view, meta_version })
    }
}

/// The best of the media types for documents that are no objects; parameters do not count.
pub fn best<'a>(accept: &str, offered: &[&'a str]) -> Option<&'a str> {
    let clauses = Clause::all(if accept.is_empty() { "*/*" } else { accept });
    clauses.iter().find_map(|clause| offered.iter().find(|name| clause.covers(name)).copied())
}

/// Whether a route takes the header: it compares names without parameters.
fn routes(accept: &str) -> bool {
    accept.split(',').any(|clause| {
        let media = clause.split(';').next().unwrap_or_default().trim();
        media == "*/*" || TYPES.iter().any(|(name, _)| *name == media)
    })
}

fn not_routed(streams: bool) -> Status {
    let names = TYPES.map(|(name, _)| name);
    let all = if streams { [&names[..], &STREAMS].concat() } else { names.to_vec() };
    let message = format!("406: Not Acceptable\n\nAvailable representations: {}", all.join(", "));
    Status::failure(406, "NotAcceptable", message).with_details(api::status::Details::default())
}

fn not_acceptable(names: &[&str]) -> Status {
    refused(format!("only the following media types are accepted: {}", names.join(", ")))
}

/// 406 for what was understood but cannot be had.
pub fn refused(message: String) -> Status {
    Status::failure(406, "NotAcceptable", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn lines(offer: Offer, table: &[&str]) -> String {
        let lines: Vec<String> = table
            .iter()
            .map(|accept| match Form::negotiate(accept, offer) {
                Ok(form) => format!("{accept} -> {:?} {:?} {}\n", form.media, form.view, form.meta_version),
                Err(status) => format!("{accept} -> {} {:?}\n", status.code, status.message),
            })
            .collect();
        lines.concat()
    }

    fn check(found: &str, expected: &Expect) {
        expected.assert_eq(found);
    }

    const LIST: Offer = Offer { routed: true, protobuf: true, streams: true, watch: false, views: true };

    #[test]
    fn the_best_alternative_that_can_be_had_is_taken() {
        let found = lines(
            LIST,
            &[
                "",
                "*/*",
                "application/json",
                "application/yaml",
                "application/vnd.kubernetes.protobuf",
                "application/vnd.kubernetes.protobuf,application/json",
                "application/json;q=0.5, application/yaml;q=0.9",
                "application/*, application/yaml",
                "text/html, */*;q=0.8",
                "application/json;pretty=1",
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                "application/json;as=Table;v=v1beta1;g=meta.k8s.io",
                "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/yaml;as=Table;v=v1;g=meta.k8s.io",
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                "application/json;as=Table;v=v2;g=meta.k8s.io,application/json",
                "application/json;stream=watch",
                "application/json;stream=other,application/yaml",
                "application/json;charset=utf-8",
            ],
        );
        check(
            &found,
            &expect![[r#"
                 -> Json { pretty: false } Object meta.k8s.io/v1
                */* -> Json { pretty: false } Object meta.k8s.io/v1
                application/json -> Json { pretty: false } Object meta.k8s.io/v1
                application/yaml -> Yaml Object meta.k8s.io/v1
                application/vnd.kubernetes.protobuf -> Protobuf Object meta.k8s.io/v1
                application/vnd.kubernetes.protobuf,application/json -> Protobuf Object meta.k8s.io/v1
                application/json;q=0.5, application/yaml;q=0.9 -> Yaml Object meta.k8s.io/v1
                application/*, application/yaml -> Yaml Object meta.k8s.io/v1
                text/html, */*;q=0.8 -> Json { pretty: false } Object meta.k8s.io/v1
                application/json;pretty=1 -> Json { pretty: true } Object meta.k8s.io/v1
                application/json;as=Table;v=v1;g=meta.k8s.io,application/json -> Json { pretty: false } Table(Metadata) meta.k8s.io/v1
                application/json;as=Table;v=v1beta1;g=meta.k8s.io -> Json { pretty: false } Table(Metadata) meta.k8s.io/v1beta1
                application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/yaml;as=Table;v=v1;g=meta.k8s.io -> Yaml Table(Metadata) meta.k8s.io/v1
                application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1 -> Protobuf Partial { list: true } meta.k8s.io/v1
                application/json;as=Table;v=v2;g=meta.k8s.io,application/json -> Json { pretty: false } Object meta.k8s.io/v1
                application/json;stream=watch -> Json { pretty: false } Object meta.k8s.io/v1
                application/json;stream=other,application/yaml -> Yaml Object meta.k8s.io/v1
                application/json;charset=utf-8 -> Json { pretty: false } Object meta.k8s.io/v1
            "#]],
        );
    }

    #[test]
    fn what_cannot_be_had_is_refused_with_what_can() {
        let custom = Offer { routed: false, protobuf: false, ..LIST };
        let protobuf = "application/vnd.kubernetes.protobuf";
        let table = [
            lines(LIST, &["text/html", "application/*", "application/cbor"]),
            lines(LIST, &["application/json;as=Nope;v=v1;g=meta.k8s.io"]),
            lines(LIST, &["application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io"]),
            lines(Offer::PLAIN, &["text/html"]),
            lines(Offer { watch: true, ..LIST }, &["application/yaml"]),
            lines(custom, &["text/html", protobuf, "application/vnd.kubernetes.protobuf,application/json"]),
        ];
        check(
            &table.concat(),
            &expect![[r#"
            text/html -> 406 "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
            application/* -> 406 "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
            application/cbor -> 406 "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
            application/json;as=Nope;v=v1;g=meta.k8s.io -> 406 "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"
            application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io -> 406 "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"
            text/html -> 406 "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf"
            application/yaml -> 406 "only the following media types are accepted: application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
            text/html -> 406 "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"
            application/vnd.kubernetes.protobuf -> 406 "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"
            application/vnd.kubernetes.protobuf,application/json -> Json { pretty: false } Object meta.k8s.io/v1
        "#]],
        );
    }
}
