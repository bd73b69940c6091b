//! Keys and values as they lie in etcd.
//!
//! A key is the store's behind a prefix. A value is the store's with a tail: the number of the commit that wrote it,
//! drawn by chance, by which a commit whose answer was lost is found again (`commit.rs`). Values without a tail are
//! foreign and read as they are. Keys with [`OWN`] in them are the engine's and never shown.

use bytes::{BufMut, Bytes, BytesMut};

use super::proto::KeyValue;
use crate::{Entry, Revision, Stamp};

/// Marks the engine's own keys.
pub(super) const OWN: &[u8] = b"\0ironclad/";
const TAIL_MARK: &[u8] = &[0x1c, 0x01];
const TAIL_LEN: usize = 8 + TAIL_MARK.len();

#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub prefix: Box<[u8]>,
    pub stamp: Option<Stamp>,
}

impl Keys {
    pub fn outer(&self, key: &[u8]) -> Bytes {
        [&*self.prefix, key].concat().into()
    }

    /// Where a range begins: etcd has no empty key, and takes one of a zero byte for the first.
    pub fn first(&self, start: &[u8]) -> Bytes {
        let key = self.outer(start);
        if key.is_empty() { Bytes::from_static(b"\0") } else { key }
    }

    /// A key of the engine's own, right behind `start`, so that a watch from there sees it.
    pub fn own(&self, start: &[u8], name: &str) -> Bytes {
        [&*self.prefix, start, OWN, name.as_bytes()].concat().into()
    }

    pub fn inner<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        key.strip_prefix(&*self.prefix).unwrap_or(key)
    }

    /// As the store shows it.
    pub fn entry(&self, kv: &KeyValue) -> Entry {
        Entry {
            key: self.inner(&kv.key).into(),
            value: self.value(kv),
            created: revision(kv.create_revision),
            modified: revision(kv.mod_revision),
        }
    }

    pub fn value(&self, kv: &KeyValue) -> Bytes {
        let value = split(&kv.value).map_or_else(|| kv.value.clone(), |(value, _)| value);
        match self.stamp {
            Some(stamp) => stamp(&value, revision(kv.mod_revision)),
            None => value,
        }
    }
}

pub(super) fn is_own(key: &[u8]) -> bool {
    key.windows(OWN.len()).any(|window| window == OWN)
}

pub(super) fn revision(number: i64) -> Revision {
    Revision(u64::try_from(number).unwrap_or(0))
}

/// A revision that etcd could know; larger ones are in its future in any case.
pub(super) fn number(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

/// The value with the number of its commit.
pub(super) fn tailed(value: &[u8], commit: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(value.len() + TAIL_LEN);
    out.put_slice(value);
    out.put_u64(commit);
    out.put_slice(TAIL_MARK);
    out.freeze()
}

/// The commit that wrote the value.
pub(super) fn commit_of(value: &Bytes) -> Option<u64> {
    split(value).map(|(_, commit)| commit)
}

fn split(stored: &Bytes) -> Option<(Bytes, u64)> {
    let len = stored.len().checked_sub(TAIL_LEN)?;
    let (commit, mark) = stored[len..].split_first_chunk::<8>()?;
    (mark == TAIL_MARK).then(|| (stored.slice(..len), u64::from_be_bytes(*commit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_back_without_its_tail_and_a_foreign_one_as_it_is() {
        let keys = Keys { prefix: b"/p".as_slice().into(), stamp: None };
        let kv = |value: Bytes| KeyValue { key: keys.outer(b"/a"), value, mod_revision: 7, create_revision: 3 };
        let entry = keys.entry(&kv(tailed(b"{}", 5)));
        assert_eq!((&*entry.key, &*entry.value), (b"/a".as_slice(), b"{}".as_slice()));
        assert_eq!((entry.created, entry.modified), (Revision(3), Revision(7)));
        assert_eq!(commit_of(&tailed(b"", 5)), Some(5));
        assert_eq!(keys.entry(&kv("foreign".into())).value, "foreign");
        assert!(is_own(&keys.own(b"/registry/", "fence")) && !is_own(b"/registry/core/pods/n/a"));
    }
}
