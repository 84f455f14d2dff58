//! Events about Services that cannot be routed: who made the Service does not read this process' log.

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use orc_store::{Api, Env};

/// As kube-proxy calls itself in events.
const COMPONENT: &str = "kube-proxy";
const REASON: &str = "FailedToRoute";
/// The longest message that the API takes.
const MAX_MESSAGE: usize = 1024;

/// Writes a warning about a Service. An event is a hint: one that cannot be written is told of in the log.
pub(crate) async fn warn(env: &Env, service: &Service, message: &str) {
    let namespace = service.metadata.namespace.clone().unwrap_or_default();
    let events: Api<Event> = Api::namespaced(env.client.clone(), namespace);
    if let Err(error) = events.create(&event(env, service, message)).await {
        tracing::debug!(%error, message, "an event about a service was not written");
    }
}

fn event(env: &Env, service: &Service, message: &str) -> Event {
    let meta = &service.metadata;
    let name = meta.name.clone().unwrap_or_default();
    let now = env.clock.now();
    let about = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Service".to_owned()),
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        ..Default::default()
    };
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{:016x}", now.as_nanosecond() as u64 ^ (env.rng.next() >> 44))),
            namespace: meta.namespace.clone(),
            ..Default::default()
        },
        involved_object: about,
        reason: Some(REASON.to_owned()),
        message: Some(cut(message)),
        type_: Some("Warning".to_owned()),
        count: Some(1),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        source: Some(EventSource { component: Some(COMPONENT.to_owned()), ..Default::default() }),
        reporting_component: Some(COMPONENT.to_owned()),
        ..Default::default()
    }
}

fn cut(message: &str) -> String {
    let fits = |(at, one): &(usize, char)| at + one.len_utf8() <= MAX_MESSAGE;
    message.char_indices().take_while(fits).map(|(_, one)| one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let cut = cut(&"é".repeat(1000));
        assert_eq!((cut.len(), cut.chars().count()), (MAX_MESSAGE, MAX_MESSAGE / 2));
        assert_eq!(super::cut(&format!("a{}", "é".repeat(1000))).len(), MAX_MESSAGE - 1);
    }
}
