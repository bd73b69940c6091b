//! Image references as users write them, and in full: `nginx` is `docker.io/library/nginx:latest`.

use std::fmt;

use super::{Error, Result};

/// REGISTRY/REPOSITORY with a tag, a digest or both (the digest counts).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    pub registry: String,
    pub repository: String,
    pub tag: Option<String>,
    /// `sha256:...`
    pub digest: Option<String>,
}

impl Reference {
    pub fn parse(text: &str) -> Result<Self> {
        let bad = || Error::Invalid(format!("invalid reference format: {text:?}"));
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (text, None),
        };
        if digest.as_ref().is_some_and(|digest| !is_digest(digest)) {
            return Err(bad());
        }
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
            _ => (rest, None),
        };
        let (registry, path) = match name.split_once('/') {
            Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (first, path),
            _ => ("docker.io", name),
        };
        let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
        let repository =
            if registry == "docker.io" && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
        let tag_ok = tag.as_ref().is_none_or(|tag| {
            !tag.is_empty() && tag.len() <= 128 && tag.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        });
        if path.is_empty() || !repository.chars().all(word) || repository.split('/').any(str::is_empty) || !tag_ok {
            return Err(bad());
        }
        let tag = if tag.is_none() && digest.is_none() { Some("latest".to_owned()) } else { tag };
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }

    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// `sha256:` and 64 hex digits.
pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.chars().all(|c| c.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn short_names_are_completed() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let cases = [
            "nginx",
            "nginx:alpine",
            "me/app:1",
            "ghcr.io/a/b",
            "localhost:5000/x:y",
            "localhost/x",
            "A/B",
            "x:",
            "",
            &format!("nginx@{digest}"),
            &format!("nginx:1@{digest}"),
            "nginx@sha256:12",
            "a//b",
        ];
        let lines: Vec<String> = cases
            .iter()
            .map(|case| Reference::parse(case).map_or_else(|e| e.to_string(), |r| r.to_string()).replace(&digest, "D"))
            .collect();
        expect![[r#"
            docker.io/library/nginx:latest
            docker.io/library/nginx:alpine
            docker.io/me/app:1
            ghcr.io/a/b:latest
            localhost:5000/x:y
            localhost/x:latest
            invalid reference format: "A/B"
            invalid reference format: "x:"
            invalid reference format: ""
            docker.io/library/nginx@D
            docker.io/library/nginx:1@D
            invalid reference format: "nginx@sha256:12"
            invalid reference format: "a//b""#]]
        .assert_eq(&lines.join("\n"));
    }
}
