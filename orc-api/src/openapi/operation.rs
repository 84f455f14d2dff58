//! Operations of a path, in the words of either version of OpenAPI.
//!
//! Parameters that all operations of a path share stand at the path, as kube-openapi hoists them. Swagger's document shares
//! the common ones once more, under names that clients know (`pretty-tJGM1-ng`).

use serde_json::{Map, Value, json};

use super::texts::{Parameter, unescape};

/// What answers are written in.
pub(super) const FORMS: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
/// What answers of lists and watches are written in besides.
pub(super) const STREAMS: [&str; 2] =
    ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];
/// What a patch may be written in.
const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// Swagger's shared parameters: name, words of the text (where two share a name), the shared name.
const SHARED: [(&str, &str, &str); 22] = [
    ("allowWatchBookmarks", "", "allowWatchBookmarks-HC2hJt-J"),
    ("continue", "", "continue-QfD61s0i"),
    ("fieldManager", "required for apply", "fieldManager-7c6nTn1T"),
    ("fieldManager", "", "fieldManager-Qy4HdaTW"),
    ("fieldSelector", "", "fieldSelector-xIcQKXFG"),
    ("follow", "", "follow-9OIXh_2R"),
    ("force", "", "force-tOGGb0Yi"),
    ("gracePeriodSeconds", "", "gracePeriodSeconds--K5HaBOS"),
    (
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "",
        "ignoreStoreReadErrorWithClusterBreakingPotential-QbNkfIqj",
    ),
    ("labelSelector", "", "labelSelector-5Zw57w4C"),
    ("limit", "", "limit-1NfNmdNH"),
    ("namespace", "", "namespace-vgWSWtn3"),
    ("orphanDependents", "", "orphanDependents-uRB25kX5"),
    ("ports", "", "ports-91KROJmm"),
    ("pretty", "", "pretty-tJGM1-ng"),
    ("propagationPolicy", "", "propagationPolicy-6jk3prlO"),
    ("resourceVersion", "", "resourceVersion-5WAnf1iq"),
    ("resourceVersionMatch", "", "resourceVersionMatch-t8XhRHeC"),
    ("sendInitialEvents", "", "sendInitialEvents-rLXlEK_k"),
    ("timeoutSeconds", "", "timeoutSeconds-yvYezaOC"),
    ("timestamps", "", "timestamps-c17fW1w_"),
    ("watch", "", "watch-XNNPZGbK"),
];

/// A parameter in the path or the query.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asked {
    name: String,
    place: &'static str,
    text: String,
    kind: String,
}

impl Asked {
    pub(super) fn path(name: &str, text: String) -> Self {
        Self { name: name.to_owned(), place: "path", text, kind: "string".to_owned() }
    }

    pub(super) fn query(of: &Parameter<'_>) -> Self {
        let text = unescape(of.text).into_owned();
        Self { name: of.name.to_owned(), place: "query", text, kind: of.kind.to_owned() }
    }

    pub(super) fn is_pretty(&self) -> bool {
        self.name == "pretty"
    }

    fn shared(&self) -> Option<&'static str> {
        let of = |(name, words, _): &&(&str, &str, &str)| self.name == *name && self.text.contains(words);
        SHARED.iter().find(of).map(|(.., shared)| *shared)
    }

    fn write(&self, v3: bool) -> Value {
        let mut out = json!({"name": self.name, "in": self.place, "description": self.text});
        if self.place == "path" {
            out["required"] = true.into();
        }
        let kind = json!({"type": self.kind, "uniqueItems": true});
        match kind {
            Value::Object(kind) if !v3 => out.as_object_mut().into_iter().for_each(|out| out.extend(kind.clone())),
            kind => out["schema"] = kind,
        }
        out
    }
}

/// The body of a request.
#[derive(Clone, Debug)]
pub(super) enum Content {
    None,
    /// An object of this schema.
    Object(Value),
    /// A patch, of the schema that all share.
    Patch(Value),
    /// An object that may be left out (the options of a deletion).
    Optional(Value),
}

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    /// The HTTP method, in small letters.
    pub(super) method: &'static str,
    /// What Kubernetes calls it; `None` for documents.
    pub(super) action: Option<&'static str>,
    pub(super) gvk: Option<Value>,
    pub(super) text: String,
    pub(super) id: String,
    pub(super) tag: String,
    pub(super) asked: Vec<Asked>,
    pub(super) content: Content,
    /// Code and schema.
    pub(super) answers: Vec<(u16, Value)>,
    pub(super) forms: Vec<&'static str>,
}

