//! Amounts of what nodes have and pods ask for, as plain integers.

use std::collections::BTreeMap;

use api::quantity::Quantity;
use api::typed::k8s_openapi::api::core::v1::{Container, PodSpec};
use api::typed::k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity;

/// What a container that names no request is taken to use when nodes are scored, as upstream takes it.
const DEFAULT_MILLI_CPU: i64 = 100;
const DEFAULT_MEMORY_BYTES: i64 = 200 * 1024 * 1024;

type Amounts = BTreeMap<String, WireQuantity>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    pub milli_cpu: i64,
    pub memory_bytes: i64,
    pub ephemeral_storage_bytes: i64,
    pub pods: i64,
    pub extended: BTreeMap<Box<str>, i64>,
}

impl Resources {
    /// Amounts that do not parse count as zero: the API server has validated them.
    pub fn from_amounts(amounts: &Amounts) -> Self {
        let mut resources = Self::default();
        for (name, amount) in amounts {
            let Ok(quantity) = Quantity::parse(&amount.0) else { continue };
            match name.as_str() {
                "cpu" => resources.milli_cpu = quantity.milli_value(),
                "memory" => resources.memory_bytes = quantity.value(),
                "ephemeral-storage" => resources.ephemeral_storage_bytes = quantity.value(),
                "pods" => resources.pods = quantity.value(),
                _ => {
                    resources.extended.insert(name.as_str().into(), quantity.value());
                }
            }
        }
        resources
    }

    pub fn add(&mut self, other: &Self) {
        self.combine(other, |a, b| a + b);
    }

    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, |a, b| a - b);
    }

    fn raise_to(&mut self, other: &Self) {
        self.combine(other, i64::max);
    }

    fn combine(&mut self, other: &Self, op: fn(i64, i64) -> i64) {
        self.milli_cpu = op(self.milli_cpu, other.milli_cpu);
        self.memory_bytes = op(self.memory_bytes, other.memory_bytes);
        self.ephemeral_storage_bytes = op(self.ephemeral_storage_bytes, other.ephemeral_storage_bytes);
        for (name, amount) in &other.extended {
            let mine = self.extended.entry(name.clone()).or_default();
            *mine = op(*mine, *amount);
        }
    }
}

/// What a pod needs of its node: the most that it uses at any moment of its life
/// (<https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers>).
pub fn pod_requests(spec: &PodSpec) -> Resources {
    let mut needed = need_over_life(spec, container_requests);
    if let Some(pod_level) = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()) {
        let pod_level = Resources::from_amounts(pod_level);
        if pod_level.milli_cpu > 0 {
            needed.milli_cpu = pod_level.milli_cpu;
        }
        if pod_level.memory_bytes > 0 {
            needed.memory_bytes = pod_level.memory_bytes;
        }
    }
    if let Some(overhead) = &spec.overhead {
        needed.add(&Resources::from_amounts(overhead));
    }
    needed
}

/// The same for scoring, where a container without requests still counts for something.
pub fn pod_requests_for_scoring(spec: &PodSpec) -> Resources {
    need_over_life(spec, |container| {
        let mut requests = container_requests(container);
        if requests.milli_cpu == 0 {
            requests.milli_cpu = DEFAULT_MILLI_CPU;
        }
        if requests.memory_bytes == 0 {
            requests.memory_bytes = DEFAULT_MEMORY_BYTES;
        }
        requests
    })
}

fn need_over_life(spec: &PodSpec, requests: fn(&Container) -> Resources) -> Resources {
    let mut running = Resources::default();
    for container in &spec.containers {
        running.add(&requests(container));
    }
    let mut sidecars = Resources::default();
    let mut starting = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let mut at_its_turn = requests(container);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars.add(&at_its_turn);
            at_its_turn = sidecars.clone();
        } else {
            at_its_turn.add(&sidecars);
        }
        starting.raise_to(&at_its_turn);
    }
    running.add(&sidecars);
    running.raise_to(&starting);
    running
}

fn container_requests(container: &Container) -> Resources {
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    requests.map_or_else(Resources::default, Resources::from_amounts)
}
