//! Addresses and node ports of Services, with two servers over one store.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Namespace, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::IPAddress;
use orc_api::identity::service_account::Signer;
use orc_api::{Identity, Registry, RegistryOptions};
use orc_core::env::System;
use orc_core::{ObjectKey, ResourceId};
use orc_store::backend::MemoryBackend;
use orc_store::client::{DeleteOptions, ListOptions, Scope};
use orc_store::{Api, Backend, Store};

/// 254 usable addresses and 40 ports: few enough that the servers meet.
const CIDR: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 96, 0, 0), 24);
const PORTS: (u16, u16) = (30000, 30039);

struct Server {
    registry: Arc<Registry>,
    services: Api<Service>,
}

async fn server(backend: Arc<dyn Backend>, system: &System) -> Server {
    let store = Store::open(backend, Registry::fields(), system.clone()).await.unwrap();
    let key = rcgen::KeyPair::generate().unwrap().serialize_der();
    let options =
        RegistryOptions { service_cidr: CIDR, node_ports: PORTS, signer: Arc::new(Signer::new(&key).unwrap()) };
    let registry = Registry::open(store, options, system.clone()).await.unwrap();
    let client = Arc::new(registry.client(Identity::admin(), "test"));
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some("default".to_owned());
    let made = Api::<Namespace>::all(client.clone()).create(&namespace).await;
    assert!(made.is_ok() || made.is_err_and(|error| error.is_already_exists()));
    Server { registry, services: Api::namespaced(client, "default") }
}

fn service(name: &str, node_port: bool) -> Service {
    let port = ServicePort { port: 80, ..ServicePort::default() };
    let kind = if node_port { "NodePort" } else { "ClusterIP" };
    let spec = ServiceSpec { type_: Some(kind.to_owned()), ports: Some(vec![port]), ..ServiceSpec::default() };
    let mut service = Service { spec: Some(spec), ..Service::default() };
    service.metadata.name = Some(name.to_owned());
    service
}

fn address(service: &Service) -> String {
    service.spec.as_ref().unwrap().cluster_ip.clone().unwrap()
}

fn node_port(service: &Service) -> Option<i32> {
    service.spec.as_ref()?.ports.as_ref()?.first()?.node_port
}

async fn claimed(server: &Server) -> (BTreeSet<String>, BTreeSet<String>) {
    let names = |resource: ResourceId| async {
        let listed = server.registry.store().list(&Scope::all(resource), &ListOptions::default()).await.unwrap();
        listed.items.iter().map(|stored| stored.key.name.to_string()).collect()
    };
    let addresses = names(ResourceId::new("networking.k8s.io", "ipaddresses")).await;
    (addresses, names(ResourceId::new("internal.orc", "nodeports")).await)
}

fn system() -> System {
    System::seeded(11, "2026-01-01T00:00:00Z".parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn two_servers_never_give_out_a_number_twice() {
    let (system, backend) = (system(), Arc::new(MemoryBackend::new()));
    let servers = [server(backend.clone(), &system).await, server(backend.clone(), &system).await];
    let names: Vec<String> = (0..80).map(|number| format!("s{number}")).collect();
    let creates = names.iter().enumerate().map(|(at, name)| {
        let server = &servers[at % 2];
        async move { server.services.create(&service(name, at % 4 < 2)).await }
    });
    let made: Vec<_> = join_all(creates).await.into_iter().map(Result::unwrap).collect();
    let addresses: BTreeSet<String> = made.iter().map(|service| address(service)).collect();
    let ports: BTreeSet<String> = made.iter().filter_map(|service| node_port(service)).map(|p| p.to_string()).collect();
    assert_eq!((addresses.len(), ports.len()), (80, 40), "each has numbers of its own");
    assert_eq!(claimed(&servers[0]).await, (addresses, ports.clone()));

    // The ports are used up; what was claimed for the attempt is given back.
    let full = servers[1].services.create(&service("more", true)).await.unwrap_err();
    assert!(full.to_string().contains("failed to allocate a nodePort: range is full"), "{full}");
    // A port that is freed through one server can be had through the other.
    servers[0].services.delete("s0", DeleteOptions::default()).await.unwrap();
    let again = servers[1].services.create(&service("more", true)).await.unwrap();
    assert_eq!(node_port(&again).map(|port| port.to_string()), node_port(&made[0]).map(|port| port.to_string()));

    // The claim can be seen, and says whose it is.
    let client = Arc::new(servers[0].registry.client(Identity::admin(), "test"));
    let claim = Api::<IPAddress>::all(client).get(&address(&again)).await.unwrap();
    let parent = claim.spec.parent_ref.clone();
    assert_eq!((parent.resource.as_str(), parent.name.as_str()), ("services", "more"));
}

#[tokio::test(start_paused = true)]
async fn a_taken_number_is_refused_and_a_changed_service_gives_its_numbers_back() {
    let (system, backend) = (system(), Arc::new(MemoryBackend::new()));
    let server = server(backend, &system).await;
    let made = server.services.create(&service("one", true)).await.unwrap();
    let mut same = service("two", true);
    same.spec.as_mut().unwrap().cluster_ip = Some(address(&made));
    let refused = server.services.create(&same).await.unwrap_err().to_string();
    assert!(refused.contains("provided IP is already allocated"), "{refused}");
    let mut same = service("two", true);
    same.spec.as_mut().unwrap().ports.as_mut().unwrap()[0].node_port = node_port(&made);
    let refused = server.services.create(&same).await.unwrap_err().to_string();
    assert!(refused.contains("provided port is already allocated"), "{refused}");

    let change = |service: &mut Service| service.spec.as_mut().unwrap().type_ = Some("ClusterIP".to_owned());
    server.services.modify("one", change).await.unwrap();
    let (addresses, ports) = claimed(&server).await;
    assert_eq!((addresses, ports), ([address(&made)].into(), [].into()), "the node port was given back");
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_left_behind_is_repaired() {
    let (system, backend) = (system(), Arc::new(MemoryBackend::new()));
    let one = server(backend, &system).await;
    let made = one.services.create(&service("kept", true)).await.unwrap();
    // As if the server had died between the claims and the Service: the claims are there and the Service is not.
    one.services.create(&service("lost", true)).await.unwrap();
    let key = ObjectKey::namespaced(ResourceId::new("", "services"), "default", "lost");
    let stored = one.registry.store().peek(&key).unwrap();
    let expect = orc_store::backend::Expect::At(stored.revision);
    one.registry.store().commit(&key, None, expect, None).await.unwrap();
    // And the other way round: a Service whose claim is gone.
    let claim = ObjectKey::cluster(ResourceId::new("networking.k8s.io", "ipaddresses"), address(&made));
    let stored = one.registry.store().peek(&claim).unwrap();
    let expect = orc_store::backend::Expect::At(stored.revision);
    one.registry.store().commit(&claim, None, expect, None).await.unwrap();

    one.registry.repair_claims().await.unwrap();
    let (addresses, ports) = claimed(&one).await;
    assert!(addresses.contains(&address(&made)), "the missing claim is made");
    assert_eq!((addresses.len(), ports.len()), (2, 2), "a young claim may belong to a write under way");
    tokio::time::sleep(Duration::from_secs(200)).await;
    one.registry.repair_claims().await.unwrap();
    let port = node_port(&made).unwrap().to_string();
    assert_eq!(claimed(&one).await, ([address(&made)].into(), [port].into()), "orphans are taken away");
}
