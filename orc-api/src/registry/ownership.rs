//! Field ownership: `metadata.managedFields` of what is written, and server-side apply.
//!
//! The algorithms are [`orc_core::apply`]; here stands what Kubernetes' handlers do around them. Ownership is taken of what the
//! client sent with its defaults, before admission and the kind's own preparation, so that what the server adds is nobody's.

use orc_core::apply::{self, BEFORE_FIRST_APPLY, Conflict, Halt, Manager, Managers, Needed, Reach};
use orc_core::error::{Cause, Details};
use orc_core::schema::{Cardinality, Field, MessageRef, Presence, Shape, Type};
use orc_core::{ApiError, Doc, Reason};
use orc_store::client::WriteOptions;
use orc_store::local::rules::timestamp;
use serde_json::{Map, Value, json};

use super::kind::Kind;
use super::versions::Conversions;
use crate::identity::Identity;

/// Who writes, as `managedFields` names it.
#[derive(Clone, Copy)]
pub(super) struct Writer<'a> {
    /// The name and the other options of the write.
    pub(super) options: &'a WriteOptions,
    /// Who it is.
    pub(super) who: &'a Identity,
    /// The sub-resource written through, or empty.
    pub(super) sub: &'a str,
    /// When.
    pub(super) now: jiff::Timestamp,
}

impl Writer<'_> {
    fn manager(&self, kind: &Kind, applies: bool) -> Manager {
        let name = self.options.field_manager.clone().unwrap_or_else(|| "unknown".to_owned());
        let api_version = if applies { String::new() } else { kind.api_version() };
        Manager { name, applies, api_version, subresource: self.sub.to_owned() }
    }
}

/// An object of a kind before anything is set: what Go always writes. Whoever creates an object manages what differs from
/// this, so that nobody manages the empty `spec` of a namespace that was made without one.
fn zero(message: MessageRef) -> Value {
    let always = |field: &&Field| field.presence == Presence::Always && field.cardinality == Cardinality::One;
    let value = |field: &Field| match field.kind {
        Type::Bool => Some(json!(false)),
        Type::Int32 | Type::Int64 | Type::Double => Some(json!(0)),
        Type::String => Some(json!("")),
        Type::Bytes => None,
        Type::Message(_) => field.message().filter(|message| message.shape == Shape::Object).map(zero),
    };
    let fields = message.fields.iter().filter(always).filter(|field| field.number > 0);
    fields.filter_map(|field| Some((field.json.to_owned(), value(field)?))).collect::<serde_json::Map<_, _>>().into()
}

impl Kind {
    /// The parts that a write through a sub-resource does not own.
    fn ignored(&self, sub: &str) -> &'static [&'static str] {
        match sub {
            "status" | "approval" => &["spec"],
            _ if self.rules.status() => &["status"],
            _ => &[],
        }
    }

    /// What a write through a sub-resource reaches.
    fn reach<'a>(&'a self, api_version: &'a str, sub: &str, versions: &'a Conversions<'_>) -> Reach<'a> {
        Reach { place: self.place(), api_version, ignored: self.ignored(sub), versions }
    }

    /// Notes in a new object that its creator manages what it sent.
    ///
    /// # Errors
    /// None: an object that was not there is not converted.
    pub(super) fn own_created(&self, doc: &mut Doc, writer: &Writer<'_>) -> Result<(), ApiError> {
        let mut managers = Managers::decode(doc.remove(&["metadata", "managedFields"]).as_ref());
        let (api_version, versions) = (self.api_version(), Conversions::still(self));
        let reach = self.reach(&api_version, writer.sub, &versions);
        let nothing = self.message.map_or_else(|| json!({}), zero);
        managers
            .update(&nothing, doc.value(), &reach, &self.writer(writer), &timestamp(writer.now))
            .map_err(|needed| unexpected(&needed))?;
        write(doc, &managers);
        Ok(())
    }

    fn writer(&self, writer: &Writer<'_>) -> Manager {
        writer.manager(self, false)
    }

    /// Notes in a changed object who manages what now; `given` are the managers that the client sent.
    ///
    /// # Errors
    /// When a conversion has to be made first; nothing is noted then.
    pub(super) fn own_changed(
        &self,
        live: &Doc,
        given: Option<&Value>,
        doc: &mut Doc,
        writer: &Writer<'_>,
        versions: &Conversions<'_>,
    ) -> Result<(), Needed> {
        let Some(mut managers) = base(live, given, writer.sub) else { return Ok(()) };
        if managers.is_empty() {
            // An object that nobody was noted for is not tracked until it is applied.
            return Ok(());
        }
        let api_version = self.api_version();
        let reach = self.reach(&api_version, writer.sub, versions);
        managers.update(live.value(), doc.value(), &reach, &self.writer(writer), &timestamp(writer.now))?;
        write(doc, &managers);
        Ok(())
    }

    /// The object that a configuration makes of the live one; of nothing when there is none.
    ///
    /// # Errors
    /// 400 for a configuration of another object, 500 for one that does not fit the schema (as upstream answers), 409 for
    /// conflicts. The inner error is a conversion that has to be made first.
    pub(super) fn apply_config(
        &self,
        live: Option<&Doc>,
        config: &Value,
        name: &str,
        writer: &Writer<'_>,
        versions: &Conversions<'_>,
    ) -> Result<Result<Doc, Needed>, ApiError> {
        self.check_config(live, config, name)?;
        let mut base = live.cloned().unwrap_or_default();
        let mut managers = Managers::decode(base.remove(&["metadata", "managedFields"]).as_ref());
        let api_version = self.api_version();
        let reach = self.reach(&api_version, writer.sub, versions);
        let now = timestamp(writer.now);
        if managers.is_empty() && live.is_some() {
            let first =
                Manager { name: BEFORE_FIRST_APPLY.to_owned(), subresource: String::new(), ..self.writer(writer) };
            managers.update(&json!({}), base.value(), &reach, &first, &now).map_err(|needed| unexpected(&needed))?;
        }
        let manager = writer.manager(self, true);
        let merged = match managers.apply(base.value(), config, &reach, &manager, writer.options.force, &now) {
            Ok(merged) => merged,
            Err(Halt::Conflicts(conflicts)) => return Err(refuse(&conflicts)),
            Err(Halt::Needed(needed)) => return Ok(Err(needed)),
        };
        if writer.sub == "scale"
            && let Some(own) = managers.0.get_mut(&manager)
        {
            // Kubernetes carries the owners of a Scale over to its object without their times.
            own.time = None;
        }
        let mut doc = Doc::from_value(merged)?;
        write(&mut doc, &managers);
        Ok(Ok(doc))
    }

    fn check_config(&self, live: Option<&Doc>, config: &Value, name: &str) -> Result<(), ApiError> {
        let text = |path: &str| config.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind) = (text("/apiVersion"), text("/kind"));
        if api_version != self.api_version() || kind != self.info.kind {
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            return Err(ApiError::bad_request(format!("invalid object type: {group}/{version}, Kind={kind}")));
        }
        let given = text("/metadata/name");
        // An object that is there lends its name: clients apply a status with nothing else in it.
        if given.is_empty() && live.is_none() {
            let why = format!("the name of the object ({name} based on URL) was undeterminable: name must be provided");
            return Err(ApiError::bad_request(why));
        }
        if !given.is_empty() && given != name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({given}) does not match the name on the URL ({name})"
            )));
        }
        if config.pointer("/metadata/managedFields").is_some_and(|list| !list.is_null()) {
            return Err(ApiError::bad_request("metadata.managedFields must be nil"));
        }
        apply::check(config, self.place()).map_err(|why| {
            let namespace = text("/metadata/namespace");
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            let message = format!(
                "failed to create typed patch object ({namespace}/{given}; {group}/{version}, Kind={kind}): {why}"
            );
            ApiError::new(Reason::Unknown, message).with_code(500)
        })
    }
}

