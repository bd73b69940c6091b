//! How the parts of the control plane are, for `kubectl get componentstatuses`: the store is asked, and a part tells of
//! itself where it runs in this process ([`Components::add`]), or by its leader's Lease where it runs elsewhere.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use api::{Gvr, Key, Object, Revision, Status};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::output;
use crate::request::Verb;
use crate::resource::Resource;
use crate::tree;
use crate::verbs::{self, Answer, Call, RequestContext};
use crate::watchcache::WatchCache;

/// Whether a part of this process still runs.
pub type Runs = Box<dyn Fn() -> bool + Send + Sync>;

/// The parts that run in this process, by the names under which they are shown.
#[derive(Default)]
pub struct Components(Mutex<BTreeMap<&'static str, Runs>>);

pub const SCHEDULER: &str = "scheduler";
pub const CONTROLLERS: &str = "controller-manager";
const STORE: &str = "etcd-0";
/// The Lease by which a part that runs elsewhere leads.
const LEASES: [(&str, &str); 2] = [(CONTROLLERS, "kube-controller-manager"), (SCHEDULER, "kube-scheduler")];

impl Components {
    /// From now on the part is asked by `runs`.
    pub fn add(&self, name: &'static str, runs: impl Fn() -> bool + Send + Sync + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, Box::new(runs));
    }

    /// Nothing for a part that does not run in this process.
    fn runs(&self, name: &str) -> Option<bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).map(|runs| runs())
    }
}

/// Answers a get or a list.
pub(crate) async fn answer(
    engine: &Arc<Engine>,
    resource: Arc<Resource>,
    context: RequestContext,
) -> Result<Answer, Status> {
    let form = verbs::form_of(&context, &resource)?.with_include(context.params.get("includeObject"))?;
    let (media, verb, name) = (form.media, context.info.verb, context.info.name.clone());
    let whole = context.info.subresource.is_empty();
    let cache = Arc::new(WatchCache::new(resource.clone()));
    // A store that does not answer tells so below, by its own part.
    engine.caches().catch_up(&**engine.store()).await.ok();
    let (stored, warnings) = (resource.clone(), Vec::new());
    let call = Call { engine: engine.clone(), resource, stored, cache, context, form, warnings };
    let answer = match verb {
        Verb::Get if whole => match component(engine, &name).await {
            Some(found) => output::object(call, 200, output::json_of(&found)),
            None => Err(Status::failure(500, "", format!("Component not found: {name}"))),
        },
        Verb::List => {
            let mut objects = VecDeque::new();
            for name in [CONTROLLERS, SCHEDULER, STORE] {
                let found = component(engine, name).await.unwrap_or_default();
                objects.push_back(Object::decode(output::json_of(&found), &[]).map_err(Status::internal)?);
            }
            verbs::send_selected(call, objects, Revision::ZERO)
        }
        _ => Err(Status::method_not_allowed(call.about())),
    };
    output::finish(media, answer?)
}

async fn component(engine: &Engine, name: &str) -> Option<Value> {
    let (is_healthy, message) = match LEASES.iter().find(|(part, _)| *part == name) {
        _ if name == STORE => match engine.store().current().await {
            Ok(_) => (true, "ok".to_owned()),
            Err(error) => (false, error.to_string()),
        },
        Some((_, lease)) => match engine.components().runs(name) {
            Some(true) => (true, "ok".to_owned()),
            Some(false) => (false, format!("{lease} has ended")),
            None => leads(engine, lease),
        },
        None => return None,
    };
    let status = if is_healthy { "True" } else { "False" };
    Some(json!({
        "apiVersion": "v1", "kind": "ComponentStatus", "metadata": { "name": name },
        "conditions": [{ "type": "Healthy", "status": status, "message": message }],
    }))
}

/// Whether somebody holds the Lease and has renewed it in time.
fn leads(engine: &Engine, name: &str) -> (bool, String) {
    let table = engine.table(&Gvr::new("coordination.k8s.io", "v1", "leases"));
    let lease = table.and_then(|table| table.get(&Key::new("kube-system", name)).cloned());
    let Some(lease) = lease.and_then(|lease| lease.tree().ok()) else {
        return (false, format!("no lease kube-system/{name}: nobody leads"));
    };
    let holder = tree::text(&lease, "spec.holderIdentity");
    let renewed: Option<Timestamp> = tree::text(&lease, "spec.renewTime").parse().ok();
    let lasts = SignedDuration::from_secs(tree::int(&lease, "spec.leaseDurationSeconds").unwrap_or_default());
    match renewed.map(|renewed| engine.clock().now().duration_since(renewed) <= lasts) {
        Some(true) if !holder.is_empty() => (true, "ok".to_owned()),
        _ => (false, format!("lease kube-system/{name} was not renewed in time")),
    }
}
