//! The routes of all Services.

use std::sync::Arc;

use imbl::OrdMap;
use orc_core::ObjectKey;

use crate::routes::ServiceRoutes;

/// A persistent map of routes: a copy costs nothing, and two tables are compared by pointer where nothing changed.
#[derive(Clone, Default, Debug)]
pub struct RoutingTable(OrdMap<ObjectKey, Arc<ServiceRoutes>>);

impl RoutingTable {
    /// The routes of a Service.
    pub fn get(&self, key: &ObjectKey) -> Option<&Arc<ServiceRoutes>> {
        self.0.get(key)
    }

    /// All routes, by Service.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &Arc<ServiceRoutes>)> {
        self.0.iter()
    }

    /// Sets or forgets the routes of a Service. Returns the routes before; equal routes change nothing and keep their pointer.
    pub fn set(&mut self, key: &ObjectKey, routes: Option<ServiceRoutes>) -> Option<Arc<ServiceRoutes>> {
        let before = self.0.get(key).cloned();
        match routes {
            Some(routes) if before.as_deref() != Some(&routes) => drop(self.0.insert(key.clone(), Arc::new(routes))),
            Some(_) => {}
            None => drop(self.0.remove(key)),
        }
        before
    }
}
