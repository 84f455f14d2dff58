//! The resources that are served: names, verbs, sub-resources, selectable fields, printer columns.
//!
//! A [`Catalogue`] is a value. The built-in one is read from `data/catalogue.txt` (made by `tools/facts.py`, format in
//! `parse.rs`); custom resources are added with [`Catalogue::with`], which gives a new value that shares all entries, so
//! that readers keep a consistent snapshot. It holds facts only: what a kind does on create or update is not in here.

mod parse;
mod resource;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

pub use resource::{Column, GroupVersion, ResourceInfo, Scope, SubresourceInfo, VersionInfo};

use crate::key::ResourceId;

/// All served resources.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    groups: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Arc<ResourceInfo>>>,
    /// Built-in groups in the order that discovery lists them; others follow by name.
    order: Arc<Vec<Arc<str>>>,
}

/// A group as discovery lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInfo {
    /// The name, `""` for the core group.
    pub name: Arc<str>,
    /// The served versions, the preferred one first.
    pub versions: Vec<Arc<str>>,
}

/// A resource in one of its served versions.
#[derive(Clone, Debug)]
pub struct Served {
    /// The resource.
    pub info: Arc<ResourceInfo>,
    /// The position of the version in [`ResourceInfo::versions`].
    at: usize,
}

impl Served {
    /// The version.
    pub fn version(&self) -> &VersionInfo {
        &self.info.versions[self.at]
    }
}

impl Catalogue {
    /// The resources of the served Kubernetes level.
    pub fn builtin() -> Arc<Self> {
        static BUILTIN: LazyLock<Arc<Catalogue>> =
            LazyLock::new(|| Arc::new(parse::parse(include_str!("../../data/catalogue.txt"))));
        BUILTIN.clone()
    }

    /// The resource of a group and plural name, whatever its versions.
    pub fn resource(&self, group: &str, plural: &str) -> Option<&Arc<ResourceInfo>> {
        self.groups.get(group)?.get(plural)
    }

    /// The resource that a URL path names.
    pub fn served(&self, group: &str, version: &str, plural: &str) -> Option<Served> {
        let info = self.resource(group, plural)?;
        Some(Served { at: info.served_position(version)?, info: info.clone() })
    }

    /// The resource of a kind.
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<Served> {
        let info = self.groups.get(group)?.values().find(|r| r.kind == kind && r.served_position(version).is_some())?;
        Some(Served { at: info.served_position(version)?, info: info.clone() })
    }

    /// The resource that owns a storage: for shared storage, the one that the storage is named after.
    pub fn by_id(&self, id: &ResourceId) -> Option<&Arc<ResourceInfo>> {
        self.resource(id.group(), id.plural())
    }

    /// All resources kept in a storage.
    pub fn sharing(&self, id: &ResourceId) -> impl Iterator<Item = &Arc<ResourceInfo>> {
        self.resources().filter(move |r| r.id.as_ref() == Some(id))
    }

    /// The resource that a user means by a short, singular or plural name, in discovery's order of groups.
    pub fn by_name(&self, name: &str) -> Option<&Arc<ResourceInfo>> {
        let named = |r: &&Arc<ResourceInfo>| r.plural == name || r.singular == name;
        let short = |r: &&Arc<ResourceInfo>| r.short_names.iter().any(|s| s == name);
        self.resources().find(named).or_else(|| self.resources().find(short))
    }

    /// All resources: groups in discovery's order, resources by plural name.
    pub fn resources(&self) -> impl Iterator<Item = &Arc<ResourceInfo>> {
        self.group_names().filter_map(|g| self.groups.get(g)).flat_map(BTreeMap::values)
    }

    /// The groups with their versions, in discovery's order.
    pub fn groups(&self) -> Vec<GroupInfo> {
        self.group_names().filter_map(|name| self.group(name)).collect()
    }

    /// One group with its versions.
    pub fn group(&self, name: &str) -> Option<GroupInfo> {
        let (name, resources) = self.groups.get_key_value(name)?;
        let mut versions: Vec<Arc<str>> = Vec::new();
        for version in resources.values().flat_map(|r| &r.versions).filter(|v| v.served) {
            if !versions.contains(&version.name) {
                versions.push(version.name.clone());
            }
        }
        versions.sort_by(|a, b| resource::compare_versions(b, a));
        Some(GroupInfo { name: name.clone(), versions })
    }

    /// The resources of a group that are served in a version, by plural name.
    pub fn in_version(&self, group: &str, version: &str) -> Vec<Served> {
        let resources = self.groups.get(group).into_iter().flat_map(BTreeMap::values);
        resources.filter_map(|r| Some(Served { at: r.served_position(version)?, info: r.clone() })).collect()
    }

    /// This catalogue and one more resource; an entry of the same group and plural name is replaced.
    #[must_use]
    pub fn with(&self, info: ResourceInfo) -> Self {
        let mut next = self.clone();
        next.insert(info);
        next
    }

    /// This catalogue without a storage and all resources kept in it.
    #[must_use]
    pub fn without(&self, id: &ResourceId) -> Self {
        let mut next = self.clone();
        for resources in next.groups.values_mut() {
            resources.retain(|_, r| r.id.as_ref() != Some(id));
        }
        next.groups.retain(|_, resources| !resources.is_empty());
        next
    }

    fn insert(&mut self, info: ResourceInfo) {
        let group = self.groups.entry(info.group.clone()).or_default();
        group.insert(Arc::from(info.plural.as_str()), Arc::new(info));
    }

    fn group_names(&self) -> impl Iterator<Item = &Arc<str>> {
        let others = self.groups.keys().filter(|name| !self.order.contains(name));
        self.order.iter().chain(others)
    }
}
