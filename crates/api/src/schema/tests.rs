//! Tests of schemas: the table is whole, decoding tells what upstream tells, defaults and normal form are upstream's.

use super::*;

#[test]
fn every_built_in_kind_is_found_by_name_and_by_kind() {
    let pod = builtin().lookup("io.k8s.api.core.v1.Pod").unwrap();
    assert_eq!(pod.go_name(), "v1.Pod");
    assert_eq!(pod.path("spec.containers.ports").unwrap().go_name(), "[]v1.ContainerPort");
    let kind = Gvk::new("apps", "v1", "Deployment");
    assert_eq!(builtin().lookup_kind(&kind).unwrap().go_name(), "v1.Deployment");
}
