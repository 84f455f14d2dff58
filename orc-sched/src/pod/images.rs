//! Names of container images, written in full.

use k8s_openapi::api::core::v1::PodSpec;
use orc_core::Name;

/// The images of a pod's containers and init containers, one entry a container.
pub(super) fn of(spec: &PodSpec) -> Vec<Name> {
    let all = spec.init_containers.iter().flatten().chain(&spec.containers);
    all.filter_map(|container| container.image.as_deref()).map(|image| Name::shared(normalized(image))).collect()
}

/// An image name with `:latest` where it has neither tag nor digest.
pub(crate) fn normalized(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || last.contains('@') { image.to_owned() } else { format!("{image}:latest") }
}

#[cfg(test)]
mod tests {
    use super::normalized;

    #[test]
    fn a_tag_is_added_where_there_is_none() {
        assert_eq!(normalized("host:5000/web"), "host:5000/web:latest");
        assert_eq!(normalized("web:1"), "web:1");
        assert_eq!(normalized("a/web@sha256:ab"), "a/web@sha256:ab");
    }
}
