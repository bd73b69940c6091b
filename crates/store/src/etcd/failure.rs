//! What a call's failure means for who made it.

use super::grpc::{CallError, Code, Refusal};
use crate::StoreError;

#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing happened, and it may work when tried again.
    NotDone(String),
    /// It may have happened.
    Unknown(String),
    /// The revision asked for is compacted, or in the future.
    Compacted,
    Future,
    /// Trying again is of no use.
    Final(StoreError),
}

/// Refusals that come before anything is proposed to the cluster, and say that another member should be asked.
const OF_THE_MEMBER: &[&str] = &["no leader", "not capable", "not supported for learner"];

impl Refusal {
    /// Another member may answer differently.
    pub fn is_of_the_member(&self) -> bool {
        let stopped = self.message.contains("server stopped");
        self.code == Code::Unavailable && (stopped || OF_THE_MEMBER.iter().any(|why| self.message.contains(why)))
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotSent(why) => Self::NotDone(why),
            CallError::Broken(why) => Self::Unknown(why),
            CallError::Refused(refusal) => refused(refusal),
        }
    }
}

fn refused(Refusal { code, message }: Refusal) -> Failure {
    let says = |words: &str| message.contains(words);
    match code {
        Code::Unavailable if OF_THE_MEMBER.iter().any(|why| says(why)) => Failure::NotDone(message),
        Code::Unavailable => Failure::Unknown(message),
        Code::OutOfRange if says("compacted") => Failure::Compacted,
        Code::OutOfRange if says("future") => Failure::Future,
        Code::ResourceExhausted if says("space exceeded") => Failure::Final(StoreError::NoSpace(format!(
            "{message}; compact and defragment etcd or raise --quota-backend-bytes, then run `etcdctl alarm disarm`"
        ))),
        Code::ResourceExhausted if says("too many requests") => Failure::Final(StoreError::Busy(message)),
        Code::ResourceExhausted => Failure::Final(StoreError::TooLarge(message)),
        Code::InvalidArgument if says("too large") || says("too many operations") => {
            Failure::Final(StoreError::TooLarge(message))
        }
        Code::InvalidArgument if !says("authentication failed") => Failure::Final(StoreError::Io(message)),
        Code::InvalidArgument | Code::PermissionDenied | Code::Unauthenticated => {
            Failure::Final(StoreError::Denied(message))
        }
        Code::DataLoss => Failure::Final(StoreError::Corrupt(message)),
        Code::Other(_) if says("proposal dropped") => Failure::NotDone(message),
        // Canceled, unknown, deadline exceeded, aborted, internal.
        Code::Other(1 | 2 | 4 | 10 | 13) => Failure::Unknown(message),
        Code::Other(_) | Code::OutOfRange => Failure::Final(StoreError::Io(message)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        let cases = [
            (Code::Unavailable, "etcdserver: no leader", "NotDone"),
            (Code::Unavailable, "etcdserver: request timed out", "Unknown"),
            (Code::Unavailable, "etcdserver: leader changed", "Unknown"),
            (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted", "Compacted"),
            (Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision", "Future"),
            (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded", "Final(NoSpace("),
            (Code::ResourceExhausted, "etcdserver: too many requests", "Final(Busy("),
            (Code::InvalidArgument, "etcdserver: request is too large", "Final(TooLarge("),
            (Code::PermissionDenied, "etcdserver: permission denied", "Final(Denied("),
            (Code::Unauthenticated, "etcdserver: invalid auth token", "Final(Denied("),
            (Code::DataLoss, "etcdserver: corrupt cluster", "Final(Corrupt("),
            (Code::Other(2), "raft proposal dropped", "NotDone"),
            (Code::Other(12), "unknown service", "Final(Io("),
        ];
        for (code, message, expected) in cases {
            let failure = format!("{:?}", refused(Refusal { code, message: message.to_owned() }));
            assert!(failure.starts_with(expected), "{message}: {failure}");
        }
    }
}
