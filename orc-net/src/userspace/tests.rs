use std::net::UdpSocket as StdUdp;
use std::time::Duration;

use orc_core::{Name, ResourceId};
use orc_reconcile::Classify as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::*;
use crate::routes::Backend;

struct Here;

#[async_trait]
impl Listen for Here {
    async fn listen_on_host(&self, address: SocketAddr) -> io::Result<std::net::TcpListener> {
        std::net::TcpListener::bind(address)
    }

    async fn bind_on_host(&self, address: SocketAddr) -> io::Result<StdUdp> {
        StdUdp::bind(address)
    }
}

fn plane(node_address: Ipv4Addr) -> Userspace {
    Userspace::new(UserspaceConfig {
        host: Arc::new(Here),
        node_address,
        cluster_addresses: false,
        served: Vec::new(),
        nodes: Vec::new(),
        clock: Clock::wall(),
        spawn: Spawner::new(),
    })
}

fn key() -> ObjectKey {
    ObjectKey::namespaced(ResourceId::new("", "services"), "d", Name::from("web"))
}

fn backend(address: SocketAddr) -> Backend {
    Backend { address, node: None, draining: false }
}

/// A Service with one node port.
fn routes(protocol: Protocol, node_port: u16, endpoints: &[SocketAddr]) -> ServiceRoutes {
    let port = PortRoute {
        name: String::new(),
        protocol,
        cluster: Vec::new(),
        external: Vec::new(),
        node_port: Some(node_port),
        endpoints: endpoints.iter().map(|address| backend(*address)).collect(),
    };
    ServiceRoutes { ports: vec![port], ..Default::default() }
}

/// A server that says its name and closes.
async fn server(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(name.as_bytes()).await;
        }
    });
    address
}

/// A server that sends back what it gets.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

/// A server that accepts and resets at once, as a socket does that closes with connections in its queue.
async fn resetting() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_zero_linger().unwrap();
        }
    });
    address
}

/// A server of datagrams that puts its name before what it gets.
async fn answering(name: &'static str) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let answer = [name.as_bytes(), &buffer[..length]].concat();
            let _ = socket.send_to(&answer, from).await;
        }
    });
    address
}

async fn ask(address: SocketAddr) -> String {
    let mut text = String::new();
    TcpStream::connect(address).await.unwrap().read_to_string(&mut text).await.unwrap();
    text
}

/// A client of datagrams; being connected, it takes answers from that address alone.
async fn client(to: SocketAddr) -> UdpSocket {
    let client = UdpSocket::bind("0.0.0.0:0").await.unwrap();
    client.connect(to).await.unwrap();
    client
}

async fn told(client: &UdpSocket, text: &str) -> Option<String> {
    client.send(text.as_bytes()).await.unwrap();
    let mut buffer = [0; 2048];
    let length = tokio::time::timeout(Duration::from_secs(5), client.recv(&mut buffer)).await.ok()?.ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn connections_take_turns_pass_over_the_dead_and_follow_changes() {
    let plane = plane(Ipv4Addr::LOCALHOST);
    let (a, b) = (server("a").await, server("b").await);
    let dead: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let node_port = free_port();
    let routes = |endpoints: &[SocketAddr]| routes(Protocol::Tcp, node_port, endpoints);
    let at: SocketAddr = ([127, 0, 0, 1], node_port).into();
    plane.apply(&key(), Some(&routes(&[a, dead, b]))).await.unwrap();
    let mut said = Vec::new();
    for _ in 0..6 {
        said.push(ask(at).await);
    }
    assert!(said.contains(&"a".to_owned()) && said.contains(&"b".to_owned()), "{said:?}");
    plane.apply(&key(), Some(&routes(&[b]))).await.unwrap();
    assert_eq!(ask(at).await, "b");
    plane.apply(&key(), None).await.unwrap();
    tokio::task::yield_now().await;
    assert!(TcpStream::connect(at).await.is_err(), "a forgotten service must not listen");
}

#[tokio::test]
async fn a_connection_that_was_reset_before_a_byte_is_made_again_elsewhere() {
    let plane = plane(Ipv4Addr::LOCALHOST);
    let (bad, good) = (resetting().await, server("good").await);
    let at: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    plane.apply(&key(), Some(&routes(Protocol::Tcp, at.port(), &[bad, good]))).await.unwrap();
    for _ in 0..4 {
        assert_eq!(ask(at).await, "good");
    }
}

#[tokio::test]
async fn what_is_connected_stays_when_its_endpoint_or_its_service_goes() {
    let plane = plane(Ipv4Addr::LOCALHOST);
    let (echo, other) = (echo().await, server("other").await);
    let at: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    plane.apply(&key(), Some(&routes(Protocol::Tcp, at.port(), &[echo]))).await.unwrap();
    let mut stream = TcpStream::connect(at).await.unwrap();
    let mut buffer = [0; 4];
    for to in [None, Some(routes(Protocol::Tcp, at.port(), &[other])), None] {
        stream.write_all(b"ping").await.unwrap();
        stream.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"ping");
        // The port may still be closing: the loop would come again as well.
        while plane.apply(&key(), to.as_ref()).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
    stream.write_all(b"pong").await.unwrap();
    stream.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"pong");
}

