//! A definition as the server serves it.

use std::sync::Arc;

use orc_core::apply::Node;
use orc_core::catalogue::{GroupVersion, ResourceInfo, Scope, SubresourceInfo, VersionInfo};
use orc_core::{ApiError, Doc, ResourceId, Revision};
use orc_store::Stored;
use serde_json::{Value, json};

use super::rules::CustomRules;
use crate::admission::webhook::Hook;
use crate::custom::definition::{Version, versions};
use crate::custom::types;
use crate::kinds::tree::{at, list, text, texts};

/// The finalizer that keeps a definition until its objects are gone.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// One version, ready to serve.
#[derive(Debug)]
pub(crate) struct Spoken {
    /// Group and version as objects carry them.
    pub(crate) api_version: String,
    /// What the definition says of it.
    pub(crate) version: Arc<Version>,
    /// How its fields merge.
    pub(crate) types: Node,
    /// The schema as it was written, for clients.
    pub(crate) schema: Value,
    /// A number that changes when the schema does (FNV-1a over its text).
    pub(crate) mark: u64,
    /// What the registry asks of it.
    pub(crate) rules: Arc<CustomRules>,
}

/// A definition at one revision.
#[derive(Debug)]
pub(crate) struct Definition {
    /// The revision that it was read at.
    pub(crate) revision: Revision,
    /// The whole object.
    pub(crate) doc: Doc,
    /// The group.
    pub(crate) group: String,
    /// The kind of an object.
    pub(crate) kind: String,
    /// The kind of a list.
    pub(crate) list_kind: String,
    /// Whether objects live in namespaces.
    pub(crate) namespaced: bool,
    /// The versions in the definition's order, shared between revisions with the same `spec`; or why there are none.
    pub(crate) versions: Result<Arc<[Arc<Spoken>]>, ApiError>,
    /// The webhook that converts, where one does.
    pub(crate) hook: Option<Arc<Hook>>,
}

impl Definition {
    /// Reads a stored definition. `before` is what was known of it: what its `spec` says is not made twice.
    ///
    /// # Errors
    /// `InternalError` when the body does not decode.
    pub(crate) fn read(stored: &Stored, before: Option<&Self>) -> Result<Self, ApiError> {
        let doc = Doc::from_body(&stored.body)?;
        let spec = at(doc.value(), "spec");
        let (group, kind) = (text(spec, "group").to_owned(), text(at(spec, "names"), "kind").to_owned());
        let namespaced = text(spec, "scope") == "Namespaced";
        let (versions, hook) = match before {
            Some(before) if at(before.doc.value(), "spec") == spec => (before.versions.clone(), before.hook.clone()),
            _ => (make(doc.value(), &group, &kind, namespaced), hook(doc.name(), at(spec, "conversion"))),
        };
        let list_kind = match text(at(spec, "names"), "listKind") {
            "" => format!("{kind}List"),
            given => given.to_owned(),
        };
        Ok(Self { revision: stored.revision, group, kind, list_kind, namespaced, versions, hook, doc })
    }

    /// The name, which is also the identity of the resource: `widgets.example.com`.
    pub(crate) fn name(&self) -> &str {
        self.doc.name()
    }

    /// Where the objects are kept.
    pub(crate) fn id(&self) -> ResourceId {
        ResourceId::new(&self.group, text(at(self.doc.value(), "spec.names"), "plural"))
    }

    /// Whether a condition is true.
    pub(crate) fn is(&self, condition: &str) -> bool {
        let all = list(at(self.doc.value(), "status"), "conditions");
        all.iter().any(|c| text(c, "type") == condition && text(c, "status") == "True")
    }

    /// Whether it was deleted and waits for its objects to go.
    pub(crate) fn is_deleting(&self) -> bool {
        self.doc.at(&["metadata", "deletionTimestamp"]).is_some()
    }

    /// Whether it was deleted, and its objects are still to be.
    pub(crate) fn awaits_cleanup(&self) -> bool {
        self.is_deleting() && texts(at(self.doc.value(), "metadata"), "finalizers").contains(&CLEANUP)
    }

    /// A version by its name.
    pub(crate) fn version(&self, name: &str) -> Option<&Arc<Spoken>> {
        self.versions.as_ref().ok()?.iter().find(|spoken| spoken.version.name == name)
    }

    /// A version by what objects carry.
    pub(crate) fn spoken(&self, api_version: &str) -> Option<&Arc<Spoken>> {
        self.versions.as_ref().ok()?.iter().find(|spoken| spoken.api_version == api_version)
    }

