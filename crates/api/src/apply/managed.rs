//! `metadata.managedFields`: which manager owns which set of fields, read from and written to an object.

use serde_json::{Map as Json, Value, json};

use super::set::Set;

/// More managers by Update than this are folded into one, so that the list stays bounded.
const UPDATE_MANAGERS_MAX: usize = 10;
const ANCIENT: &str = "ancient-changes";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// One manager's fields. Times are kept as the texts that they are on the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub manager: String,
    pub operation: Operation,
    pub api_version: String,
    pub subresource: String,
    pub time: Option<String>,
    pub set: Set,
}

impl Entry {
    /// Whether two entries are the same manager's: an applier is one whatever version it applies.
    pub fn is_same_manager(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// The manager as conflicts name it.
    pub fn title(&self) -> String {
        let mut title = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            title = format!("{title} with subresource {:?}", self.subresource);
        }
        match self.operation {
            Operation::Apply => title,
            Operation::Update => format!("{title} using {}", self.api_version),
        }
    }

    /// Where it stands among the others.
    fn rank(&self) -> impl Ord {
        (self.operation, self.time.as_ref(), &self.manager, &self.api_version, &self.subresource)
    }

    fn to_json(&self) -> Value {
        let mut entry = Json::new();
        let mut put = |name: &str, text: &str| {
            if !text.is_empty() {
                entry.insert(name.to_owned(), text.into());
            }
        };
        put("manager", &self.manager);
        put("operation", self.operation.as_str());
        put("apiVersion", &self.api_version);
        put("time", self.time.as_deref().unwrap_or_default());
        put("fieldsType", "FieldsV1");
        put("subresource", &self.subresource);
        entry.insert("fieldsV1".to_owned(), self.set.to_json());
        Value::Object(entry)
    }
}

/// The entries of an object. An entry that cannot be read makes the list empty, as upstream does it.
pub fn read(object: &Value) -> Vec<Entry> {
    let list = object.get("metadata").and_then(|metadata| metadata.get("managedFields")).and_then(Value::as_array);
    list.into_iter().flatten().map(read_entry).collect::<Option<Vec<Entry>>>().unwrap_or_default()
}

/// A list of one empty entry is how a client asks to forget all managers.
pub fn is_reset(object: &Value) -> bool {
    let list = object.get("metadata").and_then(|metadata| metadata.get("managedFields")).and_then(Value::as_array);
    list.is_some_and(|list| list.len() == 1 && list[0].as_object().is_some_and(Json::is_empty))
}

fn read_entry(entry: &Value) -> Option<Entry> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let operation = match text("operation").as_str() {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return None,
    };
    Some(Entry {
        manager: text("manager"),
        operation,
        api_version: text("apiVersion"),
        subresource: text("subresource"),
        time: Some(text("time")).filter(|time| !time.is_empty()),
        set: Set::parse(entry.get("fieldsV1").unwrap_or(&Value::Null)),
    })
}

/// Writes the entries into the object, without the empty ones, in upstream's order.
pub fn write(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.set.is_empty());
    entries.sort_by(|a, b| a.rank().cmp(&b.rank()));
    let Some(fields) = object.as_object_mut() else { return };
    let Some(metadata) = fields.entry("metadata").or_insert_with(|| json!({})).as_object_mut() else { return };
    if entries.is_empty() {
        metadata.remove("managedFields");
    } else {
        metadata.insert("managedFields".to_owned(), entries.iter().map(Entry::to_json).collect());
    }
}

/// Folds the oldest managers by Update into one per version when there are too many.
pub fn cap(entries: &mut Vec<Entry>) {
    let updates = entries.iter().filter(|entry| entry.operation == Operation::Update).count();
    if updates <= UPDATE_MANAGERS_MAX {
        return;
    }
    let mut excess = updates + 1 - UPDATE_MANAGERS_MAX;
    entries.sort_by(|a, b| (b.operation, &a.time).cmp(&(a.operation, &b.time)));
    let mut kept: Vec<Entry> = Vec::new();
    for entry in entries.drain(..) {
        let foldable = entry.operation == Operation::Update && entry.subresource.is_empty() && excess > 0;
        if !foldable {
            kept.push(entry);
            continue;
        }
        excess -= 1;
        let bucket = Entry { manager: ANCIENT.to_owned(), ..entry };
        match kept.iter_mut().find(|other| other.is_same_manager(&bucket)) {
            Some(other) => {
                other.set.union(&bucket.set);
                other.time = other.time.take().max(bucket.time);
            }
            None => kept.push(bucket),
        }
    }
    *entries = kept;
}
