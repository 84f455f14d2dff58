//! The endpoints of the service `kubernetes` in `default`: where the API itself is to be found.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort as Port, EndpointSubset, Endpoints};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use orc_core::labels::Selector;
use orc_core::{ApiError, Object};
use orc_store::client::{DeleteOptions, ListOptions, Selection};
use orc_store::{Api, Env};

const NAMESPACE: &str = "default";
const NAME: &str = "kubernetes";

/// Brings `Endpoints` and `EndpointSlice` `kubernetes` up to date with the addresses and ports under which the API is served.
/// Call it at the start, and now and then to repair what others changed. Writes nothing when they are right. Servers with
/// another port than the first get a slice of their own for it, since a slice has one set of ports.
///
/// # Errors
/// The client's; the namespace `default` must be there.
pub async fn kubernetes_endpoints(env: &Env, servers: &BTreeSet<(IpAddr, u16)>) -> Result<(), ApiError> {
    let mut by_port: BTreeMap<u16, Vec<IpAddr>> = BTreeMap::new();
    for (address, port) in servers {
        by_port.entry(*port).or_default().push(*address);
    }
    let endpoints: Api<Endpoints> = Api::namespaced(env.client.clone(), NAMESPACE);
    let wanted = legacy(&by_port);
    keep(&endpoints, &wanted, |found| {
        (found.subsets != wanted.subsets).then(|| Endpoints { subsets: wanted.subsets.clone(), ..found.clone() })
    })
    .await?;
    let slices: Api<EndpointSlice> = Api::namespaced(env.client.clone(), NAMESPACE);
    let names: Vec<String> = by_port.keys().enumerate().map(|(at, port)| slice_name(at, *port)).collect();
    for (name, (port, addresses)) in names.iter().zip(&by_port) {
        let wanted = slice(name, addresses, *port);
        keep(&slices, &wanted, |found| {
            let same = found.endpoints == wanted.endpoints && found.ports == wanted.ports;
            (!same).then(|| EndpointSlice {
                endpoints: wanted.endpoints.clone(),
                ports: wanted.ports.clone(),
                ..found.clone()
            })
        })
        .await?;
    }
    remove_others(&slices, &names).await
}

fn slice_name(at: usize, port: u16) -> String {
    if at == 0 { NAME.to_owned() } else { format!("{NAME}-{port}") }
}

/// Slices of ports under which nobody serves any more.
async fn remove_others(slices: &Api<EndpointSlice>, names: &[String]) -> Result<(), ApiError> {
    let labels = Selector::parse(&format!("{}={NAME}", super::slices::SERVICE)).map_err(ApiError::internal)?;
    let select = Selection { labels, ..Selection::default() };
    for found in slices.list(&ListOptions { select, ..ListOptions::default() }).await?.items {
        let name = found.metadata.name.as_deref().unwrap_or_default();
        // Slices that the mirroring of a user's own Endpoints made have other names.
        if name.starts_with("kubernetes") && !names.iter().any(|kept| kept == name) {
            match slices.delete(name, DeleteOptions::default()).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

async fn keep<K: Object>(api: &Api<K>, wanted: &K, corrected: impl Fn(&K) -> Option<K>) -> Result<(), ApiError> {
    match api.get_opt(wanted.meta().name.as_deref().unwrap_or_default()).await? {
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

fn metadata(name: &str, label: (&str, &str)) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(NAMESPACE.to_owned()),
        labels: Some([(label.0.to_owned(), label.1.to_owned())].into()),
        ..Default::default()
    }
}

fn legacy(by_port: &BTreeMap<u16, Vec<IpAddr>>) -> Endpoints {
    let subset = |(port, addresses): (&u16, &Vec<IpAddr>)| {
        let port = Port {
            name: Some("https".to_owned()),
            port: i32::from(*port),
            protocol: Some("TCP".to_owned()),
            ..Default::default()
        };
        let address = |ip: &IpAddr| EndpointAddress { ip: ip.to_string(), ..Default::default() };
        EndpointSubset {
            addresses: Some(addresses.iter().map(address).collect()),
            ports: Some(vec![port]),
            ..Default::default()
        }
    };
    let label = ("endpointslice.kubernetes.io/skip-mirror", "true");
    Endpoints { metadata: metadata(NAME, label), subsets: Some(by_port.iter().map(subset).collect()) }
}

fn slice(name: &str, addresses: &[IpAddr], port: u16) -> EndpointSlice {
    let endpoint = |address: &IpAddr| Endpoint {
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
    let v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    EndpointSlice {
        metadata: metadata(name, (super::slices::SERVICE, NAME)),
        address_type: if v6 { "IPv6" } else { "IPv4" }.to_owned(),
        endpoints: Some(addresses.iter().map(endpoint).collect()),
        ports: Some(vec![port]),
    }
}
