//! Whole documents: schemas and paths of a group and version.

use orc_core::catalogue::{Catalogue, Served};
use orc_core::schema::Schema;
use serde_json::{Map, Value, json};

use super::custom::Find;
use super::kinds::name_kind;
use super::operation::{Content, FORMS, Operation};
use super::paths::Paths;
pub(super) use super::place::root;
use super::place::{friendly, tag};
use super::schema::Schemas;
use super::texts::{self, Texts};

/// A number that changes when the served resources do (FNV-1a over their names and verbs).
pub(super) fn fingerprint(served: &[Served], find: Find<'_>) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |text: &str| {
        for byte in text.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    add(env!("CARGO_PKG_VERSION"));
    for one in served {
        add(&one.info.plural);
        one.version().verbs.iter().for_each(|verb| add(verb));
        one.version().subresources.iter().for_each(|sub| add(&sub.name));
        find(one).iter().for_each(|published| add(&published.mark.to_string()));
    }
    hash
}

/// A document in the making.
struct Document<'a> {
    schemas: Schemas<'a>,
    paths: Map<String, Value>,
    shared: Map<String, Value>,
}

impl<'a> Document<'a> {
    fn new(prefix: &'static str, texts: &'a Texts<'a>) -> Self {
        Self { schemas: Schemas::new(prefix, texts), paths: Map::new(), shared: Map::new() }
    }

    fn paths(&mut self) -> Paths<'_, 'a> {
        Paths { schemas: &mut self.schemas, all: &mut self.paths, shared: &mut self.shared }
    }

    fn group_version(&mut self, group: &str, version: &str, served: &[Served], find: Find<'_>) {
        let schemas = &mut self.schemas;
        for one in served {
            let gvk = |kind: &str| json!({"group": group, "version": version, "kind": kind});
            if let Some(published) = find(one) {
                super::custom::add(schemas, group, one, &published);
            } else {
                for kind in [&one.info.kind, &one.info.list_kind] {
                    if let Some(message) = Schema::builtin().message_of(group, version, kind) {
                        schemas.reference(message);
                        name_kind(schemas, &message.openapi_name(), &gvk(kind));
                    }
                }
            }
            for sub in &one.version().subresources {
                let (of, at) = sub.foreign.as_ref().map_or((group, version), |f| (&*f.group, &*f.version));
                if let Some(message) = Schema::builtin().message_of(of, at, &sub.kind).filter(|_| !sub.verbs.is_empty())
                {
                    schemas.reference(message);
                    name_kind(schemas, &message.openapi_name(), &json!({"group": of, "version": at, "kind": sub.kind}));
                }
            }
        }
        for one in served {
            self.paths().resource(group, version, one);
        }
        let resources = format!("get{}{}APIResources", friendly(group), version.replacen('v', "V", 1));
        let tag = format!("{}_{version}", tag(group));
        self.discovery(
            format!("{}/", root(group, version)),
            "get available resources",
            resources,
            tag,
            "APIResourceList",
        );
    }

    /// A document of discovery.
    fn discovery(&mut self, at: String, text: &str, id: String, tag: String, kind: &str) {
        let message = Schema::builtin().message(&format!("k8s.io.apimachinery.pkg.apis.meta.v1.{kind}"));
        let answer = match message {
            Some(message) => self.schemas.reference(message),
            None if kind == "string" => json!({"type": "string"}),
            None => self.schemas.strings(kind),
        };
        if message.is_some() {
            name_kind(&mut self.schemas, &format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}"), &{
                json!({"group": "", "version": "v1", "kind": kind})
            });
        }
        let forms = if at.starts_with("/api") { FORMS.to_vec() } else { vec!["application/json"] };
        let get = Operation {
            method: "get",
            action: None,
            gvk: None,
            text: text.to_owned(),
            id,
            tag,
            asked: Vec::new(),
            content: Content::None,
            answers: vec![(200, answer)],
            forms,
        };
        self.paths().add(at, vec![get]);
    }

    /// What is no group's version; a path as `/openapi/v3` has it.
    fn root_path(&mut self, path: &str) {
        match path {
            "api" => self.discovery(
                "/api/".to_owned(),
                "get available API versions",
                "getCoreAPIVersions".to_owned(),
                "core".to_owned(),
                "APIVersions",
            ),
            "apis" => self.discovery(
                "/apis/".to_owned(),
                "get available API versions",
                "getAPIVersions".to_owned(),
                "apis".to_owned(),
                "APIGroupList",
            ),
            "version" => self.discovery(
                "/version/".to_owned(),
                "get the version information for this server",
                "getCodeVersion".to_owned(),
                "version".to_owned(),
                "io.k8s.apimachinery.pkg.version.Info",
            ),
            ".well-known/openid-configuration" => self.discovery(
                "/.well-known/openid-configuration/".to_owned(),
                "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
                "getServiceAccountIssuerOpenIDConfiguration".to_owned(),
                "WellKnown".to_owned(),
                "string",
            ),
            "openid/v1/jwks" => self.discovery(
                "/openid/v1/jwks/".to_owned(),
                "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)",
                "getServiceAccountIssuerOpenIDKeyset".to_owned(),
                "openid".to_owned(),
                "string",
            ),
            _ => {
                let group = path.trim_start_matches("apis/");
                let id = format!("get{}APIGroup", friendly(group));
                self.discovery(format!("/apis/{group}/"), "get information of a group", id, tag(group), "APIGroup");
            }
        }
    }

    fn v3(self) -> Value {
        let bearer = bearer();
        json!({"openapi": "3.0.0", "info": info(), "paths": self.paths,
            "components": {"schemas": self.schemas.all, "securitySchemes": bearer}})
    }
}