#[tokio::test]
async fn a_client_keeps_its_endpoint_while_that_serves() {
    let plane = plane(Ipv4Addr::LOCALHOST);
    let all = [server("a").await, server("b").await, server("c").await];
    let at: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let sticky = |endpoints: &[SocketAddr]| ServiceRoutes {
        affinity: Some(Duration::from_secs(60)),
        ..routes(Protocol::Tcp, at.port(), endpoints)
    };
    plane.apply(&key(), Some(&sticky(&all))).await.unwrap();
    let first = ask(at).await;
    for _ in 0..5 {
        assert_eq!(ask(at).await, first);
    }
    let left: Vec<SocketAddr> = all.iter().zip(["a", "b", "c"]).filter(|(_, n)| *n != first).map(|(a, _)| *a).collect();
    plane.apply(&key(), Some(&sticky(&left))).await.unwrap();
    let second = ask(at).await;
    assert_ne!(second, first);
    plane.apply(&key(), Some(&sticky(&all))).await.unwrap();
    for _ in 0..5 {
        assert_eq!(ask(at).await, second);
    }
}

#[tokio::test]
async fn datagrams_go_both_ways_and_answers_come_from_where_they_were_asked() {
    let plane = plane(Ipv4Addr::UNSPECIFIED);
    let (a, b) = (answering("a").await, answering("b").await);
    let port = free_port();
    plane.apply(&key(), Some(&routes(Protocol::Udp, port, &[a, b]))).await.unwrap();
    let mut names = std::collections::BTreeSet::new();
    for host in [1, 2, 3, 4] {
        let client = client(([127, 0, 0, host], port).into()).await;
        let first = told(&client, "1").await.expect("an answer from the address that was asked");
        let name = first.strip_suffix('1').unwrap().to_owned();
        // A flow keeps its endpoint.
        assert_eq!(told(&client, "2").await, Some(format!("{name}2")));
        names.insert(name);
    }
    assert_eq!(names.len(), 2, "flows take turns: {names:?}");
}

#[tokio::test]
async fn a_flow_leaves_an_endpoint_that_goes_or_refuses() {
    let plane = plane(Ipv4Addr::LOCALHOST);
    let (a, b) = (answering("a").await, answering("b").await);
    let at: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let apply = async |endpoints: &[SocketAddr]| {
        plane.apply(&key(), Some(&routes(Protocol::Udp, at.port(), endpoints))).await.unwrap();
    };
    apply(&[a]).await;
    let client = client(at).await;
    assert_eq!(told(&client, "1").await.as_deref(), Some("a1"));
    apply(&[b]).await;
    assert_eq!(told(&client, "2").await.as_deref(), Some("b2"));

    // One that nobody listens at refuses: a later datagram goes to the other, although the flow was to the first.
    let dead: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    apply(&[dead]).await;
    client.send(b"lost").await.unwrap();
    apply(&[dead, b]).await;
    let mut buffer = [0; 64];
    let answered = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            client.send(b"3").await.unwrap();
            if let Ok(Ok(length)) = tokio::time::timeout(Duration::from_millis(50), client.recv(&mut buffer)).await {
                break length;
            }
        }
    });
    let length = answered.await.expect("the other endpoint answers");
    assert_eq!(&buffer[..length], b"b3");
}

#[tokio::test]
async fn what_cannot_be_opened_is_told_and_the_rest_is_opened() {
    let plane = plane(Ipv4Addr::LOCALHOST);
    let a = server("a").await;
    let at: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let mut wanted = routes(Protocol::Sctp, 9, &[a]);
    let error = plane.apply(&key(), Some(&wanted)).await.unwrap_err();
    assert!(error.is_terminal(), "no retry brings SCTP");
    assert_eq!(error.to_string(), "services/d/web: node port 9: SCTP is not routed by this data plane");

    wanted.ports.extend(routes(Protocol::Tcp, at.port(), &[a]).ports);
    // TEST-NET-3: nobody's address.
    wanted.ports[1].external = vec!["203.0.113.7:80".parse().unwrap()];
    let error = plane.apply(&key(), Some(&wanted)).await.unwrap_err();
    assert!(!error.is_terminal(), "the address may come");
    let text = error.to_string();
    assert!(text.contains("SCTP is not routed") && text.contains("external address 203.0.113.7:80"), "{text}");
    assert!(text.contains("this host does not have the address"), "{text}");
    assert_eq!(ask(at).await, "a");
}

#[tokio::test]
async fn a_repair_leaves_exactly_the_routes_of_the_table() {
    let plane = plane(Ipv4Addr::LOCALHOST);
    let (a, b) = (server("a").await, server("b").await);
    let ports = [free_port(), free_port()];
    plane.apply(&key(), Some(&routes(Protocol::Tcp, ports[0], &[a]))).await.unwrap();
    let other = ObjectKey { name: Name::from("other"), ..key() };
    let mut table = RoutingTable::default();
    table.set(&other, Some(routes(Protocol::Tcp, ports[1], &[b])));
    plane.resync(&table).await.unwrap();
    tokio::task::yield_now().await;
    assert!(TcpStream::connect(("127.0.0.1", ports[0])).await.is_err());
    assert_eq!(ask(([127, 0, 0, 1], ports[1]).into()).await, "b");
}
