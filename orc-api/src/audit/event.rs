//! Audit events: one request's record, and the lines it makes, stage by stage.

use http::Request;
use orc_core::env::System;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::policy::{Level, Verdict};
use crate::identity::Identity;
use crate::rbac::Attributes;

/// When in the life of a request an event is made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
pub(crate) enum Stage {
    /// It has come in.
    RequestReceived,
    /// The head of the answer is sent; only for answers that go on.
    ResponseStarted,
    /// The answer is sent.
    ResponseComplete,
    /// Answering failed by a defect of the server.
    Panic,
}

/// What replaces a bearer token.
const REDACTED: &str = "<redacted>";

/// What is known of a request, as the events tell it.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    verdict: Verdict,
    event: Map<String, Value>,
}

/// A time as audit events have it: microseconds.
fn time(system: &System) -> String {
    system.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

fn user(who: &Identity) -> Value {
    crate::http::user_info(who)
}

impl Record {
    /// The record of a request; `asker` is who sent it, `acts_as` another one that it acts as.
    pub(crate) fn new<B>(
        verdict: Verdict,
        request: &Request<B>,
        asker: &Identity,
        acts_as: Option<&Identity>,
        asks: &Attributes<'_>,
        version: &str,
        system: &System,
    ) -> Self {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let uri = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let mut event = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": format!("{:?}", verdict.level),
            "auditID": header("audit-id").map_or_else(|| system.ids.uid(), str::to_owned),
            "stage": "", "requestURI": without_token(uri), "verb": asks.verb, "user": user(asker),
            "requestReceivedTimestamp": time(system), "annotations": {},
        });
        if let Some(other) = acts_as {
            event["impersonatedUser"] = user(other);
        }
        if let Some(agent) = header("user-agent") {
            event["userAgent"] = agent.into();
        }
        if let Some(object) = object_ref(asks, version) {
            event["objectRef"] = object;
        }
        let Value::Object(event) = event else { unreachable!("made as an object above") };
        Self { verdict, event }
    }

    /// The level.
    pub(crate) fn level(&self) -> Level {
        self.verdict.level
    }

    /// The request's id, for the header `Audit-Id`.
    pub(crate) fn id(&self) -> &str {
        self.event.get("auditID").and_then(Value::as_str).unwrap_or_default()
    }

    /// Adds an annotation.
    pub(crate) fn annotate(&mut self, key: &str, value: &str) {
        if let Some(Value::Object(annotations)) = self.event.get_mut("annotations") {
            annotations.insert(key.to_owned(), value.into());
        }
    }

    /// Adds what was sent. What is no JSON is left out.
    pub(crate) fn sent(&mut self, body: &[u8]) {
        if self.verdict.level >= Level::Request
            && let Ok(object) = serde_json::from_slice(body)
        {
            let object = self.clean(object);
            self.event.insert("requestObject".to_owned(), object);
        }
    }

    /// Adds how it was answered: the code, and the body of a failure or, at the highest level, of any answer.
    pub(crate) fn answered(&mut self, code: u16, body: Option<&[u8]>) {
        let object: Option<Value> = body.and_then(|body| serde_json::from_slice(body).ok());
        let mut status = json!({"metadata": {}, "code": code});
        if let Some(failure) = object.as_ref().filter(|object| object["kind"] == "Status") {
            for field in ["status", "message", "reason", "details"] {
                if let Some(value) = failure.get(field) {
                    status[field] = value.clone();
                }
            }
        }
        self.event.insert("responseStatus".to_owned(), status);
        if self.verdict.level >= Level::RequestResponse
            && let Some(object) = object
        {
            let object = self.clean(object);
            self.event.insert("responseObject".to_owned(), object);
        }
    }

    /// The line of a stage, `None` where the policy leaves it out.
    pub(crate) fn line(&self, stage: Stage, system: &System) -> Option<String> {
        if self.verdict.level == Level::None || self.verdict.omit_stages.contains(&stage) {
            return None;
        }
        let mut event = self.event.clone();
        event.insert("stage".to_owned(), format!("{stage:?}").into());
        event.insert("stageTimestamp".to_owned(), time(system).into());
        if event.get("annotations").is_some_and(|annotations| annotations == &json!({})) {
            event.remove("annotations");
        }
        Some(Value::Object(event).to_string())
    }

    fn clean(&self, mut object: Value) -> Value {
        redact(&mut object);
        if self.verdict.omit_managed_fields {
            let items = object.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten();
            items.for_each(forget_managers);
            forget_managers(&mut object);
        }
        object
    }
}

