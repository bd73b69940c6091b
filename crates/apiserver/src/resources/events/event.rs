//! Event (events.k8s.io): the newer form; stored as the core one.

use k8s_openapi::api::events::v1::Event;

use crate::resource::{Hooks, Resource};
use crate::resources::core::{event, event_rules};

pub fn resource() -> Resource {
    Resource {
        short_names: vec!["ev".into()],
        buffered: true,
        unnamed: true,
        create_on_update: true,
        // In the order of the core resource, whose index it uses.
        selectable_fields: &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingController",
            "deprecatedSource",
            "type",
        ],
        columns: event::COLUMNS,
        stored_as: Some(event::GVR),
        hooks: Hooks {
            validate: Some(event_rules::validate_new_group),
            validate_create: Some(event_rules::validate_new_group_create),
            validate_update: Some(event_rules::validate_new_group_update),
            from_stored: Some(event::to_events_group),
            to_stored: Some(event::to_core),
            ..Hooks::default()
        },
        ..Resource::of::<Event>()
    }
}
