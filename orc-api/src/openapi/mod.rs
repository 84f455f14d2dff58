//! OpenAPI documents, made from the schema table and the catalogue.
//!
//! What kubectl, `kubectl explain` and client generators read: a schema for each message with its merge marks, and for each
//! path the operations with the kind they are about. Texts, required fields and the like come from `data/openapi.zz`.
//! Documents are made when asked for and not kept: they are megabytes, and clients keep them by their hashes.

mod below;
mod custom;
mod document;
mod kinds;
mod operation;
mod paths;
mod place;
mod proto;
mod schema;
mod texts;

use bytes::Bytes;
use orc_core::catalogue::{Catalogue, Served};
use serde_json::{Value, json};

pub use custom::{Find, Published};

/// `/openapi/v3`: the documents there are: one a group and version, one a group, and those of paths beside them.
pub fn index(catalogue: &Catalogue, find: Find<'_>) -> Value {
    let mut paths = serde_json::Map::new();
    let mut add = |path: String, hash: &str| {
        let url = format!("/openapi/v3/{path}?hash={hash}");
        paths.insert(path, json!({"serverRelativeURL": url}));
    };
    let groups = catalogue.groups();
    for group in groups.iter().filter(|group| !group.name.is_empty()) {
        add(format!("apis/{}", group.name), &hash(0));
    }
    for group in &groups {
        for version in &group.versions {
            let path = document::root(&group.name, version)[1..].to_owned();
            let mark = hash(document::fingerprint(&catalogue.in_version(&group.name, version), find));
            add(path, &mark);
        }
    }
    document::ROOTS.iter().for_each(|root| add((*root).to_owned(), &hash(0)));
    json!({"paths": paths})
}

/// A document's mark as the index and its `ETag` have it. What does not change within a release has that of zero.
fn hash(fingerprint: u64) -> String {
    format!("{:016X}", fingerprint ^ document::fingerprint(&[], &|_| None))
}

/// A document of OpenAPI 3, not made yet.
pub struct Document {
    /// The group, the version and the resources, or the path.
    of: Result<(String, String, Vec<Served>), String>,
    /// Changes when the document does; what `?hash=` and `ETag` hold.
    pub hash: String,
}

impl Document {
    /// Makes it: JSON, up to some megabytes.
    pub fn render(&self, find: Find<'_>) -> Bytes {
        let document = match &self.of {
            Ok((group, version, served)) => document::v3(group, version, served, find),
            Err(path) => document::v3_root(path),
        };
        Bytes::from(document.to_string())
    }
}

/// `/openapi/v3/<path>`: a document by its path in the index (`api/v1`, `apis/apps/v1`, `apis/apps`, `version`).
pub fn v3(catalogue: &Catalogue, find: Find<'_>, path: &str) -> Option<Document> {
    let group_version = match path.split('/').collect::<Vec<_>>().as_slice() {
        ["api", version] => Some((String::new(), (*version).to_owned())),
        ["apis", group, version] => Some(((*group).to_owned(), (*version).to_owned())),
        _ => None,
    };
    if let Some((group, version)) = group_version {
        let served = catalogue.in_version(&group, &version);
        let hash = hash(document::fingerprint(&served, find));
        return (!served.is_empty()).then_some(Document { of: Ok((group, version, served)), hash });
    }
    let group = path.strip_prefix("apis/").is_some_and(|group| catalogue.group(group).is_some());
    let known = group || document::ROOTS.contains(&path);
    known.then(|| Document { of: Err(path.to_owned()), hash: hash(0) })
}

/// `/openapi/v2`: everything in one Swagger document.
pub fn v2(catalogue: &Catalogue, find: Find<'_>) -> Value {
    document::v2(catalogue, find)
}

/// A Swagger document in protobuf.
pub fn v2_proto(document: &Value) -> Bytes {
    Bytes::from(proto::encode(document))
}