fn forget_managers(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}

/// Tokens that were asked for or are looked at must not be found in a log.
fn redact(object: &mut Value) {
    let path = match object["kind"].as_str() {
        Some("TokenReview") => "/spec/token",
        Some("TokenRequest") => "/status/token",
        _ => return,
    };
    if let Some(token) = object.pointer_mut(path) {
        *token = REDACTED.into();
    }
}

/// WebSocket clients and old ones put tokens into the query.
fn without_token(uri: &str) -> String {
    let Some((path, query)) = uri.split_once('?') else { return uri.to_owned() };
    let part = |part: &str| match part.split_once('=') {
        Some((name @ ("access_token" | "token"), _)) => format!("{name}={REDACTED}"),
        _ => part.to_owned(),
    };
    format!("{path}?{}", query.split('&').map(part).collect::<Vec<_>>().join("&"))
}

fn object_ref(asks: &Attributes<'_>, version: &str) -> Option<Value> {
    if asks.resource.is_empty() {
        return None;
    }
    let fields = [
        ("resource", asks.resource),
        ("namespace", asks.namespace),
        ("name", asks.name),
        ("apiGroup", asks.group),
        ("apiVersion", version),
        ("subresource", asks.subresource),
    ];
    let given = fields.into_iter().filter(|(_, value)| !value.is_empty());
    Some(Value::Object(given.map(|(field, value)| (field.to_owned(), value.into())).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(level: Level, uri: &str) -> Record {
        let verdict = Verdict { level, omit_stages: [Stage::Panic].into(), omit_managed_fields: true };
        let request = Request::get(uri).header("user-agent", "test").body(()).unwrap();
        let asks = Attributes { verb: "create", resource: "pods", namespace: "d", ..Attributes::default() };
        Record::new(verdict, &request, &Identity::user("alice", &[]), None, &asks, "v1", &System::real())
    }

    fn parsed(record: &Record) -> Value {
        serde_json::from_str(&record.line(Stage::ResponseComplete, &System::real()).unwrap()).unwrap()
    }

    #[test]
    fn the_level_decides_what_is_told() {
        let mut levels = Vec::new();
        for level in [Level::Metadata, Level::Request, Level::RequestResponse] {
            let mut record = record(level, "/api/v1/namespaces/d/pods");
            record.sent(br#"{"kind":"Pod","metadata":{"managedFields":[1],"name":"a"}}"#);
            record.answered(201, Some(br#"{"kind":"Pod"}"#));
            let event = parsed(&record);
            assert_eq!(event["objectRef"], json!({"resource": "pods", "namespace": "d", "apiVersion": "v1"}));
            assert_eq!(event["responseStatus"], json!({"metadata": {}, "code": 201}));
            levels.push((event["requestObject"].clone(), event["responseObject"].clone()));
        }
        let sent = json!({"kind": "Pod", "metadata": {"name": "a"}});
        let null = Value::Null;
        assert_eq!(levels, [(null.clone(), null.clone()), (sent.clone(), null), (sent, json!({"kind": "Pod"}))]);
        assert_eq!(record(Level::None, "/").line(Stage::ResponseComplete, &System::real()), None);
        assert_eq!(record(Level::Metadata, "/").line(Stage::Panic, &System::real()), None);
    }

    #[test]
    fn no_token_is_ever_told() {
        let mut record = record(Level::RequestResponse, "/api?access_token=s3cret&watch=1");
        record.sent(br#"{"kind":"TokenReview","spec":{"token":"s3cret"}}"#);
        record.answered(201, Some(br#"{"kind":"TokenRequest","status":{"token":"s3cret"}}"#));
        let event = parsed(&record);
        assert!(!event.to_string().contains("s3cret"), "{event}");
        assert_eq!(event["requestURI"], "/api?access_token=<redacted>&watch=1");
    }
}
