//! The paths of a group and version: which operations there are on each resource and sub-resource.
//!
//! Names, texts and answers follow the rules of `apiserver/pkg/endpoints/installer.go`.

use orc_core::catalogue::Served;
use orc_core::schema::Schema;
use serde_json::{Map, Value, json};

use super::operation::{Asked, Content, FORMS, Operation, STREAMS, path};
use super::place::{Place, a, tag};
use super::schema::Schemas;

const META: &str = "k8s.io.apimachinery.pkg.apis.meta.v1";
/// What a deletion answers with the object that was deleted, where others answer with a Status (`ReturnDeletedObject`).
const ANSWERED: [&str; 16] = [
    "CSIDriver",
    "CSINode",
    "DeviceClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Pod",
    "PodTemplate",
    "ResourceClaim",
    "ResourceClaimTemplate",
    "ResourceQuota",
    "ResourceSlice",
    "Service",
    "ServiceAccount",
    "StorageClass",
    "VolumeAttachment",
    "VolumeAttributesClass",
];
/// What a deletion of many takes of a list's parameters.
const OF_MANY: [&str; 9] = [
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "shardSelector",
    "timeoutSeconds",
];

/// The document that paths are added to.
pub(super) struct Paths<'s, 'a> {
    pub(super) schemas: &'s mut Schemas<'a>,
    pub(super) all: &'s mut Map<String, Value>,
    pub(super) shared: &'s mut Map<String, Value>,
}

impl Paths<'_, '_> {
    /// The paths of a resource.
    pub(super) fn resource(&mut self, group: &str, version: &str, one: &Served) {
        let place = Place { group, version, one };
        self.collection(&place);
        self.object(&place);
        for sub in &one.version().subresources {
            self.subresource(&place, sub);
        }
        self.watches(&place);
    }

    pub(super) fn add(&mut self, at: String, operations: Vec<Operation>) {
        if !operations.is_empty() {
            let path = path(operations, self.schemas.is_v3(), self.shared);
            self.all.insert(at, path);
        }
    }

    pub(super) fn query(&self, sets: &[&str]) -> Vec<Asked> {
        let mut all: Vec<Asked> =
            sets.iter().flat_map(|set| self.schemas.texts.parameters(set)).map(Asked::query).collect();
        all.sort();
        all.dedup();
        all
    }

    pub(super) fn namespace(place: &Place<'_>) -> Option<Asked> {
        let text = "object name and auth scope, such as for teams and projects".to_owned();
        place.one.info.is_namespaced().then(|| Asked::path("namespace", text))
    }

    pub(super) fn meta(&mut self, name: &str) -> Value {
        let message = Schema::builtin().message(&format!("{META}.{name}"));
        let reference = message.map_or_else(|| json!({"type": "object"}), |message| self.schemas.reference(message));
        super::kinds::everywhere(self.schemas, name);
        reference
    }

    pub(super) fn of(&self, place: &Place<'_>, kind: &str) -> Value {
        json!({"$ref": self.schemas.pointer(&place.schema(kind))})
    }

    /// An operation with nothing asked and nothing answered.
    pub(super) fn bare(
        place: &Place<'_>,
        method: &'static str,
        action: &'static str,
        text: String,
        verb: &str,
    ) -> Operation {
        Operation {
            method,
            action: Some(action),
            gvk: Some(place.gvk()),
            text,
            id: format!("{verb}{}", place.one.info.kind),
            tag: format!("{}_{}", tag(place.group), place.version),
            asked: Self::namespace(place).into_iter().collect(),
            content: Content::None,
            answers: Vec::new(),
            forms: FORMS.to_vec(),
        }
    }

    fn list(&mut self, place: &Place<'_>) -> Operation {
        let kind = &place.one.info.kind;
        let verb = format!("list{}{}", place.prefix(), place.scope());
        let mut list = Self::bare(place, "get", "list", format!("list or watch objects of kind {kind}"), &verb);
        list.asked.extend(self.query(&["list"]));
        list.answers = vec![(200, self.of(place, &place.one.info.list_kind))];
        if place.one.version().verbs.iter().any(|verb| verb == "watch") {
            list.forms.extend(STREAMS);
        }
        list
    }

