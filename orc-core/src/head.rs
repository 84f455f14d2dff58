//! What every loop wants to know of an object without decoding it.
//!
//! A [`Head`] is read in one pass over the canonical body: identity, labels, owners, deletion, and the *selectable fields*
//! that the catalogue declares for the resource. It costs about a tenth of decoding the typed object.

use std::borrow::Cow;
use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::doc::Doc;
use crate::error::ApiError;
use crate::key::{Name, Revision};
use crate::labels::Labels;
use crate::parts::FieldName;

/// One owner of an object.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerRef {
    /// Group and version, `apps/v1`.
    #[serde(deserialize_with = "shared")]
    pub api_version: Name,
    /// The owner's kind.
    #[serde(deserialize_with = "shared")]
    pub kind: Name,
    /// The owner's name.
    #[serde(deserialize_with = "shared")]
    pub name: Name,
    /// The owner's uid.
    #[serde(deserialize_with = "shared")]
    pub uid: Name,
    /// Whether the owner is the managing controller.
    pub controller: Option<bool>,
    /// Whether foreground deletion of the owner waits for this object.
    pub block_owner_deletion: Option<bool>,
}

/// The part of an object that is read without decoding it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Head {
    /// `metadata.uid`.
    pub uid: Name,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `metadata.ownerReferences`.
    pub owners: Box<[OwnerRef]>,
    /// `metadata.finalizers`.
    pub finalizers: Box<[String]>,
    /// `metadata.creationTimestamp`.
    pub created: Option<jiff::Timestamp>,
    /// `metadata.deletionTimestamp`.
    pub deletion: Option<jiff::Timestamp>,
    /// `metadata.deletionGracePeriodSeconds`.
    pub grace_seconds: Option<i64>,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// Values of the declared selectable fields that are present, by path, sorted.
    pub fields: Box<[(Name, Name)]>,
    /// Where a revision goes and where the type header ends.
    pub spans: Spans,
}

/// Offsets into a canonical body.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Spans {
    /// Offset of `"metadata"`: what stands before it is the type header.
    pub metadata: u32,
    /// Offset just behind the brace that opens the metadata.
    pub metadata_open: u32,
    /// Where `managedFields` stands in the metadata, name and one comma included: first offset and the one behind the last.
    /// Both are 0 where there is none.
    pub managed: (u32, u32),
}

/// Reads a text that other objects are likely to have as well; `null` is empty.
fn shared<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
    let text = Option::<Cow<'de, str>>::deserialize(deserializer)?;
    Ok(Name::shared(text.unwrap_or_default()))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Meta<'a> {
    #[serde(borrow)]
    managed_fields: Option<&'a RawValue>,
    uid: String,
    labels: Option<Labels>,
    owner_references: Option<Vec<OwnerRef>>,
    finalizers: Option<Vec<String>>,
    creation_timestamp: Option<jiff::Timestamp>,
    deletion_timestamp: Option<jiff::Timestamp>,
    deletion_grace_period_seconds: Option<i64>,
    generation: Option<i64>,
}

impl Head {
    /// Reads the head of a canonical body (see [`Doc::to_body`]). `paths` are the selectable fields, dotted.
    ///
    /// # Errors
    /// `InternalError` when the body is not canonical or its metadata does not decode.
    pub fn parse(body: &[u8], paths: &[impl AsRef<str>]) -> Result<Self, ApiError> {
        let mut spans = Spans::find(body).ok_or_else(|| ApiError::internal("a stored object has no metadata"))?;
        let mut fields = Vec::new();
        let mut reader = serde_json::Deserializer::from_slice(body);
        let wanted: Vec<(&str, &str)> = paths.iter().map(|p| (p.as_ref(), p.as_ref())).collect();
        let meta = RootSeed { wanted: &wanted, found: &mut fields }
            .deserialize(&mut reader)
            .map_err(|e| ApiError::bad_request(format!("the object's metadata does not decode: {e}")))?;
        fields.sort();
        spans.managed = meta.managed_fields.and_then(|value| around(body, value)).unwrap_or_default();
        Ok(Self {
            uid: meta.uid.into(),
            labels: meta.labels.unwrap_or_default(),
            owners: meta.owner_references.unwrap_or_default().into(),
            finalizers: meta.finalizers.unwrap_or_default().into(),
            created: meta.creation_timestamp,
            deletion: meta.deletion_timestamp,
            grace_seconds: meta.deletion_grace_period_seconds,
            generation: meta.generation,
            fields: fields.into(),
            spans,
        })
    }