fn unexpected(needed: &Needed) -> ApiError {
    ApiError::internal(format!("a conversion to {} was asked for where nothing is converted", needed.to))
}

/// The managers that a write starts from: those that the client sent, else those of the object; none when it resets them
/// with one empty entry.
fn base(live: &Doc, given: Option<&Value>, sub: &str) -> Option<Managers> {
    let own = || Managers::decode(live.at(&["metadata", "managedFields"]));
    let Some(list) = given.and_then(Value::as_array).filter(|_| sub.is_empty()) else { return Some(own()) };
    if let [only] = list.as_slice()
        && only.as_object().is_some_and(serde_json::Map::is_empty)
    {
        return None;
    }
    let managers = Managers::decode(given);
    Some(if managers.is_empty() { own() } else { managers })
}

fn write(doc: &mut Doc, managers: &Managers) {
    if managers.is_empty() {
        doc.remove(&["metadata", "managedFields"]);
    } else {
        doc.set(&["metadata", "managedFields"], managers.encode());
    }
}

/// Whether a change changes nothing but the times in `managedFields`.
pub(super) fn only_times(live: &Doc, doc: &Doc) -> bool {
    const APART: [&str; 2] = ["managedFields", "resourceVersion"];
    same_but(live.map(), doc.map(), &["metadata"])
        && match (live.at(&["metadata"]).and_then(Value::as_object), doc.at(&["metadata"]).and_then(Value::as_object)) {
            (Some(a), Some(b)) => same_but(a, b, &APART) && timeless(live) == timeless(doc),
            (a, b) => a == b,
        }
}

/// Whether two objects have the same members, some left out of account.
fn same_but(a: &Map<String, Value>, b: &Map<String, Value>, apart: &[&str]) -> bool {
    let counts = |(name, _): &(&String, &Value)| !apart.contains(&name.as_str());
    a.iter().filter(counts).eq(b.iter().filter(counts))
}

/// The entries of `managedFields` without their times, in a fixed order.
fn timeless(doc: &Doc) -> Vec<Value> {
    let list = doc.at(&["metadata", "managedFields"]).and_then(Value::as_array);
    let mut entries = list.cloned().unwrap_or_default();
    entries.iter_mut().filter_map(Value::as_object_mut).for_each(|entry| drop(entry.remove("time")));
    entries.sort_by_key(ToString::to_string);
    entries
}

/// 409 with every field that somebody else manages.
fn refuse(conflicts: &[Conflict]) -> ApiError {
    let text = match conflicts {
        [one] => format!("conflict with {}: {}", one.manager, one.field),
        many => {
            let mut by: std::collections::BTreeMap<&str, Vec<&str>> = std::collections::BTreeMap::new();
            many.iter().for_each(|conflict| by.entry(&conflict.manager).or_default().push(&conflict.field));
            let lines = by.iter().flat_map(|(manager, fields)| {
                std::iter::once(format!("conflicts with {manager}:"))
                    .chain(fields.iter().map(|field| format!("- {field}")))
            });
            lines.collect::<Vec<_>>().join("\n")
        }
    };
    let cause = |conflict: &Conflict| Cause {
        reason: "FieldManagerConflict".to_owned(),
        message: format!("conflict with {}", conflict.manager),
        field: conflict.field.clone(),
    };
    let plural = if conflicts.len() == 1 { "" } else { "s" };
    let message = format!("Apply failed with {} conflict{plural}: {text}", conflicts.len());
    let details = Details { causes: conflicts.iter().map(cause).collect(), ..Details::default() };
    ApiError::new(Reason::Conflict, message).with_details(details)
}
