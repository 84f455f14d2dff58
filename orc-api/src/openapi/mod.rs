//! OpenAPI documents, made from the schema table and the catalogue.
//!
//! What kubectl, `kubectl explain` and client generators read: a schema for each message with its merge marks, and for each
//! path the operations with the kind they are about. Descriptions are not carried.

mod custom;
mod document;
mod proto;
mod schema;

use bytes::Bytes;
use orc_core::catalogue::Catalogue;
use serde_json::{Value, json};

pub use custom::{Find, Published};

/// `/openapi/v3`: the documents there are, one a group and version.
pub fn index(catalogue: &Catalogue, find: Find<'_>) -> Value {
    let mut paths = serde_json::Map::new();
    for group in catalogue.groups() {
        for version in &group.versions {
            let path =
                if group.name.is_empty() { format!("api/{version}") } else { format!("apis/{}/{version}", group.name) };
            let hash = format!("{:016X}", document::fingerprint(&catalogue.in_version(&group.name, version), find));
            paths.insert(path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}));
        }
    }
    json!({"paths": paths})
}

/// `/openapi/v3/<group version>`: the document of one group and version (`api/v1`, `apis/apps/v1`).
pub fn v3(catalogue: &Catalogue, find: Find<'_>, path: &str) -> Option<Bytes> {
    let (group, version) = match path.split('/').collect::<Vec<_>>().as_slice() {
        ["api", version] => (String::new(), (*version).to_owned()),
        ["apis", group, version] => ((*group).to_owned(), (*version).to_owned()),
        _ => return None,
    };
    let served = catalogue.in_version(&group, &version);
    (!served.is_empty()).then(|| Bytes::from(document::v3(&group, &version, &served, find).to_string()))
}

/// `/openapi/v2`: everything in one Swagger document.
pub fn v2(catalogue: &Catalogue, find: Find<'_>) -> Bytes {
    Bytes::from(document::v2(catalogue, find).to_string())
}

/// `/openapi/v2` in protobuf.
pub fn v2_proto(catalogue: &Catalogue, find: Find<'_>) -> Bytes {
    Bytes::from(proto::encode(&document::v2(catalogue, find)))
}