    /// Reads the head of a document by way of its body.
    ///
    /// # Errors
    /// As [`Head::parse`].
    pub fn of(doc: &Doc, paths: &[impl AsRef<str>]) -> Result<Self, ApiError> {
        Self::parse(&doc.to_body(), paths)
    }

    /// The value of a selectable field as selectors compare it: an absent text is `""`, an absent flag `false`.
    pub fn field(&self, path: &str) -> &str {
        match self.fields.binary_search_by(|(name, _)| name.as_str().cmp(path)) {
            Ok(at) => self.fields[at].1.as_str(),
            Err(_) => absent(path),
        }
    }

    /// The owner that manages the object, if one does.
    pub fn controller(&self) -> Option<&OwnerRef> {
        self.owners.iter().find(|owner| owner.controller == Some(true))
    }

    /// Whether deletion was asked for.
    pub fn is_terminating(&self) -> bool {
        self.deletion.is_some()
    }

    /// The body without `metadata.managedFields`: what a loop reads of an object. About a third of a pod is who set what, and
    /// decoding it costs more than its share.
    pub fn lean<'a>(&self, body: &'a [u8]) -> Cow<'a, [u8]> {
        match self.spans.managed {
            (_, 0) => Cow::Borrowed(body),
            (from, to) => Cow::Owned([&body[..from as usize], &body[to as usize..]].concat()),
        }
    }

    /// Splices the revision into a body and, if asked, cuts the type header off (items of typed lists have none).
    pub fn frame(&self, body: &Bytes, revision: Revision, with_gvk: bool) -> [Bytes; 3] {
        let (start, open) = (self.spans.metadata as usize, self.spans.metadata_open as usize);
        let mut middle = BytesMut::with_capacity(48);
        if !with_gvk {
            middle.put_slice(b"{");
            middle.put_slice(&body[start..open]);
        }
        middle.put_slice(b"\"resourceVersion\":\"");
        middle.put_slice(revision.0.to_string().as_bytes());
        middle.put_slice(if body.get(open) == Some(&b'}') { b"\"" } else { b"\"," });
        let lead = if with_gvk { body.slice(..open) } else { Bytes::new() };
        [lead, middle.freeze(), body.slice(open..)]
    }
}

/// What a field selector compares with when the field is not there (Go's zero values, as upstream's field sets print them).
fn absent(path: &str) -> &'static str {
    match path {
        "spec.unschedulable" | "spec.hostNetwork" => "false",
        "status.replicas" | "status.successful" => "0",
        _ => "",
    }
}

impl Spans {
    fn find(body: &[u8]) -> Option<Self> {
        const MARK: &[u8] = b"\"metadata\":{";
        // Only `apiVersion` and `kind` stand before it, and a quote inside their values is escaped.
        let at = body.windows(MARK.len()).position(|window| window == MARK)?;
        let (metadata, metadata_open) = (u32::try_from(at).ok()?, u32::try_from(at + MARK.len()).ok()?);
        Some(Self { metadata, metadata_open, managed: (0, 0) })
    }
}

/// The span of a field by its value, which lies in the body: with its name, and the comma that goes with it.
fn around(body: &[u8], value: &RawValue) -> Option<(u32, u32)> {
    const NAME: &[u8] = b"\"managedFields\":";
    let at = (value.get().as_ptr() as usize).checked_sub(body.as_ptr() as usize)?;
    let (mut from, mut to) = (at.checked_sub(NAME.len())?, at + value.get().len());
    if body.get(from..at)? != NAME {
        return None;
    }
    match (body.get(to)?, body.get(from.checked_sub(1)?)?) {
        (b',', _) => to += 1,
        (_, b',') => from -= 1,
        _ => {}
    }
    Some((u32::try_from(from).ok()?, u32::try_from(to).ok()?))
}

impl Default for Name {
    fn default() -> Self {
        Self::new("")
    }
}

type Wanted<'a> = [(&'a str, &'a str)];

/// Reads metadata in full and of the rest only the wanted fields.
struct RootSeed<'a> {
    wanted: &'a Wanted<'a>,
    found: &'a mut Vec<(Name, Name)>,
}

impl<'de> DeserializeSeed<'de> for RootSeed<'_> {
    type Value = Meta<'de>;
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Meta<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RootSeed<'_> {
    type Value = Meta<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Meta<'de>, A::Error> {
        let mut meta = Meta::default();
        while let Some(FieldName(name)) = access.next_key::<FieldName<'de>>()? {
            if name == "metadata" {
                meta = access.next_value()?;
                continue;
            }
            let below = below(self.wanted, &name);
            if below.is_empty() {
                access.next_value::<IgnoredAny>()?;
            } else {
                access.next_value_seed(FieldSeed { wanted: &below, found: self.found })?;
            }
        }
        Ok(meta)
    }
}