    fn collection(&mut self, place: &Place<'_>) {
        let allows = |verb: &str| place.one.version().verbs.iter().any(|own| own == verb);
        let (kind, prefix) = (&place.one.info.kind, place.prefix());
        let mut all = Vec::new();
        if allows("list") {
            let list = self.list(place);
            if place.one.info.is_namespaced() {
                let mut everywhere = list.clone();
                everywhere.id = format!("list{prefix}{kind}ForAllNamespaces");
                everywhere.asked.retain(|asked| Some(asked) != Self::namespace(place).as_ref());
                self.add(format!("{}/{}", place.root(), place.one.info.plural), vec![everywhere]);
            }
            all.push(list);
        }
        if allows("create") {
            let verb = format!("create{prefix}{}", place.scope());
            let mut create = Self::bare(place, "post", "post", format!("create {}", a(kind)), &verb);
            create.asked.extend(self.query(&["write"]));
            let object = self.of(place, kind);
            create.content = Content::Object(object.clone());
            create.answers = [200, 201, 202].map(|code| (code, object.clone())).to_vec();
            all.push(create);
        }
        if allows("deletecollection") {
            let verb = format!("delete{prefix}Collection{}", place.scope());
            let text = format!("delete collection of {kind}");
            let mut delete = Self::bare(place, "delete", "deletecollection", text, &verb);
            delete.asked.extend(self.query(&["delete"]));
            let of_many = |one: &&super::texts::Parameter<'_>| OF_MANY.contains(&one.name);
            delete.asked.extend(self.schemas.texts.parameters("list").iter().filter(of_many).map(Asked::query));
            delete.content = Content::Optional(self.meta("DeleteOptions"));
            delete.answers = vec![(200, self.meta("Status"))];
            all.push(delete);
        }
        self.add(place.collection(""), all);
    }

    fn object(&mut self, place: &Place<'_>) {
        let kind = place.one.info.kind.clone();
        let verbs = place.one.version().verbs.clone();
        let object = self.of(place, &kind);
        let mut all = self.changes(place, &verbs, &object, "");
        if verbs.iter().any(|verb| verb == "delete") {
            let verb = format!("delete{}{}", place.prefix(), place.scope());
            let mut delete = Self::bare(place, "delete", "delete", format!("delete {}", a(&kind)), &verb);
            delete.asked.extend(self.query(&["delete"]));
            delete.content = Content::Optional(self.meta("DeleteOptions"));
            let own = ANSWERED.contains(&kind.as_str()) && !place.one.info.custom;
            let answer = if own { object } else { self.meta("Status") };
            delete.answers = vec![(200, answer.clone()), (202, answer)];
            all.push(delete);
        }
        self.named(place, &mut all);
        self.add(format!("{}/{{name}}", place.collection("")), all);
    }

    pub(super) fn named(&self, place: &Place<'_>, all: &mut [Operation]) {
        let name = Asked::path("name", format!("name of the {}", place.one.info.kind));
        all.iter_mut().for_each(|operation| operation.asked.push(name.clone()));
    }

    /// Get, update and patch, of an object or a sub-resource.
    pub(super) fn changes(&mut self, place: &Place<'_>, verbs: &[String], object: &Value, sub: &str) -> Vec<Operation> {
        let kind = &place.one.info.kind;
        let of = if sub.is_empty() { String::new() } else { format!("{sub} of ") };
        let name = |verb: &str| format!("{verb}{}{}", place.prefix(), place.scope());
        let mut all = Vec::new();
        if verbs.iter().any(|verb| verb == "get") {
            let mut get = Self::bare(place, "get", "get", format!("read {of}the specified {kind}"), &name("read"));
            get.asked.extend(self.query(&["write"]).into_iter().filter(Asked::is_pretty));
            get.answers = vec![(200, object.clone())];
            all.push(get);
        }
        for (verb, method, word, text, set) in
            [("update", "put", "replace", "replace", "write"), ("patch", "patch", "patch", "partially update", "patch")]
        {
            if verbs.iter().any(|own| own == verb) {
                let text = format!("{text} {of}the specified {kind}");
                let mut change = Self::bare(place, method, method, text, &name(word));
                change.asked.extend(self.query(&[set]));
                change.content = match verb {
                    "patch" => Content::Patch(self.patch()),
                    _ => Content::Object(object.clone()),
                };
                change.answers = [200, 201].map(|code| (code, object.clone())).to_vec();
                all.push(change);
            }
        }
        all
    }

    fn patch(&mut self) -> Value {
        let name = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
        if let (Some(said), false) = (self.schemas.texts.of(name), self.schemas.all.contains_key(name)) {
            self.schemas.all.insert(name.to_owned(), json!({"type": "object", "description": said.description()}));
        }
        json!({"$ref": self.schemas.pointer(name)})
    }
}
