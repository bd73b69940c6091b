//! Which objects a list or a watch is about: namespace, name, labels, fields.

use std::sync::Arc;

use api::selector::{FieldSelector, LabelSelector};
use api::{Key, Object, Status};
use cache::Table;

use super::Call;
use crate::resource::Resource;
use crate::watchcache::Trigger;

/// Cheap to clone: a watch keeps one.
#[derive(Clone)]
pub(crate) struct Selection {
    namespace: Option<Box<str>>,
    name: Option<Box<str>>,
    labels: Option<Arc<LabelSelector>>,
    fields: Arc<[FieldTerm]>,
    namespaced: bool,
}

pub(crate) type Candidates<'a> = Box<dyn Iterator<Item = &'a Object> + 'a>;

struct FieldTerm {
    field: Field,
    equal: bool,
    value: Box<str>,
}

#[derive(PartialEq, Eq)]
enum Field {
    Name,
    Namespace,
    /// By position in the resource's selectable fields.
    At(usize),
    /// The second where the first is empty.
    Either(usize, usize),
}

impl Selection {
    pub fn read(call: &Call) -> Result<Self, Status> {
        let (info, params) = (&call.context.info, &call.context.params);
        let labels = params.get("labelSelector").map(|text| {
            LabelSelector::parse(text).map(Arc::new).map_err(|error| Status::bad_request(error.to_string()))
        });
        let fields = params.get("fieldSelector").map(|text| parse_fields(call, text)).transpose()?.unwrap_or_default();
        Ok(Self {
            namespace: Some(&info.namespace).filter(|namespace| !namespace.is_empty()).map(|text| text.as_str().into()),
            name: Some(&info.name).filter(|name| !name.is_empty()).map(|text| text.as_str().into()),
            labels: labels.transpose()?,
            fields: fields.into(),
            namespaced: call.resource.is_namespaced(),
        })
    }

    pub fn matches(&self, object: &Object) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| object.namespace() == namespace)
            && self.name.as_deref().is_none_or(|name| object.name() == name)
            && self.labels.as_ref().is_none_or(|labels| labels.matches(|key| object.label(key)))
            && self.fields.iter().all(|term| term.matches(object))
    }

    /// The objects of the table that match, in key order.
    pub fn objects<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = &'a Object> + 'a {
        let start = Key::new(self.namespace.as_deref().unwrap_or_default(), "");
        self.candidates_from(table, start).filter(|object| self.matches(object))
    }

    /// What has to be looked at, from `start` on: one object where the name is known, or those of the namespace.
    pub fn candidates_from<'a>(&'a self, table: &'a Table, start: Key) -> Candidates<'a> {
        let namespace = self.namespace.as_deref().or_else(|| self.exact(&Field::Namespace));
        let name = self.name.as_deref().or_else(|| self.exact(&Field::Name));
        match (name, namespace) {
            (Some(name), Some(namespace)) => {
                let key = Key::new(namespace, name);
                Box::new((key >= start).then(|| table.get(&key)).flatten().into_iter())
            }
            (Some(name), None) if !self.namespaced => {
                let key = Key::cluster(name);
                Box::new((key >= start).then(|| table.get(&key)).flatten().into_iter())
            }
            (_, Some(namespace)) => {
                let start = start.max(Key::new(namespace, ""));
                Box::new(table.from_key(start).take_while(move |object| object.namespace() == namespace))
            }
            (_, None) => Box::new(table.from_key(start)),
        }
    }

    /// The one value that the selector lets the field have.
    fn exact(&self, field: &Field) -> Option<&str> {
        self.fields.iter().find(|term| term.equal && term.field == *field).map(|term| &*term.value)
    }

    /// A selector by labels or fields makes the count of remaining items unknown.
    pub fn selects(&self) -> bool {
        self.labels.is_some() || !self.fields.is_empty()
    }

    /// A field that must have one value, by which the cache wakes a watcher only when needed.
    pub fn trigger(&self) -> Option<Trigger> {
        self.fields.iter().find_map(|term| match term.field {
            Field::At(position) if term.equal => Some((position, term.value.clone())),
            Field::At(_) | Field::Either(..) | Field::Name | Field::Namespace => None,
        })
    }
}

impl FieldTerm {
    fn matches(&self, object: &Object) -> bool {
        let value = match self.field {
            Field::Name => object.name(),
            Field::Namespace => object.namespace(),
            Field::At(position) => object.field(position),
            Field::Either(position, fallback) => match object.field(position) {
                "" => object.field(fallback),
                value => value,
            },
        };
        (value == &*self.value) == self.equal
    }
}

fn parse_fields(call: &Call, text: &str) -> Result<Vec<FieldTerm>, Status> {
    let selector = FieldSelector::parse(text).map_err(Status::bad_request)?;
    let term = |one: &api::selector::FieldRequirement| {
        let field = find_field(call, &one.field).ok_or_else(|| unknown_field(call, &one.field))?;
        Ok(FieldTerm { field, equal: one.equal, value: one.value.as_str().into() })
    };
    selector.requirements.iter().map(term).collect()
}

fn find_field(call: &Call, name: &str) -> Option<Field> {
    match name {
        "metadata.name" => Some(Field::Name),
        // Kinds without a namespace and with words of their own for selectors do not know it.
        "metadata.namespace" if call.resource.is_namespaced() || !has_own_fields(&call.resource) => {
            Some(Field::Namespace)
        }
        _ => {
            // The stored resource's fields are those that are indexed; another version may name them otherwise.
            let position = call.resource.field_position(name)?;
            let fallback = call.resource.field_fallback(name);
            Some(fallback.map_or(Field::At(position), |fallback| Field::Either(position, fallback)))
        }
    }
}

fn has_own_fields(resource: &Resource) -> bool {
    !resource.selectable_fields.is_empty() || resource.custom.is_some()
}

fn unknown_field(call: &Call, name: &str) -> Status {
    if let Some(refusal) = call.resource.field_refusal {
        return Status::bad_request(refusal.replace("{}", name));
    }
    Status::bad_request(if !has_own_fields(&call.resource) {
        format!("{name:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
    } else {
        format!("field label not supported: {name}")
    })
}
