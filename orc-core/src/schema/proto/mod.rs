//! Transcoding between Kubernetes' protobuf and JSON trees, driven by the schema table.
//!
//! client-go writes protobuf by default, so bodies of built-in kinds arrive and leave in it. There are no generated types:
//! [`to_json`] and [`from_json`] walk the table. Hostile input is bounded: nesting by [`MAX_DEPTH`], the size of the tree by
//! [`MAX_VALUES`]; nothing panics. Fields that the table does not know are skipped, as protobuf wants; fields of a tree
//! that the message does not have cannot be said in protobuf and are left out.

mod duration;
mod read;
mod stream;
#[cfg(test)]
mod tests;
mod wire;
mod write;

pub use read::to_json;
pub use stream::from_text;
pub use write::from_json;

use wire::{Reader, put_bytes};

/// What every body in Kubernetes' protobuf begins with.
pub const MAGIC: &[u8; 4] = b"k8s\0";

/// How deep messages may nest: definitions' schemas are the deepest, and JSON's own limit is 128.
pub const MAX_DEPTH: usize = 100;

/// How many values one body may hold: an empty element takes two bytes on the wire and fifty in a tree.
pub const MAX_VALUES: usize = 1 << 20;

/// Why a body cannot be transcoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtoError {
    /// The body does not begin with [`MAGIC`].
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NoMagic,
    /// The bytes end within a value.
    #[error("unexpected EOF")]
    Truncated,
    /// The bytes are not protobuf, or a field has another wire type than its own.
    #[error("proto: {0}")]
    Malformed(&'static str),
    /// Deeper than [`MAX_DEPTH`].
    #[error("proto: nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// More than [`MAX_VALUES`].
    #[error("proto: more than {MAX_VALUES} values")]
    TooLarge,
    /// A text is not JSON, or does not fit the message.
    #[error("{0}")]
    Text(String),
    /// A value of the tree is not of its field's type.
    #[error("cannot write {found} as protobuf field {field}")]
    WrongType {
        /// The field's name in JSON.
        field: String,
        /// What stands there.
        found: &'static str,
    },
}

/// The envelope of a body: which kind it is, and its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Group and version; may be empty.
    pub api_version: String,
    /// The kind; may be empty.
    pub kind: String,
    /// The object's message.
    pub raw: &'a [u8],
    /// What the bytes are, if not protobuf.
    pub content_type: String,
}

/// Opens an envelope.
///
/// # Errors
/// When the bytes do not begin with [`MAGIC`] or are not an envelope.
pub fn open(bytes: &[u8]) -> Result<Envelope<'_>, ProtoError> {
    let body = bytes.strip_prefix(MAGIC).ok_or(ProtoError::NoMagic)?;
    let (mut reader, mut envelope) = (Reader::new(body), Envelope::default());
    while let Some((number, value)) = reader.next()? {
        match number {
            1 => {
                let mut inner = Reader::new(value.bytes()?);
                while let Some((number, value)) = inner.next()? {
                    match number {
                        1 => envelope.api_version = value.text()?,
                        2 => envelope.kind = value.text()?,
                        _ => {}
                    }
                }
            }
            2 => envelope.raw = value.bytes()?,
            4 => envelope.content_type = value.text()?,
            _ => {}
        }
    }
    Ok(envelope)
}

/// Puts a message into an envelope.
pub fn seal(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let (open, close) = envelope(api_version, kind, raw.len());
    [&open, raw, &close].concat()
}

/// What stands before and behind a message of a known length, for those who write it in pieces.
pub fn envelope(api_version: &str, kind: &str, length: usize) -> (Vec<u8>, Vec<u8>) {
    let mut meta = Vec::new();
    put_bytes(&mut meta, 1, api_version.as_bytes());
    put_bytes(&mut meta, 2, kind.as_bytes());
    let mut open = Vec::with_capacity(meta.len() + 24);
    open.extend_from_slice(MAGIC);
    put_bytes(&mut open, 1, &meta);
    open.extend(field_head(2, length));
    let mut close = Vec::new();
    put_bytes(&mut close, 3, b"");
    put_bytes(&mut close, 4, b"");
    (open, close)
}

/// The tag and the length of a length-delimited field, which its bytes follow.
pub fn field_head(number: u32, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(8);
    wire::put_tag(&mut out, number);
    wire::put_raw(&mut out, length as u64);
    out
}
