//! How many requests are answered at once: twice upstream's defaults of `--max-requests-inflight` and
//! `--max-mutating-requests-inflight`, of which one user has at most as many as are free. So one alone has upstream's
//! number, and a flood of one leaves seats to the others. What is beyond is asked to come again in a second.
//!
//! Watches, streams and the probes of the server's own health do not count, nor do components in this process, whose
//! workers are bounded by themselves; administrators (`system:masters`) are never refused.

use std::sync::Arc;

use api::Status;
use api::status::Details;

use crate::metrics::{Inflight, Metrics, RequestKind};
use crate::request::{RequestInfo, Verb};
use crate::user::User;

const READ_ONLY_MAX: usize = 800;
const MUTATING_MAX: usize = 400;
const RETRY_AFTER_SECS: u32 = 1;
const PROBES: &[&str] = &["/healthz", "/livez", "/readyz"];

/// Lets the request in until what is given back is dropped; `None` where it is not counted.
pub fn enter(metrics: &Arc<Metrics>, user: &User, info: &RequestInfo) -> Result<Option<Inflight>, Status> {
    let kind = match info {
        RequestInfo::NonResource { path, .. } if PROBES.iter().any(|probe| path.starts_with(probe)) => return Ok(None),
        RequestInfo::NonResource { .. } => RequestKind::ReadOnly,
        RequestInfo::Resource(info) => match info.verb {
            Verb::Watch => return Ok(None),
            Verb::Get | Verb::List | Verb::Options => RequestKind::ReadOnly,
            Verb::Create | Verb::Update | Verb::Patch | Verb::Delete | Verb::DeleteCollection => RequestKind::Mutating,
        },
    };
    let max = match kind {
        RequestKind::ReadOnly => READ_ONLY_MAX,
        RequestKind::Mutating => MUTATING_MAX,
    };
    match metrics.enter(kind, &user.name, max) {
        Some(inflight) => Ok(Some(inflight)),
        None if user.groups.iter().any(|group| group == "system:masters") => Ok(None),
        None => Err(too_many()),
    }
}

fn too_many() -> Status {
    let message = "Too many requests, please try again later.";
    let details = Details { retry_after_seconds: RETRY_AFTER_SECS, ..Details::default() };
    Status::failure(429, "TooManyRequests", message).with_details(details)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::Params;
    use http::Method;

    #[test]
    fn a_flood_of_one_user_leaves_seats_to_others_and_administrators_and_probes_are_always_let_in() {
        let metrics = Arc::<Metrics>::default();
        let info = |method: Method, path| RequestInfo::parse(&method, path, &Params::default()).unwrap();
        let create = info(Method::POST, "/api/v1/namespaces/n/pods");
        let jane = User::component("jane", &[]);
        let mut held: Vec<_> = (0..MUTATING_MAX / 2).map(|_| enter(&metrics, &jane, &create).unwrap()).collect();
        let refused = enter(&metrics, &jane, &create).err().unwrap();
        assert_eq!((refused.code, refused.details.unwrap().retry_after_seconds), (429, 1));
        let joe = User::component("joe", &[]);
        let others: Vec<_> = std::iter::from_fn(|| enter(&metrics, &joe, &create).ok()).collect();
        assert_eq!(others.len(), MUTATING_MAX / 4, "half of what is left");
        assert!(enter(&metrics, &User::component("newcomer", &[]), &create).is_ok());
        drop(others);
        assert!(enter(&metrics, &User::component("root", &["system:masters"]), &create).is_ok());
        assert!(enter(&metrics, &jane, &info(Method::GET, "/readyz")).is_ok());
        assert!(enter(&metrics, &jane, &info(Method::GET, "/api/v1/pods")).is_ok());
        held.pop();
        assert!(enter(&metrics, &jane, &create).is_ok());
    }
}
