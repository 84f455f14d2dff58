//! The table, a file a group.

use crate::row::Row;

mod apply;
mod auth;
mod change;
mod create;
mod create_rules;
mod delete;
mod describe;
mod get;
mod logs;
mod nodes;
mod patch;
mod rollout;
mod server;
mod set;
mod streams;
mod wait;
mod workloads;

/// A pod that runs until it is deleted.
const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: p}}\nspec:\n  terminationGracePeriodSeconds: 1\n  \
                   containers:\n  - {name: c, image: host, command: [sleep, '86400']}\n";
/// The same for a Deployment of two.
const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, labels: {app: d}}\nspec:\n  replicas: 2\n  \
                          selector: {matchLabels: {app: d}}\n  template:\n    metadata: {labels: {app: d}}\n    spec:\n      \
                          terminationGracePeriodSeconds: 1\n      containers:\n      - {name: c, image: host, command: [sleep, '86400']}\n";
/// A ConfigMap.
const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m, labels: {app: m}}\ndata: {a: '1', b: '2'}\n";

/// Every row, in the order in which they start.
pub fn all() -> Vec<Row> {
    [
        // What takes longest goes first, so that nothing is waited for at the end.
        rollout::rows(),
        workloads::rows(),
        streams::rows(),
        logs::rows(),
        delete::rows(),
        wait::rows(),
        get::rows(),
        describe::rows(),
        create::rows(),
        create_rules::rows(),
        apply::rows(),
        patch::rows(),
        change::rows(),
        set::rows(),
        auth::rows(),
        server::rows(),
        nodes::rows(),
    ]
    .concat()
}
