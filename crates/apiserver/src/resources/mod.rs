//! The built-in resources: one small file each, and one line here. The order is that of discovery.

pub mod admissionregistration;
pub mod apiextensions;
pub mod apiregistration;
pub mod apps;
pub mod authentication;
pub mod authorization;
pub mod autoscaling;
pub mod batch;
pub(crate) mod cells;
pub mod certificates;
pub mod coordination;
pub mod core;
pub mod discovery;
pub mod events;
pub(crate) mod fields;
pub mod flowcontrol;
pub mod networking;
pub mod node;
pub mod policy;
pub mod rbac;
pub mod resource;
pub mod scheduling;
pub mod storage;
pub(crate) mod warnings;

use crate::resource::Resource;

/// Every built-in resource.
pub fn all() -> Vec<Resource> {
    vec![
        core::binding::resource(),
        core::componentstatus::resource(),
        core::configmap::resource(),
        core::endpoints::resource(),
        core::event::resource(),
        core::limitrange::resource(),
        core::namespace::resource(),
        core::node::resource(),
        core::persistentvolume::resource(),
        core::persistentvolumeclaim::resource(),
        core::pod::resource(),
        core::podtemplate::resource(),
        core::replicationcontroller::resource(),
        core::resourcequota::resource(),
        core::secret::resource(),
        core::service::resource(),
        core::serviceaccount::resource(),
        apiregistration::apiservice::resource(),
        apps::controllerrevision::resource(),
        apps::daemonset::resource(),
        apps::deployment::resource(),
        apps::replicaset::resource(),
        apps::statefulset::resource(),
        events::event::resource(),
        authentication::self_subject_review(),
        authentication::token_review(),
        authorization::local_subject_access_review(),
        authorization::self_subject_access_review(),
        authorization::self_subject_rules_review(),
        authorization::subject_access_review(),
        autoscaling::hpa::resource(),
        autoscaling::hpa_v1::resource(),
        batch::cronjob::resource(),
        batch::job::resource(),
        certificates::certificatesigningrequest::resource(),
        networking::ingress::resource(),
        networking::ingressclass::resource(),
        networking::ipaddress::resource(),
        networking::networkpolicy::resource(),
        networking::servicecidr::resource(),
        policy::poddisruptionbudget::resource(),
        rbac::clusterrole::resource(),
        rbac::clusterrolebinding::resource(),
        rbac::role::resource(),
        rbac::rolebinding::resource(),
        storage::csidriver::resource(),
        storage::csinode::resource(),
        storage::csistoragecapacity::resource(),
        storage::storageclass::resource(),
        storage::volumeattachment::resource(),
        storage::volumeattributesclass::resource(),
        admissionregistration::mutatingadmissionpolicy::resource(),
        admissionregistration::mutatingadmissionpolicybinding::resource(),
        admissionregistration::mutatingwebhookconfiguration::resource(),
        admissionregistration::validatingadmissionpolicy::resource(),
        admissionregistration::validatingadmissionpolicybinding::resource(),
        admissionregistration::validatingwebhookconfiguration::resource(),
        apiextensions::customresourcedefinition::resource(),
        scheduling::priorityclass::resource(),
        coordination::lease::resource(),
        node::runtimeclass::resource(),
        discovery::endpointslice::resource(),
        resource::deviceclass::resource(),
        resource::resourceclaim::resource(),
        resource::resourceclaimtemplate::resource(),
        resource::resourceslice::resource(),
        flowcontrol::flowschema::resource(),
        flowcontrol::prioritylevelconfiguration::resource(),
    ]
}
