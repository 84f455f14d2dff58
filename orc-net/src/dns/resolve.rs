//! From a question to the bytes of its answer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::forward::Forwarder;
use super::host::Current;
use super::lookup::{Outcome, lookup};
use super::message::{self, Answer, Question, Transport};
use super::view::View;
use super::zone::{NEGATIVE_TTL, TTL, Zone, labels};

/// Aliases that are followed; a circle of ExternalNames ends there.
const MAX_ALIASES: usize = 8;

pub(super) struct Resolver {
    pub(super) zone: Zone,
    pub(super) view: Arc<dyn View>,
    pub(super) host: Current,
    pub(super) forward: Forwarder,
}

/// How far a question comes without waiting.
pub(super) enum Step {
    /// To its answer.
    Done(Vec<u8>),
    /// To a name that others know, by way of these aliases.
    Outside(Vec<Record>, Name),
}

impl Resolver {
    /// Answers from memory.
    pub(super) fn at_once(&self, question: &Question, turn: u16) -> Step {
        let (mut name, kind) = (question.query.name().clone(), question.query.query_type());
        let mut chain: Vec<Record> = Vec::new();
        let done = |answer: Answer| Step::Done(question.write(answer, turn));
        loop {
            let mut authorities = Vec::new();
            let (code, found, additionals) = match lookup(&self.zone, self.view.as_ref(), &name, kind) {
                Outcome::Elsewhere => match self.of_host(&name, kind) {
                    Some(found) => (ResponseCode::NoError, found, Vec::new()),
                    None if question.recursion => return Step::Outside(chain, name),
                    None => return done(Answer::code(ResponseCode::Refused)),
                },
                // Without all objects it is not known what there is not.
                _ if self.view.serial().is_none() => return done(Answer::code(ResponseCode::ServFail)),
                Outcome::Alias(alias, target) => {
                    chain.push(*alias);
                    if chain.len() > MAX_ALIASES {
                        return done(Answer::code(ResponseCode::ServFail));
                    }
                    name = target;
                    continue;
                }
                Outcome::Found { answers, additionals } => (ResponseCode::NoError, answers, additionals),
                Outcome::NoData => (ResponseCode::NoError, Vec::new(), Vec::new()),
                Outcome::NoName => (ResponseCode::NXDomain, Vec::new(), Vec::new()),
            };
            let ours = self.zone.strip(&labels(&name)).is_some();
            if found.is_empty() && ours {
                authorities.push(self.zone.soa(self.view.serial().unwrap_or_default(), NEGATIVE_TTL));
            }
            chain.extend(found);
            return done(Answer { code, authoritative: ours, answers: chain, authorities, additionals });
        }
    }

    /// Asks the host's resolvers. `bytes` is the message that the question was read from.
    pub(super) async fn outside(&self, question: &Question, bytes: &[u8], chain: Vec<Record>, name: &Name) -> Vec<u8> {
        let host = self.host.get();
        // A host that was told to ask this very server would ask in a circle.
        let servers: Vec<SocketAddr> =
            host.servers.iter().copied().filter(|server| server.ip() != IpAddr::V4(self.zone.address)).collect();
        if chain.is_empty() {
            let reply = self.forward.ask(bytes, question.transport, &servers).await;
            return match reply {
                Some(reply) if reply.len() <= question.takes() => reply,
                _ => question.write(Answer::code(ResponseCode::ServFail), 0),
            };
        }
        let mut answer = self.target(name, question.query.query_type(), &servers).await;
        answer.answers.splice(..0, chain);
        question.write(answer, 0)
    }

    /// The records of an alias' target: clients of the C library's kind do not ask for them themselves.
    async fn target(&self, name: &Name, kind: RecordType, servers: &[SocketAddr]) -> Answer {
        let failed = Answer::code(ResponseCode::ServFail);
        let Some(asked) = message::question(name, kind) else { return failed };
        let mut reply = self.forward.ask(&asked, Transport::Udp, servers).await;
        if reply.as_deref().is_some_and(message::is_cut) {
            reply = self.forward.ask(&asked, Transport::Tcp, servers).await;
        }
        match reply.and_then(|reply| Message::from_vec(&reply).ok()) {
            Some(reply) => Answer { answers: reply.answers, ..Answer::code(reply.metadata.response_code) },
            None => failed,
        }
    }

    fn of_host(&self, name: &Name, kind: RecordType) -> Option<Vec<Record>> {
        let host = self.host.get();
        let addresses = host.names.get(&labels(name).join("."))?;
        let data = addresses.iter().filter_map(|address| match (address, kind) {
            (IpAddr::V4(v4), RecordType::A | RecordType::ANY) => Some(RData::A(A(*v4))),
            (IpAddr::V6(v6), RecordType::AAAA | RecordType::ANY) => Some(RData::AAAA(AAAA(*v6))),
            _ => None,
        });
        Some(data.map(|data| Record::from_rdata(name.clone(), TTL, data)).collect())
    }
}
