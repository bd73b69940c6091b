//! The objects of one resource, with their indexes, as a persistent map: a clone is a consistent snapshot.

use std::sync::Arc;

use api::{Key, Object, Revision};
use rpds::RedBlackTreeMapSync;

use crate::index::Index;

/// What happened to one object. An event only says *look again*; both sides are there so that a consumer can find
/// every key that the change touches.
#[derive(Clone, Debug)]
pub struct Change {
    pub revision: Revision,
    pub before: Option<Object>,
    pub after: Option<Object>,
}

impl Change {
    /// The newest state of the object: what it is, or what it was when it was deleted.
    pub fn object(&self) -> Option<&Object> {
        self.after.as_ref().or(self.before.as_ref())
    }
}

/// By value, then by the key of the object that gave it.
type IndexEntries = RedBlackTreeMapSync<(Box<str>, Key), ()>;

/// The objects of one resource.
#[derive(Clone)]
pub struct Table {
    indexes: Arc<[Index]>,
    revision: Revision,
    objects: RedBlackTreeMapSync<Key, Object>,
    entries: Box<[IndexEntries]>,
}

impl Table {
    pub fn new(indexes: Arc<[Index]>) -> Self {
        let entries = indexes.iter().map(|_| RedBlackTreeMapSync::new_sync()).collect();
        Self { indexes, revision: Revision::ZERO, objects: RedBlackTreeMapSync::new_sync(), entries }
    }

    /// The newest revision that this table has seen.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Says that nothing else happened to this resource up to `revision` (a bookmark).
    pub fn advance(&mut self, revision: Revision) {
        self.revision = self.revision.max(revision);
    }

    pub fn len(&self) -> usize {
        self.objects.size()
    }

    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    pub fn get(&self, key: &Key) -> Option<&Object> {
        self.objects.get(key)
    }

    /// All objects in key order.
    pub fn iter(&self) -> impl Iterator<Item = &Object> {
        self.objects.values()
    }

    /// The objects of one namespace, in name order.
    pub fn in_namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Object> {
        self.from_key(Key::new(namespace, "")).take_while(move |object| object.namespace() == namespace)
    }

    /// The objects at or after `start`, in key order.
    pub fn from_key(&self, start: Key) -> impl Iterator<Item = &Object> {
        self.objects.range(start..).map(|(_, object)| object)
    }

    /// The objects for which the index `name` gives `value`, in key order.
    pub fn by_index<'a>(&'a self, name: &str, value: &'a str) -> impl Iterator<Item = &'a Object> {
        let position = self.indexes.iter().position(|index| index.name == name);
        let entries = position.map(|i| &self.entries[i]);
        let start: (Box<str>, Key) = (value.into(), Key::new("", ""));
        entries
            .into_iter()
            .flat_map(move |map| map.range(start.clone()..))
            .take_while(move |((found, _), ())| **found == *value)
            .filter_map(|((_, key), ())| self.objects.get(key))
    }

    /// Puts the object in place of any older one and returns the change.
    pub fn put(&mut self, object: Object) -> Change {
        let key = object.key();
        let before = self.objects.get(&key).cloned();
        if let Some(old) = &before {
            self.unindex(old, &key);
        }
        for (index, map) in self.indexes.iter().zip(self.entries.iter_mut()) {
            for value in (index.values)(&object) {
                map.insert_mut((value, key.clone()), ());
            }
        }
        self.objects.insert_mut(key, object.clone());
        self.advance(object.revision());
        Change { revision: object.revision(), before, after: Some(object) }
    }

    /// Removes the object, if it is there, by an event of `revision`.
    pub fn remove(&mut self, key: &Key, revision: Revision) -> Option<Change> {
        self.advance(revision);
        let before = self.objects.get(key).cloned()?;
        self.unindex(&before, key);
        self.objects.remove_mut(key);
        Some(Change { revision, before: Some(before), after: None })
    }

    /// Makes the table what a list of `revision` says, and returns what that changed.
    pub fn replace(&mut self, objects: Vec<Object>, revision: Revision) -> Vec<Change> {
        let listed: std::collections::BTreeSet<Key> = objects.iter().map(Object::key).collect();
        let gone: Vec<Key> = self.objects.keys().filter(|key| !listed.contains(*key)).cloned().collect();
        let mut changes: Vec<Change> = gone.iter().filter_map(|key| self.remove(key, revision)).collect();
        for object in objects {
            let known = self.objects.get(&object.key());
            if known.is_none_or(|old| old.revision() != object.revision() || old.uid() != object.uid()) {
                changes.push(self.put(object));
            }
        }
        self.advance(revision);
        changes
    }

    fn unindex(&mut self, old: &Object, key: &Key) {
        for (index, map) in self.indexes.iter().zip(self.entries.iter_mut()) {
            for value in (index.values)(old) {
                map.remove_mut(&(value, key.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn object(name: &str, revision: u64, label: &str) -> Object {
        let json = format!(
            r#"{{"metadata":{{"namespace":"n","name":"{name}","resourceVersion":"{revision}","labels":{{"l":"{label}"}}}}}}"#
        );
        Object::decode(Bytes::from(json), &[]).unwrap()
    }

    fn by_label(object: &Object) -> Vec<Box<str>> {
        object.label("l").map(Into::into).into_iter().collect()
    }

    fn names<'a>(objects: impl Iterator<Item = &'a Object>) -> Vec<&'a str> {
        objects.map(Object::name).collect()
    }

    #[test]
    fn a_list_replaces_the_table_and_tells_only_what_differs() {
        let mut table = Table::new(Arc::new([]));
        table.put(object("kept", 1, "x"));
        table.put(object("gone", 2, "x"));
        table.put(object("changed", 3, "x"));
        let changes =
            table.replace(vec![object("changed", 5, "y"), object("kept", 1, "x"), object("new", 6, "x")], Revision(9));
        let told: Vec<_> = changes
            .iter()
            .map(|c| (c.object().unwrap().name().to_owned(), c.before.is_some(), c.after.is_some()))
            .collect();
        let expected = [("gone", true, false), ("changed", true, true), ("new", false, true)];
        assert_eq!(told, expected.map(|(name, before, after)| (name.to_owned(), before, after)));
        assert_eq!((names(table.iter()), table.revision()), (vec!["changed", "kept", "new"], Revision(9)));
    }

    #[test]
    fn an_index_follows_its_objects_and_a_clone_stays_as_it_was() {
        let mut table = Table::new(Arc::new([Index { name: "l", values: by_label }]));
        table.put(object("b", 1, "x"));
        table.put(object("a", 2, "x"));
        let old = table.clone();
        table.put(object("b", 3, "y"));
        table.remove(&Key::new("n", "a"), Revision(4));
        assert_eq!(names(old.by_index("l", "x")), ["a", "b"]);
        assert_eq!(names(table.by_index("l", "x")), [""; 0]);
        assert_eq!(names(table.by_index("l", "y")), ["b"]);
        assert_eq!((old.revision(), table.revision()), (Revision(2), Revision(4)));
    }
}
