//! Header blocks: pairs of names and values behind one zlib stream a direction, which lives as long as the connection.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{Headers, SpdyError, dictionary};

/// The most a block may hold when decompressed. Kubernetes' hold a few short pairs.
const BLOCK_LIMIT: usize = 64 << 10;
/// The most pairs in a block.
const PAIR_LIMIT: usize = 256;

/// The receiving side.
pub(super) struct Inflater(Decompress);

impl Inflater {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    /// Reads a block.
    pub(super) fn read(&mut self, packed: &[u8]) -> Result<Headers, SpdyError> {
        pairs(&self.inflate(packed)?)
    }

    fn inflate(&mut self, packed: &[u8]) -> Result<Vec<u8>, SpdyError> {
        let mut plain = Vec::with_capacity(1024);
        let start = self.0.total_in();
        loop {
            let (at, had) = (taken(self.0.total_in(), start), plain.len());
            if plain.len() == plain.capacity() {
                plain.reserve(4096);
            }
            match self.0.decompress_vec(packed.get(at..).unwrap_or_default(), &mut plain, FlushDecompress::Sync) {
                Ok(Status::StreamEnd) => return Err(SpdyError::Headers("the compressed stream ended")),
                Ok(_) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    let known = self.0.set_dictionary(&dictionary::bytes());
                    known.map_err(|_| SpdyError::Headers("the dictionary is another one"))?;
                    continue;
                }
                Err(_) => return Err(SpdyError::Headers("they do not decompress")),
            }
            if plain.len() > BLOCK_LIMIT {
                return Err(SpdyError::Headers("they are over the limit"));
            }
            let at_end = taken(self.0.total_in(), start) >= packed.len();
            if at_end && plain.len() < plain.capacity() {
                return Ok(plain);
            }
            if !at_end && plain.len() == had && taken(self.0.total_in(), start) == at && plain.len() < plain.capacity()
            {
                return Err(SpdyError::Headers("they do not decompress"));
            }
        }
    }
}

fn taken(total: u64, start: u64) -> usize {
    usize::try_from(total - start).unwrap_or(usize::MAX)
}

/// The sending side.
pub(super) struct Deflater(Compress);

impl Deflater {
    pub(super) fn new() -> Self {
        let mut zlib = Compress::new(Compression::fast(), true);
        // A fresh compressor always takes a dictionary; without it a peer would still read us.
        if let Err(error) = zlib.set_dictionary(&dictionary::bytes()) {
            tracing::warn!(%error, "SPDY headers are compressed without the dictionary");
        }
        Self(zlib)
    }

    /// Writes a block.
    pub(super) fn write(&mut self, headers: &[(String, String)]) -> Vec<u8> {
        let plain = block(headers);
        let mut packed = Vec::with_capacity(plain.len() + 64);
        let start = self.0.total_in();
        loop {
            let at = taken(self.0.total_in(), start);
            let rest = plain.get(at..).unwrap_or_default();
            // Compressing into a growing vector fails only for a stream that was finished, which this one never is.
            let _ = self.0.compress_vec(rest, &mut packed, FlushCompress::Sync);
            if taken(self.0.total_in(), start) >= plain.len() && packed.len() < packed.capacity() {
                return packed;
            }
            packed.reserve(256);
        }
    }
}

fn block(headers: &[(String, String)]) -> Vec<u8> {
    let mut out = (headers.len() as u32).to_be_bytes().to_vec();
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        out.extend_from_slice(&(text.len() as u32).to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    out
}

fn pairs(mut plain: &[u8]) -> Result<Headers, SpdyError> {
    let count = number(&mut plain)?;
    if count > PAIR_LIMIT {
        return Err(SpdyError::Headers("there are too many"));
    }
    let mut found = Headers::with_capacity(count);
    for _ in 0..count {
        let name = text(&mut plain)?.to_ascii_lowercase();
        found.push((name, text(&mut plain)?));
    }
    Ok(found)
}

fn number(plain: &mut &[u8]) -> Result<usize, SpdyError> {
    let (head, rest) = plain.split_first_chunk::<4>().ok_or(SpdyError::Headers("they are cut short"))?;
    *plain = rest;
    Ok(u32::from_be_bytes(*head) as usize)
}

fn text(plain: &mut &[u8]) -> Result<String, SpdyError> {
    let length = number(plain)?;
    let (text, rest) = plain.split_at_checked(length).ok_or(SpdyError::Headers("they are cut short"))?;
    *plain = rest;
    String::from_utf8(text.to_vec()).map_err(|_| SpdyError::Headers("they are not UTF-8"))
}
