//! Templates of a deployment's replica sets: when two are the same, and the hash that names a set.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// The label that tells the pods of a deployment's replica sets apart.
pub(crate) const HASH: &str = "pod-template-hash";

/// The characters of hashes: those of generated names (apimachinery's `SafeEncodeString`).
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// The template without what a replica set's template has more than its deployment's.
fn bare(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut bare = template.clone();
    if let Some(meta) = &mut bare.metadata {
        if let Some(labels) = &mut meta.labels {
            labels.remove(HASH);
        }
        meta.labels = meta.labels.take().filter(|labels| !labels.is_empty());
        meta.annotations = meta.annotations.take().filter(|annotations| !annotations.is_empty());
    }
    bare.metadata = bare.metadata.filter(|meta| *meta != Default::default());
    bare
}

/// Whether a replica set has this template.
pub(crate) fn is_of(set: &ReplicaSet, template: &PodTemplateSpec) -> bool {
    let own = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
    own.is_some_and(|own| bare(own) == bare(template))
}

/// A stable hash of a template (FNV-1a of its JSON), as a name part. `collisions` gives another one after a collision.
pub(crate) fn hash(template: &PodTemplateSpec, collisions: i32) -> String {
    // A template of this type always has a JSON form.
    digest(serde_json::to_vec(template).unwrap_or_default(), collisions)
}

/// A stable hash of bytes (FNV-1a), as a name part.
pub(crate) fn digest(mut bytes: Vec<u8>, collisions: i32) -> String {
    if collisions > 0 {
        bytes.extend(collisions.to_le_bytes());
    }
    let fnv = bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    fnv.to_string().bytes().map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()])).collect()
}

/// The template of the replica set of a hash.
pub(crate) fn with_hash(template: &PodTemplateSpec, hash: &str) -> PodTemplateSpec {
    let mut own = template.clone();
    let labels = own.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(HASH.to_owned(), hash.to_owned());
    own
}

/// The selector of the replica set of a hash.
pub(crate) fn selector_with_hash(selector: &LabelSelector, hash: &str) -> LabelSelector {
    let mut own = selector.clone();
    own.match_labels.get_or_insert_default().insert(HASH.to_owned(), hash.to_owned());
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_stable_and_moves_with_template_and_collisions() {
        let empty = PodTemplateSpec::default();
        let first = hash(&empty, 0);
        assert_eq!(first, hash(&empty, 0));
        assert_ne!(first, hash(&empty, 1));
        assert_ne!(first, hash(&with_hash(&empty, "x"), 0));
        assert!(first.bytes().all(|b| ALPHABET.contains(&b)));
        let set = ReplicaSet {
            spec: Some(k8s_openapi::api::apps::v1::ReplicaSetSpec {
                template: Some(with_hash(&empty, "x")),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert!(is_of(&set, &empty));
    }
}