fn phrase(code: u16) -> &'static str {
    match code {
        201 => "Created",
        202 => "Accepted",
        _ => "OK",
    }
}

/// A path with its operations.
pub(super) fn path(mut operations: Vec<Operation>, v3: bool, shared: &mut Map<String, Value>) -> Value {
    operations.iter_mut().for_each(|operation| operation.asked.sort());
    let common: Vec<Asked> = operations.first().map_or_else(Vec::new, |first| {
        let everywhere = |asked: &&Asked| operations.iter().all(|operation| operation.asked.contains(asked));
        first.asked.iter().filter(everywhere).cloned().collect()
    });
    let mut out = Map::new();
    for mut operation in operations {
        operation.asked.retain(|asked| !common.contains(asked));
        out.insert(operation.method.to_owned(), operation.write(v3, shared));
    }
    if !common.is_empty() {
        out.insert("parameters".to_owned(), asked(&common, v3, shared).into());
    }
    out.into()
}

fn asked(all: &[Asked], v3: bool, shared: &mut Map<String, Value>) -> Vec<Value> {
    let one = |asked: &Asked| match asked.shared().filter(|_| !v3) {
        Some(name) => {
            shared.entry(name).or_insert_with(|| asked.write(false));
            json!({"$ref": format!("#/parameters/{name}")})
        }
        None => asked.write(v3),
    };
    all.iter().map(one).collect()
}

impl Operation {
    fn write(&self, v3: bool, shared: &mut Map<String, Value>) -> Value {
        let mut out = json!({"description": self.text, "operationId": self.id, "tags": [self.tag], "responses": self.answers(v3)});
        if let Some(action) = self.action {
            out["x-kubernetes-action"] = action.into();
        }
        if let Some(gvk) = &self.gvk {
            out["x-kubernetes-group-version-kind"] = gvk.clone();
        }
        let mut parameters = asked(&self.asked, v3, shared);
        if v3 {
            self.request_body(&mut out);
        } else {
            out["schemes"] = json!(["https"]);
            out["produces"] = json!(self.forms);
            out["consumes"] = if self.is_patch() { json!(PATCHES) } else { json!(["*/*"]) };
            if let Some(body) = self.body_parameter(shared) {
                parameters.insert(0, body);
            }
        }
        if !parameters.is_empty() {
            out["parameters"] = parameters.into();
        }
        out
    }

    fn is_patch(&self) -> bool {
        matches!(self.content, Content::Patch(_))
    }

    fn answers(&self, v3: bool) -> Map<String, Value> {
        let one = |(code, schema): &(u16, Value)| {
            let mut answer = json!({"description": phrase(*code)});
            if v3 {
                let content = self.forms.iter().map(|form| ((*form).to_owned(), json!({"schema": schema})));
                answer["content"] = content.collect::<Map<_, _>>().into();
            } else {
                answer["schema"] = schema.clone();
            }
            (code.to_string(), answer)
        };
        let refused = ("401".to_owned(), json!({"description": "Unauthorized"}));
        self.answers.iter().map(one).chain([refused]).collect()
    }

    fn request_body(&self, out: &mut Value) {
        let (schema, forms, required): (_, &[&str], _) = match &self.content {
            Content::None => return,
            Content::Object(schema) => (schema, &["*/*"], true),
            Content::Optional(schema) => (schema, &["*/*"], false),
            Content::Patch(schema) => (schema, &PATCHES, true),
        };
        let content: Map<_, _> = forms.iter().map(|form| ((*form).to_owned(), json!({"schema": schema}))).collect();
        out["requestBody"] = json!({"content": content});
        if required {
            out["requestBody"]["required"] = true.into();
        }
    }

    fn body_parameter(&self, shared: &mut Map<String, Value>) -> Option<Value> {
        let (schema, name, required) = match &self.content {
            Content::None => return None,
            Content::Object(schema) => {
                return Some(json!({"name": "body", "in": "body", "required": true, "schema": schema}));
            }
            Content::Optional(schema) => (schema, "body-2Y1dVQaQ", false),
            Content::Patch(schema) => (schema, "body-78PwaGsr", true),
        };
        shared.entry(name).or_insert_with(|| {
            let mut body = json!({"name": "body", "in": "body", "schema": schema});
            if required {
                body["required"] = true.into();
            }
            body
        });
        Some(json!({"$ref": format!("#/parameters/{name}")}))
    }
}
