//! What is known of one resource.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::key::ResourceId;

/// Whether objects live in namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In the cluster.
    Cluster,
}

/// A group and a version, written `v1` or `apps/v1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupVersion {
    /// The group, `""` for the core group.
    pub group: Arc<str>,
    /// The version.
    pub version: Arc<str>,
}

impl std::fmt::Display for GroupVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.group.is_empty() { f.write_str(&self.version) } else { write!(f, "{}/{}", self.group, self.version) }
    }
}

/// A resource of a group: what all its versions share, and the versions.
#[derive(Clone, Debug)]
pub struct ResourceInfo {
    /// Where its objects are kept; `None` if nothing is stored (reviews, bindings, component statuses).
    pub id: Option<ResourceId>,
    /// The group, `""` for the core group.
    pub group: Arc<str>,
    /// The name in URL paths.
    pub plural: String,
    /// The name for one object.
    pub singular: String,
    /// The kind of an object.
    pub kind: String,
    /// The kind of a list.
    pub list_kind: String,
    /// Where objects live.
    pub scope: Scope,
    /// What users may type for it.
    pub short_names: Vec<String>,
    /// Groupings that users may type, such as `all`.
    pub categories: Vec<String>,
    /// The form that objects are stored in.
    pub storage: GroupVersion,
    /// The versions, the preferred one first.
    pub versions: Vec<VersionInfo>,
    /// Defined by a CustomResourceDefinition.
    pub custom: bool,
}

/// One version of a resource.
#[derive(Clone, Debug)]
pub struct VersionInfo {
    /// The version.
    pub name: Arc<str>,
    /// It is served.
    pub served: bool,
    /// The verbs, sorted.
    pub verbs: Vec<String>,
    /// The sub-resources, by name.
    pub subresources: Vec<SubresourceInfo>,
    /// The fields that field selectors may name.
    pub fields: Vec<String>,
    /// The columns of the table form.
    pub columns: Vec<Column>,
}

/// A sub-resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubresourceInfo {
    /// The name in URL paths.
    pub name: String,
    /// The group and version of what it takes or answers, where they are not its resource's.
    pub foreign: Option<GroupVersion>,
    /// The kind of what it takes or answers.
    pub kind: String,
    /// The verbs, sorted.
    pub verbs: Vec<String>,
}

/// A column of the table form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The header.
    pub name: String,
    /// The OpenAPI type.
    pub kind: String,
    /// The OpenAPI format.
    pub format: String,
    /// What it shows.
    pub description: String,
    /// 0 is shown always, above that only in wide output.
    pub priority: i32,
}

impl ResourceInfo {
    /// The entry of a version, served or not.
    pub fn version(&self, name: &str) -> Option<&VersionInfo> {
        self.versions.iter().find(|v| *v.name == *name)
    }

    /// Nothing is stored under it.
    pub fn is_virtual(&self) -> bool {
        self.id.is_none()
    }

    /// Objects live in namespaces.
    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    pub(super) fn served_position(&self, version: &str) -> Option<usize> {
        self.versions.iter().position(|v| v.served && *v.name == *version)
    }
}

impl VersionInfo {
    /// The sub-resource of a name.
    pub fn subresource(&self, name: &str) -> Option<&SubresourceInfo> {
        self.subresources.iter().find(|s| s.name == name)
    }

    /// The verb is served on the resource itself.
    pub fn allows(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }
}

/// Orders versions by preference, the least preferred first: stable above beta above alpha, higher above lower, and
/// names that are no version below all.
pub(super) fn compare_versions(a: &str, b: &str) -> Ordering {
    match (rank(a), rank(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Greater,
        (None, Some(_)) => Ordering::Less,
        (None, None) => b.cmp(a),
    }
}

/// Stability (alpha 0, beta 1, stable 2), major and minor number of `v1`, `v2beta3`, ...
fn rank(version: &str) -> Option<(u8, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let split = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let major = rest[..split].parse().ok()?;
    let (stability, minor) = match &rest[split..] {
        "" => (2, "0"),
        tail => match (tail.strip_prefix("alpha"), tail.strip_prefix("beta")) {
            (Some(minor), _) => (0, minor),
            (_, Some(minor)) => (1, minor),
            _ => return None,
        },
    };
    Some((stability, major, minor.parse().ok()?))
}
