//! Questions read from bytes, answers written to them.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};

/// The smallest answer that every client takes over UDP (RFC 1035).
const PLAIN_UDP: u16 = 512;
/// The largest answer that is sent over UDP: what passes every link without fragments (DNS flag day 2020).
const LARGEST_UDP: u16 = 1232;
/// The bytes before the first question.
const HEAD: usize = 12;

/// How a question came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// In a datagram: long answers are cut.
    Udp,
    /// In a stream.
    Tcp,
}

/// A question that can be answered.
#[derive(Clone, Debug)]
pub struct Question {
    /// What is asked; the name is spelled as the client spelled it.
    pub query: Query,
    /// How it came.
    pub transport: Transport,
    /// Whether others may be asked in its turn.
    pub recursion: bool,
    id: u16,
    payload: Option<u16>,
}

/// What a packet is.
#[derive(Clone, Debug)]
pub enum Packet {
    /// A question.
    Question(Box<Question>),
    /// Something that is answered with an error.
    Refused(Vec<u8>),
    /// Something that is not answered at all: an answer, or no message. Two servers must not keep on telling each other.
    Nothing,
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The code.
    pub code: ResponseCode,
    /// Whether the cluster's zone says so.
    pub authoritative: bool,
    /// The records.
    pub answers: Vec<Record>,
    /// The start of authority, with negative answers.
    pub authorities: Vec<Record>,
    /// Addresses of the names in the records.
    pub additionals: Vec<Record>,
}

impl Answer {
    /// Only a code.
    pub fn code(code: ResponseCode) -> Self {
        let (answers, authorities, additionals) = (Vec::new(), Vec::new(), Vec::new());
        Self { code, authoritative: false, answers, authorities, additionals }
    }
}

impl Question {
    /// Reads a packet. No bytes whatever make it panic.
    pub fn read(bytes: &[u8], transport: Transport) -> Packet {
        if bytes.len() < HEAD || bytes[2] & 0x80 != 0 {
            return Packet::Nothing;
        }
        let id = u16::from_be_bytes([bytes[0], bytes[1]]);
        let refuse = |op: OpCode, code: ResponseCode| match Message::error_msg(id, op, code).to_vec() {
            Ok(bytes) => Packet::Refused(bytes),
            Err(_) => Packet::Nothing,
        };
        let Ok(mut message) = Message::from_vec(bytes) else { return refuse(OpCode::Query, ResponseCode::FormErr) };
        let op = message.metadata.op_code;
        if op != OpCode::Query {
            return refuse(op, ResponseCode::NotImp);
        }
        let (Some(query), true) = (message.queries.pop(), message.queries.is_empty()) else {
            return refuse(op, ResponseCode::FormErr);
        };
        let payload = message.edns.as_ref().map(Edns::max_payload);
        let question = Self { query, transport, recursion: message.metadata.recursion_desired, id, payload };
        if message.edns.as_ref().is_some_and(|edns| edns.version() != 0) {
            return Packet::Refused(question.write(Answer::code(ResponseCode::BADVERS), 0));
        }
        let kind = question.query.query_type();
        if question.query.query_class() != DNSClass::IN || matches!(kind, RecordType::AXFR | RecordType::IXFR) {
            return Packet::Refused(question.write(Answer::code(ResponseCode::Refused), 0));
        }
        Packet::Question(Box::new(question))
    }

    /// The largest answer that the client takes, bytes.
    pub fn takes(&self) -> usize {
        match self.transport {
            Transport::Udp => usize::from(self.payload.unwrap_or(PLAIN_UDP).max(PLAIN_UDP)),
            Transport::Tcp => usize::from(u16::MAX),
        }
    }

    /// The largest answer that is written, bytes.
    pub fn limit(&self) -> usize {
        match self.transport {
            Transport::Udp => self.takes().min(usize::from(LARGEST_UDP)),
            Transport::Tcp => self.takes(),
        }
    }

    /// Writes the answer, no longer than the limit. `turn` says which of several addresses comes first, so that clients that
    /// take the first one spread.
    pub fn write(&self, answer: Answer, turn: u16) -> Vec<u8> {
        let mut message = Message::new(self.id, MessageType::Response, OpCode::Query);
        message.metadata.authoritative = answer.authoritative;
        message.metadata.recursion_desired = self.recursion;
        message.metadata.recursion_available = true;
        message.metadata.response_code = answer.code;
        message.add_query(self.query.clone());
        message.answers = answer.answers;
        rotate(&mut message.answers, turn);
        message.authorities = answer.authorities;
        message.additionals = answer.additionals;
        if self.payload.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(LARGEST_UDP);
            edns.set_rcode_high(answer.code.high());
            message.set_edns(edns);
        }
        self.fit(message)
    }

    fn fit(&self, mut message: Message) -> Vec<u8> {
        loop {
            match message.to_vec() {
                Ok(bytes) if bytes.len() <= self.limit() => return bytes,
                _ if !message.additionals.is_empty() => message.additionals.clear(),
                _ if message.answers.is_empty() && message.authorities.is_empty() => return Vec::new(),
                _ => {
                    message.metadata.truncation = true;
                    message.authorities.clear();
                    // A client that sees the mark asks again over TCP; over TCP as much is given as there is room for.
                    let kept = if self.transport == Transport::Tcp { message.answers.len() / 2 } else { 0 };
                    message.answers.truncate(kept);
                }
            }
        }
    }
}

/// Turns the addresses at the end of an answer; aliases before them stay where they are.
fn rotate(answers: &mut [Record], turn: u16) {
    let Some(kind) = answers.last().map(Record::record_type) else { return };
    let start = answers.iter().rposition(|record| record.record_type() != kind).map_or(0, |last| last + 1);
    let tail = &mut answers[start..];
    tail.rotate_left(usize::from(turn) % tail.len());
}

/// Where the only question of a message ends, when it is spelled out.
fn question_end(bytes: &[u8]) -> Option<usize> {
    let mut at = HEAD;
    loop {
        let length = usize::from(*bytes.get(at)?);
        match length {
            0 => break,
            1..=63 => at += 1 + length,
            _ => return None,
        }
    }
    let end = at + 5;
    (bytes.len() >= end).then_some(end)
}

/// Whether a message answers a question: the same id, the same question (RFC 5452).
pub(super) fn answers(reply: &[u8], asked: &[u8]) -> bool {
    let Some(end) = question_end(asked) else { return false };
    reply.len() >= end
        && reply[2] & 0x80 != 0
        && reply[..2] == asked[..2]
        && reply[4..6] == asked[4..6]
        && reply[HEAD..end].eq_ignore_ascii_case(&asked[HEAD..end])
}

/// Whether a message was cut.
pub(super) fn is_cut(reply: &[u8]) -> bool {
    reply.get(2).is_some_and(|flags| flags & 2 != 0)
}

/// A question of ours to another server.
pub(super) fn question(name: &Name, kind: RecordType) -> Option<Vec<u8>> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(LARGEST_UDP);
    message.set_edns(edns);
    message.to_vec().ok()
}
