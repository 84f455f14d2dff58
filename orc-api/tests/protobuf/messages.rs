//! Objects of every kind: written by us, read and written by the peer, read by us.

use orc_core::fuzzing::{Sampler, Values, sample};
use orc_core::schema::{Field, MessageRef, Schema, proto};
use serde_json::Value;

use super::peers::{NEWER, PEERS, UNKNOWN};

pub(crate) fn message(name: &str) -> MessageRef {
    Schema::builtin().message(name).unwrap_or_else(|| panic!("{name} is not in the table"))
}

/// Whether the peer's level has a field.
pub(crate) fn has(message: MessageRef, field: &Field) -> bool {
    !NEWER.contains(&(message.name, field.json))
}

/// Random values of the fields that the peer has.
struct Known(Sampler);

impl Values for Known {
    fn keep(&mut self, message: MessageRef, field: &Field, depth: usize) -> bool {
        self.0.keep(message, field, depth) && has(message, field)
    }
    fn count(&mut self, field: &Field) -> usize {
        self.0.count(field)
    }
    fn scalar(&mut self, field: &Field) -> Value {
        self.0.scalar(field)
    }
    fn choose(&mut self, among: usize) -> usize {
        self.0.choose(among)
    }
}

#[test]
fn the_peer_has_every_kind() {
    let kinds: Vec<&str> = Schema::builtin().messages().filter(|message| message.is_kind).map(|m| m.name).collect();
    assert!(kinds.len() > 150, "{}", kinds.len());
    let known = |name: &&str| PEERS.iter().any(|(peer, _)| peer == name) || UNKNOWN.contains(name);
    assert_eq!(kinds.iter().filter(|name| !known(name)).collect::<Vec<_>>(), Vec::<&&str>::new());
    for (name, field) in NEWER {
        assert!(message(name).field(field).is_some(), "{name} has no {field}");
    }
}

#[test]
fn what_we_write_the_peer_reads_and_writes_and_we_read() {
    for (name, decode) in PEERS {
        let message = message(name);
        for seed in 0..24 {
            let object = sample(message, &mut Known(Sampler::new(seed, 6)));
            let raw = proto::from_json(&object, message).unwrap_or_else(|error| panic!("{name}: {error}: {object}"));
            let (again, shown) = decode(&raw).unwrap_or_else(|error| panic!("{name}: {error}: {object}"));
            assert_eq!(proto::to_json(&again, message).unwrap(), object, "{name}: the peer read {shown}");
            let streamed = proto::from_text(object.to_string().as_bytes(), message).unwrap();
            assert_eq!(
                proto::to_json(&decode(&streamed).unwrap().0, message).unwrap(),
                object,
                "{name}, from its text"
            );
        }
    }
}

#[test]
fn our_own_bytes_come_back_as_they_are() {
    for seed in 0..2000 {
        let (message, object) = Sampler::new(seed, 6).any();
        let raw = proto::from_json(&object, message).unwrap();
        let read = proto::to_json(&raw, message).unwrap();
        assert_eq!(read, object, "{}", message.name);
        assert_eq!(proto::from_json(&read, message).unwrap(), raw, "{}", message.name);
    }
}

#[test]
fn fields_of_a_later_level_are_passed_over() {
    for (name, decode) in PEERS {
        let message = message(name);
        let object = sample(message, &mut Known(Sampler::new(3, 6)));
        // Fields 900 to 903 of each wire type, in front and behind: a varint, eight bytes, a text, four bytes.
        let later = [
            &[0xa0, 0x38, 0x96, 0x01][..],
            &[0xa9, 0x38, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0xb2, 0x38, 2, b'h', b'i'],
            &[0xbd, 0x38, 1, 2, 3, 4],
        ]
        .concat();
        let raw = [&later[..], &proto::from_json(&object, message).unwrap(), &later].concat();
        assert!(decode(&raw).is_ok(), "{name}: the peer takes them for fields as well");
        assert_eq!(proto::to_json(&raw, message).unwrap(), object, "{name}");
    }
}