/// The paths of documents that are no group's version.
pub(super) const ROOTS: [&str; 5] = ["api", "apis", "version", ".well-known/openid-configuration", "openid/v1/jwks"];

pub(super) fn v3(group: &str, version: &str, served: &[Served], find: Find<'_>) -> Value {
    let text = texts::inflate();
    let texts = Texts::parse(&text);
    let mut document = Document::new("#/components/schemas/", &texts);
    document.group_version(group, version, served, find);
    document.v3()
}

/// The document of what is no group's version, such as `api` or `apis/apps`.
pub(super) fn v3_root(path: &str) -> Value {
    let text = texts::inflate();
    let texts = Texts::parse(&text);
    let mut document = Document::new("#/components/schemas/", &texts);
    document.root_path(path);
    document.v3()
}

pub(super) fn v2(catalogue: &Catalogue, find: Find<'_>) -> Value {
    let text = texts::inflate();
    let texts = Texts::parse(&text);
    let mut document = Document::new("#/definitions/", &texts);
    for group in catalogue.groups() {
        for version in &group.versions {
            let served = catalogue.in_version(&group.name, version);
            document.group_version(&group.name, version, &served, find);
        }
        if !group.name.is_empty() {
            document.root_path(&format!("apis/{}", group.name));
        }
    }
    for path in ROOTS {
        document.root_path(path);
    }
    json!({"swagger": "2.0", "info": info(), "paths": document.paths, "definitions": document.schemas.all,
        "parameters": document.shared, "security": [{"BearerToken": []}], "securityDefinitions": bearer()})
}

fn bearer() -> Value {
    json!({"BearerToken": {"description": "Bearer Token authentication", "in": "header", "name": "authorization",
        "type": "apiKey"}})
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": format!("v1.36.0+orc-{}", env!("CARGO_PKG_VERSION"))})
}

/// Kinds by OpenAPI name, for tests.
#[cfg(test)]
fn kinds(document: &Value) -> std::collections::BTreeMap<String, Value> {
    let schemas = document.pointer("/components/schemas").and_then(Value::as_object).cloned().unwrap_or_default();
    schemas
        .into_iter()
        .filter_map(|(name, schema)| Some((name, schema.get("x-kubernetes-group-version-kind")?.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apps() -> Value {
        v3("apps", "v1", &Catalogue::builtin().in_version("apps", "v1"), &|_| None)
    }

    #[test]
    fn every_reference_resolves() {
        let whole = v2(&Catalogue::builtin(), &|_| None);
        for (document, prefix, all) in
            [(apps(), "#/components/schemas/", "/components/schemas"), (whole, "#/definitions/", "/definitions")]
        {
            let text = document.to_string();
            let schemas = document.pointer(all).and_then(Value::as_object).unwrap();
            for part in text.split(prefix).skip(1) {
                let name = part.split('"').next().unwrap();
                assert!(schemas.get(name).is_some_and(Value::is_object), "{name}");
            }
        }
    }

    #[test]
    fn operations_are_named_once_and_say_what_they_answer() {
        let document = apps();
        let containers =
            document.pointer("/components/schemas/io.k8s.api.core.v1.PodSpec/properties/containers").unwrap();
        assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
        assert!(kinds(&document).contains_key("io.k8s.api.apps.v1.Deployment"));
        let mut seen = std::collections::BTreeSet::new();
        for (at, path) in document["paths"].as_object().unwrap() {
            for (method, operation) in path.as_object().unwrap().iter().filter(|(_, one)| one.is_object()) {
                assert!(seen.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {at}");
                assert!(operation["responses"]["200"]["content"].is_object(), "{method} {at}");
            }
        }
        let scale = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["get"];
        assert_eq!(scale["operationId"], "readAppsV1NamespacedDeploymentScale");
        assert!(seen.contains("deleteAppsV1CollectionNamespacedDeployment"));
    }
}
