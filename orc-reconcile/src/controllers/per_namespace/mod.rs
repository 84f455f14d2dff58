//! Objects that every namespace has: its `default` service account, and the certificate authority's certificate.
//!
//! Follow `serviceaccounts_controller.go` and `rootcacertpublisher/publisher.go` of upstream. Both work on a namespace as
//! key and look at two objects: the namespace and the one that it should have.

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use orc_core::labels::FieldSelector;
use orc_core::{Object, ObjectKey, ResourceId};
use orc_store::cache::{Interest, Typed};
use orc_store::client::Selection;
use orc_store::{Api, Env, Stored};

use super::support::{Memory, PassError, filled, meta};
use crate::{CacheSource, Controller, Next, Reconciler, service};

/// The config map that holds the certificate authority's certificate.
const ROOT_CA: &str = "kube-root-ca.crt";
const ROOT_CA_DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
    endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of \
    Kubernetes clusters.";

/// The loop that gives every namespace a `default` service account.
pub fn service_account(env: Env) -> Controller<ObjectKey> {
    let wanted = |namespace: &str| ServiceAccount { metadata: named(namespace, "default"), ..Default::default() };
    let accounts = env.caches.typed::<ServiceAccount>();
    controller(env, "service-account-controller", "default", accounts, wanted, |_, _| None)
}

/// The loop that puts the certificate authority's certificate (PEM) into every namespace.
pub fn root_ca(env: Env, certificate: String) -> Controller<ObjectKey> {
    let fields = FieldSelector::parse(&format!("metadata.name={ROOT_CA}")).unwrap_or_default();
    let interest = Interest::of::<ConfigMap>().selecting(Selection { fields, ..Selection::default() });
    let maps = env.caches.cache(interest).start().typed::<ConfigMap>();
    let wanted = move |namespace: &str| {
        let mut map = ConfigMap { metadata: named(namespace, ROOT_CA), ..Default::default() };
        map.data = Some([("ca.crt".to_owned(), certificate.clone())].into());
        map.metadata.annotations =
            Some([("kubernetes.io/description".to_owned(), ROOT_CA_DESCRIPTION.to_owned())].into());
        map
    };
    controller(env, "root-ca-cert-publisher", ROOT_CA, maps, wanted, corrected)
}

fn named(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), namespace: Some(namespace.to_owned()), ..Default::default() }
}

/// The map with the wanted content, `None` when it has it.
fn corrected(found: &ConfigMap, wanted: &ConfigMap) -> Option<ConfigMap> {
    if found.data == wanted.data {
        return None;
    }
    let mut next = ConfigMap { data: wanted.data.clone(), ..found.clone() };
    let described = wanted.metadata.annotations.clone().unwrap_or_default();
    next.metadata.annotations.get_or_insert_default().extend(described);
    Some(next)
}

/// What a namespace needs.
#[derive(Clone, PartialEq, Debug)]
enum Write<K> {
    Create(K),
    Replace(K),
}

/// A namespace that is not ending needs the object, with the right content.
fn plan<K: Clone>(
    namespace: Option<&Namespace>,
    found: Option<&K>,
    wanted: impl FnOnce() -> K,
    corrected: impl FnOnce(&K, &K) -> Option<K>,
) -> Option<Write<K>> {
    let ending = namespace.is_none_or(|namespace| {
        let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
        meta::is_terminating(&namespace.metadata) || phase == Some("Terminating")
    });
    match found {
        _ if ending => None,
        None => Some(Write::Create(wanted())),
        Some(found) => corrected(found, &wanted()).map(Write::Replace),
    }
}

fn controller<K, W>(
    env: Env,
    name: &str,
    object: &'static str,
    objects: Typed<K>,
    wanted: W,
    corrected: fn(&K, &K) -> Option<K>,
) -> Controller<ObjectKey>
where
    K: Object,
    K::DynamicType: Default,
    W: Fn(&str) -> K + Send + Sync + 'static,
{
    let namespaces = env.caches.typed::<Namespace>();
    let home = move |stored: &Arc<Stored>| {
        let name = stored.key.namespace.clone().filter(|_| stored.key.name == object);
        name.map(|name| ObjectKey::cluster(ResourceId::of::<Namespace>(), name)).into_iter().collect()
    };
    let sources = (namespaces.cache().clone(), objects.cache().clone());
    let reconciler =
        Each { env: env.clone(), object, namespaces, objects, wanted, corrected, memory: Memory::default() };
    Controller::new(name, &env, service(reconciler))
        .concurrency(2)
        .source(CacheSource::keys(sources.0))
        .source(CacheSource::new(sources.1, home))
}

struct Each<K: Object, W> {
    env: Env,
    object: &'static str,
    namespaces: Typed<Namespace>,
    objects: Typed<K>,
    wanted: W,
    corrected: fn(&K, &K) -> Option<K>,
    memory: Memory,
}

#[async_trait]
impl<K, W> Reconciler for Each<K, W>
where
    K: Object,
    K::DynamicType: Default,
    W: Fn(&str) -> K + Send + Sync + 'static,
{
    type Error = PassError;

    async fn reconcile(&self, key: ObjectKey) -> Result<Next, PassError> {
        filled(&[self.namespaces.cache(), self.objects.cache()]).await;
        self.memory.settle(&key).await?;
        let namespace = self.namespaces.get(&key);
        if namespace.is_none() {
            self.memory.forget(&key);
        }
        let api: Api<K> = Api::namespaced(self.env.client.clone(), key.name.clone());
        let found = self.objects.get(&api.key(self.object));
        let plan = plan(namespace.as_deref(), found.as_deref(), || (self.wanted)(&key.name), self.corrected);
        let written = match plan {
            None => return Ok(Next::Done),
            Some(Write::Create(object)) => api.create(&object).await,
            Some(Write::Replace(object)) => api.replace(&object).await,
        };
        match written {
            Ok(written) => self.memory.wrote(&key, self.objects.cache(), written.meta().resource_version.as_deref()),
            // Somebody else made it, or the namespace is ending: an event will tell.
            Err(error) if error.is_already_exists() || error.is_not_found() || meta::namespace_is_ending(&error) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Next::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> ConfigMap {
        ConfigMap { data: Some([("ca.crt".to_owned(), text.to_owned())].into()), ..Default::default() }
    }

    #[test]
    fn a_living_namespace_gets_the_object_and_its_content() {
        let mut namespace = Namespace::default();
        let plan =
            |namespace: &Namespace, found: Option<&ConfigMap>| plan(Some(namespace), found, || map("a"), corrected);
        assert_eq!(plan(&namespace, None), Some(Write::Create(map("a"))));
        assert!(matches!(plan(&namespace, Some(&map("b"))), Some(Write::Replace(next)) if next.data == map("a").data));
        assert_eq!(plan(&namespace, Some(&map("a"))), None);
        namespace.metadata.deletion_timestamp = Some(meta::time(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(plan(&namespace, None), None, "an ending namespace gets nothing");
    }
}