    /// The version that objects are stored in.
    ///
    /// # Errors
    /// Why the definition cannot be served.
    pub(crate) fn storage(&self) -> Result<&Arc<Spoken>, ApiError> {
        let versions = self.versions.as_ref().map_err(Clone::clone)?;
        let found = versions.iter().find(|spoken| spoken.version.storage);
        found.ok_or_else(|| ApiError::internal(format!("{} has no storage version", self.name())))
    }

    /// The selectable fields of all versions.
    pub(crate) fn selectable(&self) -> Arc<[String]> {
        let versions = self.versions.iter().flat_map(|versions| versions.iter());
        let mut all: Vec<String> = versions.flat_map(|spoken| spoken.version.selectable.iter().cloned()).collect();
        all.sort();
        all.dedup();
        all.into()
    }

    /// What the catalogue lists; `None` until the definition is established.
    pub(crate) fn info(&self) -> Option<ResourceInfo> {
        if !self.is("Established") {
            return None;
        }
        let names = at(self.doc.value(), "status.acceptedNames");
        let owned = |field: &str| texts(names, field).into_iter().map(str::to_owned).collect();
        let group: Arc<str> = self.group.as_str().into();
        let storage = self.storage().ok()?;
        let mut all: Vec<_> = self.versions.as_ref().ok()?.iter().collect();
        all.sort_by_key(|spoken| std::cmp::Reverse(kube_core::Version::parse(&spoken.version.name).priority()));
        Some(ResourceInfo {
            id: Some(self.id()),
            group: group.clone(),
            plural: text(names, "plural").to_owned(),
            singular: text(names, "singular").to_owned(),
            kind: text(names, "kind").to_owned(),
            list_kind: text(names, "listKind").to_owned(),
            scope: if self.namespaced { Scope::Namespaced } else { Scope::Cluster },
            short_names: owned("shortNames"),
            categories: owned("categories"),
            storage: GroupVersion { group, version: storage.version.name.as_str().into() },
            versions: all.into_iter().map(|spoken| self.version_info(&spoken.version)).collect(),
            custom: true,
        })
    }

    fn version_info(&self, version: &Version) -> VersionInfo {
        let verbs: &[&str] = match self.is("Terminating") {
            true => &["delete", "deletecollection", "get", "list", "watch"],
            false => &["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"],
        };
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let sub = |name: &str, foreign, kind: &str| SubresourceInfo {
            name: name.to_owned(),
            foreign,
            kind: kind.to_owned(),
            verbs: words(&["get", "patch", "update"]),
        };
        let scale = GroupVersion { group: "autoscaling".into(), version: "v1".into() };
        let mut subresources = Vec::new();
        if version.status {
            subresources.push(sub("status", None, &self.kind));
        }
        if version.scale.is_some() {
            subresources.push(sub("scale", Some(scale), "Scale"));
        }
        VersionInfo {
            name: version.name.as_str().into(),
            served: version.served,
            verbs: words(verbs),
            subresources,
            fields: version.selectable.clone(),
            columns: Vec::new(),
        }
    }
}

/// A conversion webhook is called as one of admission is.
fn hook(name: &str, conversion: &Value) -> Option<Arc<Hook>> {
    if text(conversion, "strategy") != "Webhook" {
        return None;
    }
    let config = at(conversion, "webhook.clientConfig");
    let name = format!("conversion_webhook_for_{name}");
    let one = json!({"name": name, "clientConfig": config, "admissionReviewVersions": ["v1"]});
    Hook::compile_all(&name, &json!({"webhooks": [one]})).pop()
}

fn make(definition: &Value, group: &str, kind: &str, namespaced: bool) -> Result<Arc<[Arc<Spoken>]>, ApiError> {
    let written = list(at(definition, "spec"), "versions");
    let spoken = |(version, written): (Version, &Value)| {
        let version = Arc::new(version);
        Arc::new(Spoken {
            api_version: format!("{group}/{}", version.name),
            types: types::root(&version.schema),
            schema: at(written, "schema.openAPIV3Schema").clone(),
            mark: mark(&at(written, "schema.openAPIV3Schema").to_string()),
            rules: Arc::new(CustomRules::new(version.clone(), group, kind, namespaced)),
            version,
        })
    };
    Ok(versions(definition)?.into_iter().zip(written).map(spoken).collect())
}

fn mark(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
