//! The server over real sockets.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};
use orc_core::env::{Rng, Spawner};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::{Objects, objects, packet, zone};
use crate::dns::forward::framed;
use crate::dns::host::HostFiles;
use crate::dns::{DnsConfig, DnsServer, Reach};

/// The longest a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(30);

struct Direct;

#[async_trait]
impl Reach for Direct {
    async fn bind_udp(&self, address: SocketAddr) -> io::Result<std::net::UdpSocket> {
        std::net::UdpSocket::bind(address)
    }
    async fn connect_tcp(&self, _: SocketAddr) -> io::Result<TcpStream> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}

/// A resolver that knows 192.0.2.1 for every name. It first sends a forged answer of another id.
async fn stub(address: &str) -> Spawned {
    let socket = UdpSocket::bind(address).await.unwrap();
    let at = socket.local_addr().unwrap();
    let task = Spawner::new().spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            let mut message = Message::from_vec(&buffer[..length]).unwrap().into_response();
            let name = message.queries[0].name().clone();
            message.add_answer(Record::from_rdata(name.clone(), 9, RData::A(A(Ipv4Addr::new(192, 0, 2, 1)))));
            let mut forged = message.to_vec().unwrap();
            forged[0] ^= 0xff;
            *forged.last_mut().unwrap() = 66;
            let _ = socket.send_to(&forged, client).await;
            let _ = socket.send_to(&message.to_vec().unwrap(), client).await;
        }
    });
    Spawned { at, _task: task }
}

struct Spawned {
    at: SocketAddr,
    _task: orc_core::env::Task,
}

async fn server(view: Objects, files: HostFiles) -> DnsServer {
    let config = DnsConfig {
        zone: zone(),
        view: Arc::new(view),
        listen: ([127, 0, 0, 1], 0).into(),
        files,
        reach: Arc::new(Direct),
        rng: Rng::seeded(1),
        spawn: Spawner::new(),
    };
    DnsServer::start(config).await.unwrap()
}

async fn udp(server: &DnsServer, bytes: &[u8]) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(bytes, server.address()).await.unwrap();
    let mut buffer = [0; 4096];
    let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.expect("an answer").unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

fn data(message: &Message) -> Vec<String> {
    message.answers.iter().map(|record| record.data.to_string()).collect()
}

#[tokio::test]
async fn the_server_answers_over_udp_and_tcp_and_survives_what_it_cannot_read() {
    let none = HostFiles { resolv_conf: "/nonexistent".into(), hosts: "/nonexistent".into() };
    let server = server(objects(), none).await;
    let web = packet("web.d.svc.cluster.local.", RecordType::A, Some(1232));
    let answer = udp(&server, &web).await;
    assert_eq!(data(&answer), ["10.96.0.7"]);
    assert!(answer.metadata.authoritative && answer.edns.is_some());
    let answer = udp(&server, &packet("no.d.svc.cluster.local.", RecordType::A, None)).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!((answer.authorities[0].record_type(), answer.authorities[0].ttl), (RecordType::SOA, 5));
    assert_eq!(data(&udp(&server, &packet("inner.d.svc.cluster.local.", RecordType::A, None)).await).len(), 2);
    let circle = udp(&server, &packet("circle.d.svc.cluster.local.", RecordType::A, None)).await;
    assert_eq!(circle.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(udp(&server, &[1, 2, 1, 0, 0, 9, 0, 0, 0, 0, 0, 0]).await.metadata.response_code, ResponseCode::FormErr);
    assert_eq!(
        udp(&server, &packet("example.com.", RecordType::A, None)).await.metadata.response_code,
        ResponseCode::ServFail,
        "there is no resolver"
    );
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    for _ in 0..2 {
        stream.write_all(&framed(&web).unwrap()).await.unwrap();
        let mut bytes = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(data(&Message::from_vec(&bytes).unwrap()), ["10.96.0.7"]);
    }
    assert_eq!(server.counts().forwarded, 1);
}

#[tokio::test]
async fn other_names_go_to_the_hosts_resolvers_and_back() {
    // Port 53 of another loopback address: `resolv.conf` has no ports. Not allowed without root, so that the test then says so.
    let upstream = match std::net::UdpSocket::bind("127.77.0.1:53").map(drop) {
        Ok(()) => stub("127.77.0.1:53").await,
        Err(error) => return eprintln!("not run: port 53 cannot be opened: {error}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let files = HostFiles { resolv_conf: folder.path().join("resolv.conf"), hosts: folder.path().join("hosts") };
    std::fs::write(&files.resolv_conf, format!("nameserver 127.77.0.2\nnameserver {}\n", upstream.at.ip())).unwrap();
    std::fs::write(&files.hosts, "192.0.2.9 box\n").unwrap();
    let server = server(objects(), files.clone()).await;
    let answer = udp(&server, &packet("example.com.", RecordType::A, Some(1232))).await;
    assert_eq!(
        (answer.metadata.id, data(&answer)),
        (4711, vec!["192.0.2.1".to_owned()]),
        "the second one, not the forged one"
    );
    let answer = udp(&server, &packet("out.d.svc.cluster.local.", RecordType::A, None)).await;
    assert_eq!(data(&answer), ["example.test.", "192.0.2.1"], "the alias with its target");
    assert_eq!(data(&udp(&server, &packet("BOX.", RecordType::A, None)).await), ["192.0.2.9"]);
    std::fs::write(&files.hosts, "192.0.2.10 box\n").unwrap();
    let changed = async {
        while data(&udp(&server, &packet("box.", RecordType::A, None)).await) != ["192.0.2.10"] {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, changed).await.expect("the file is read again");
}

#[tokio::test]
async fn nothing_is_denied_before_all_objects_are_known() {
    let none = HostFiles { resolv_conf: "/nonexistent".into(), hosts: "/nonexistent".into() };
    let server = server(Objects { filling: true, ..Objects::default() }, none).await;
    let answer = udp(&server, &packet("web.d.svc.cluster.local.", RecordType::A, None)).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
}
