//! The engine through its front door, over the memory store: what clients would notice.

mod create;
mod custom;
mod delete;
mod documents;
mod flow_schemas;
mod infra;
mod infra_rules;
mod jobs;
mod kit;
mod options;
mod patch;
mod refusals;
mod replicas;
mod subresource;
mod update;
mod warnings;
mod watch;
mod wire;
mod workloads;
