//! The DNS messages of strangers as functions of bytes: see [`orc_core::fuzzing`].

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use orc_core::fuzzing::{Target, text};

use super::host::HostNames;
use super::message::{Answer, Packet, Question, Transport, answers, question};

/// Every decoder of this crate.
pub const TARGETS: &[Target] = &[
    Target { name: "dns_question", run: dns_question, seeds: questions },
    Target { name: "host_files", run: host_files, seeds: files },
];

fn questions() -> Vec<Vec<u8>> {
    let kinds = [RecordType::A, RecordType::SRV, RecordType::PTR, RecordType::ANY];
    let names = ["web.d.svc.cluster.local.", "4.3.2.1.in-addr.arpa.", "."].map(|name| Name::from_ascii(name).ok());
    names.iter().flatten().flat_map(|name| kinds.iter().filter_map(move |kind| question(name, *kind))).collect()
}

/// An answer is a message of the question's id, and no longer than the client takes; an answer is never answered.
fn dns_question(bytes: &[u8]) {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (answer, limit) = match Question::read(bytes, transport) {
            Packet::Question(question) => {
                let _ = answers(bytes, bytes);
                (question.write(Answer::code(ResponseCode::NXDomain), 7), question.limit())
            }
            Packet::Refused(answer) => (answer, 1232),
            Packet::Nothing => continue,
        };
        assert!(bytes[2] & 0x80 == 0, "an answer is not answered");
        assert!(answer.len() <= limit);
        let read = Message::from_vec(&answer).expect("what is written can be read");
        assert_eq!(read.metadata.id.to_be_bytes(), bytes[..2]);
    }
}

fn files() -> Vec<Vec<u8>> {
    vec![b"nameserver 1.2.3.4\nsearch a b\noptions ndots:5\n".to_vec(), b"127.0.0.1 localhost\n::1 a b # c\n".to_vec()]
}

/// Any text is read, within bounds.
fn host_files(bytes: &[u8]) {
    let read = HostNames::parse(text(bytes), text(bytes));
    assert!(read.servers.len() <= 3);
}
