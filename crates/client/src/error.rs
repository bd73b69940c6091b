//! Why a call failed: the server refused it, no answer came, or the answer was unreadable.

use api::Status;

use crate::transport::TransportError;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The server's own words.
    #[error("{0}")]
    Api(Box<Status>),
    /// Whether a write happened is unknown.
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("cannot read the server's answer: {0}")]
    Decode(String),
}

impl Error {
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Api(status) => Some(status),
            Self::Transport(_) | Self::Decode(_) => None,
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.status().is_some_and(Status::is_not_found)
    }

    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(Status::is_conflict)
    }

    pub fn is_already_exists(&self) -> bool {
        self.status().is_some_and(Status::is_already_exists)
    }

    /// The revision asked for is no longer kept: list again.
    pub fn is_expired(&self) -> bool {
        self.status().is_some_and(|status| status.code == 410)
    }

    /// The namespace is being deleted and takes nothing new.
    pub fn is_namespace_terminating(&self) -> bool {
        let causes = self.status().and_then(|status| status.details.as_ref()).map(|details| &details.causes);
        causes.is_some_and(|causes| causes.iter().any(|cause| cause.reason == "NamespaceTerminating"))
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Api(Box::new(status))
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Decode(error.to_string())
    }
}

impl From<api::object::DecodeError> for Error {
    fn from(error: api::object::DecodeError) -> Self {
        Self::Decode(error.to_string())
    }
}
