//! The endpoints of the service `kubernetes` in `default`: where the API itself is to be found.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort as Port, EndpointSubset, Endpoints};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use orc_core::{ApiError, Object};
use orc_store::{Api, Env};

const NAMESPACE: &str = "default";
const NAME: &str = "kubernetes";

/// Brings `Endpoints` and `EndpointSlice` `kubernetes` up to date with the address and port under which the API is served.
/// For one server: call it at the start, and now and then to repair what others changed. Writes nothing when they are right.
///
/// # Errors
/// The client's; the namespace `default` must be there.
pub async fn kubernetes_endpoints(env: &Env, address: IpAddr, port: u16) -> Result<(), ApiError> {
    let endpoints: Api<Endpoints> = Api::namespaced(env.client.clone(), NAMESPACE);
    let wanted = legacy(address, port);
    keep(&endpoints, &wanted, |found| {
        (found.subsets != wanted.subsets).then(|| Endpoints { subsets: wanted.subsets.clone(), ..found.clone() })
    })
    .await?;
    let slices: Api<EndpointSlice> = Api::namespaced(env.client.clone(), NAMESPACE);
    let wanted = slice(address, port);
    keep(&slices, &wanted, |found| {
        let same = found.endpoints == wanted.endpoints && found.ports == wanted.ports;
        (!same).then(|| EndpointSlice {
            endpoints: wanted.endpoints.clone(),
            ports: wanted.ports.clone(),
            ..found.clone()
        })
    })
    .await
}

async fn keep<K: Object>(api: &Api<K>, wanted: &K, corrected: impl Fn(&K) -> Option<K>) -> Result<(), ApiError> {
    match api.get_opt(NAME).await? {
        None => match api.create(wanted).await {
            Err(error) if !error.is_already_exists() => Err(error),
            _ => Ok(()),
        },
        Some(found) => match corrected(&found) {
            None => Ok(()),
            Some(next) => api.replace(&next).await.map(drop),
        },
    }
}

fn metadata(service_label: bool) -> ObjectMeta {
    let mut labels = [("endpointslice.kubernetes.io/skip-mirror".to_owned(), "true".to_owned())];
    if service_label {
        labels = [(super::slices::SERVICE.to_owned(), NAME.to_owned())];
    }
    ObjectMeta {
        name: Some(NAME.to_owned()),
        namespace: Some(NAMESPACE.to_owned()),
        labels: Some(labels.into()),
        ..Default::default()
    }
}

fn legacy(address: IpAddr, port: u16) -> Endpoints {
    let port = Port {
        name: Some("https".to_owned()),
        port: i32::from(port),
        protocol: Some("TCP".to_owned()),
        ..Default::default()
    };
    let subset = EndpointSubset {
        addresses: Some(vec![EndpointAddress { ip: address.to_string(), ..Default::default() }]),
        ports: Some(vec![port]),
        ..Default::default()
    };
    Endpoints { metadata: metadata(false), subsets: Some(vec![subset]) }
}

fn slice(address: IpAddr, port: u16) -> EndpointSlice {
    let endpoint = Endpoint {
        addresses: vec![address.to_string()],
        conditions: Some(EndpointConditions { ready: Some(true), ..Default::default() }),
        ..Default::default()
    };
    let port = EndpointPort {
        name: Some("https".to_owned()),
        port: Some(i32::from(port)),
        protocol: Some("TCP".to_owned()),
        ..Default::default()
    };
    EndpointSlice {
        metadata: metadata(true),
        address_type: if address.is_ipv6() { "IPv6" } else { "IPv4" }.to_owned(),
        endpoints: Some(vec![endpoint]),
        ports: Some(vec![port]),
    }
}
