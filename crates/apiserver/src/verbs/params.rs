//! The query of a request.

/// The query, decoded, in the order sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(pub Vec<(String, String)>);

impl Params {
    /// Reads what follows the `?`.
    pub fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(k, v)| (unescape(k), unescape(v)))
                .collect(),
        )
    }

    /// The first value; a parameter that is present but empty counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first value, the empty one included.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Upstream reads everything but `0` and `false` as true: `?watch` is one.
    pub fn flag(&self, name: &str) -> bool {
        self.switch(name).unwrap_or_default()
    }

    /// [`Params::flag`], where absence says something else than false.
    pub fn switch(&self, name: &str) -> Option<bool> {
        self.given(name).map(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }
}

pub(crate) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = (first == b'%' && tail.len() >= 2).then(|| std::str::from_utf8(&tail[..2]).ok()).flatten();
        match hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(if first == b'+' { b' ' } else { first });
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_and_keeps_its_order() {
        let params = Params::parse("labelSelector=a%3Db%2Cc&watch=1&x=a+b&dryRun=All&empty=&pct=%zz");
        assert_eq!(params.get("labelSelector"), Some("a=b,c"));
        assert_eq!((params.flag("watch"), params.get("x"), params.get("empty")), (true, Some("a b"), None));
        assert_eq!(params.get("pct"), Some("%zz"));
    }

    #[test]
    fn a_flag_is_set_unless_it_says_no() {
        let params = Params::parse("a&b=0&c=false&d=no&e=False&f=true");
        let read = ["a", "b", "c", "d", "e", "f", "g"].map(|name| params.switch(name));
        assert_eq!(read, [Some(true), Some(false), Some(false), Some(true), Some(false), Some(true), None]);
    }
}