/// The wanted paths that lead through the field `name`, with that step taken off.
fn below<'a>(wanted: &Wanted<'a>, name: &str) -> Vec<(&'a str, &'a str)> {
    wanted
        .iter()
        .filter_map(|(full, rest)| {
            let rest = rest.strip_prefix(name)?;
            if rest.is_empty() { Some((*full, rest)) } else { Some((*full, rest.strip_prefix('.')?)) }
        })
        .collect()
}

struct FieldSeed<'a> {
    wanted: &'a Wanted<'a>,
    found: &'a mut Vec<(Name, Name)>,
}

impl FieldSeed<'_> {
    fn take<E>(self, text: &str) -> Result<(), E> {
        if let Some((full, _)) = self.wanted.iter().find(|(_, rest)| rest.is_empty()) {
            self.found.push((Name::shared(full), Name::shared(text)));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = ();
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FieldSeed<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.take(if value { "true" } else { "false" })
    }
    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.take(&value.to_string())
    }
    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.take(&value.to_string())
    }
    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.take(&value.to_string())
    }
    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.take(value)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        while let Some(FieldName(name)) = access.next_key::<FieldName<'de>>()? {
            let below = below(self.wanted, &name);
            access.next_value_seed(FieldSeed { wanted: &below, found: self.found })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod() -> Doc {
        Doc::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "namespace": "d", "uid": "u-1", "labels": {"app": "web"}, "generation": 2,
                "creationTimestamp": "2026-01-02T03:04:05Z", "finalizers": ["x/y"],
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u-0", "controller": true}]},
            "spec": {"nodeName": "n1", "hostNetwork": true, "containers": [{"name": "spec.nodeName"}]},
            "status": {"phase": "Running"},
        }))
        .unwrap()
    }

    #[test]
    fn one_pass_reads_metadata_and_selectable_fields() {
        let head =
            Head::of(&pod(), &["spec.nodeName", "status.phase", "spec.hostNetwork", "spec.schedulerName"]).unwrap();
        assert_eq!(head.uid, "u-1");
        assert_eq!(head.controller().unwrap().name, "r");
        assert_eq!(head.field("spec.nodeName"), "n1");
        assert_eq!(head.field("status.phase"), "Running");
        assert_eq!(head.field("spec.hostNetwork"), "true");
        assert_eq!(head.field("spec.schedulerName"), "");
        assert_eq!(head.generation, Some(2));
    }

    #[test]
    fn lean_leaves_out_who_manages_what_and_nothing_else() {
        let managed = json!([{"manager": "a,}]", "fieldsV1": {"f:metadata": {"f:managedFields": {}}}}]);
        let elsewhere = json!({"managedFields": [1], "metadata": {"managedFields": [2]}});
        let metadatas = [
            json!({"managedFields": managed, "name": "a"}),
            json!({"annotations": {"managedFields": "\"managedFields\":["}, "managedFields": managed, "name": "a"}),
            json!({"labels": {"managedFields": "x"}, "managedFields": managed}),
            json!({"managedFields": managed}),
            json!({"managedFields": []}),
            json!({"name": "a"}),
        ];
        for metadata in metadatas {
            let mut doc = Doc::from_value(json!({"kind": "X", "metadata": metadata, "spec": elsewhere})).unwrap();
            let body = doc.to_body();
            let head = Head::parse(&body, &[] as &[&str]).unwrap();
            doc.remove(&["metadata", "managedFields"]);
            let lean: serde_json::Value = serde_json::from_slice(&head.lean(&body)).unwrap();
            assert_eq!(&lean, doc.value(), "{metadata}");
        }
    }

    #[test]
    fn frames_carry_the_revision_and_may_drop_the_type() {
        let body = pod().to_body();
        let head = Head::parse(&body, &[] as &[&str]).unwrap();
        let text = |with_gvk| head.frame(&body, Revision(7), with_gvk).concat();
        let full: serde_json::Value = serde_json::from_slice(&text(true)).unwrap();
        assert_eq!((full["metadata"]["resourceVersion"].as_str(), full["kind"].as_str()), (Some("7"), Some("Pod")));
        let bare: serde_json::Value = serde_json::from_slice(&text(false)).unwrap();
        assert_eq!((bare["metadata"]["name"].as_str(), bare.get("kind")), (Some("a"), None));
    }
}
