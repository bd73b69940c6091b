//! What controllers ask of a node: its conditions and taints.

use api::Gvr;
use serde_json::Value;

use crate::tree::{Tree, condition};

pub(crate) const NODES: Gvr = Gvr::new("", "v1", "nodes");

pub(crate) const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub(crate) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// `True`, `False` or `Unknown`; empty where the node never said.
pub(crate) fn condition_status<'a>(node: &'a Value, kind: &str) -> &'a str {
    condition(node.items("status.conditions"), kind).map_or("", |found| found.text("status"))
}
