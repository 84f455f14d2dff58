//! Protobuf's wire format: tags, varints, lengths.

use super::ProtoError;

/// One value on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next field number and value; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Wire<'a>)>, ProtoError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3)
            .ok()
            .filter(|n| (1..1 << 29).contains(n))
            .ok_or(ProtoError::Malformed("illegal tag"))?;
        let value = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| ProtoError::Truncated)?;
                Wire::Bytes(self.take(length)?)
            }
            5 => {
                self.array::<4>()?;
                Wire::Fixed32
            }
            _ => return Err(ProtoError::Malformed("illegal wire type")),
        };
        Ok(Some((number, value)))
    }

    pub(super) fn varint(&mut self) -> Result<u64, ProtoError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array::<1>()?;
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(value);
            }
        }
        Err(ProtoError::Malformed("integer overflow"))
    }

    pub(super) fn fixed64(&mut self) -> Result<u64, ProtoError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ProtoError> {
        let (head, tail) = self.0.split_at_checked(length).ok_or(ProtoError::Truncated)?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ProtoError> {
        self.take(N)?.try_into().map_err(|_| ProtoError::Truncated)
    }
}

impl<'a> Wire<'a> {
    pub(super) fn varint(self) -> Result<u64, ProtoError> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(ProtoError::Malformed("wrong wire type for an integer")),
        }
    }

    pub(super) fn bytes(self) -> Result<&'a [u8], ProtoError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(ProtoError::Malformed("wrong wire type for bytes")),
        }
    }

    pub(super) fn text(self) -> Result<String, ProtoError> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| ProtoError::Malformed("a string is not UTF-8"))?;
        Ok(text.to_owned())
    }
}

/// A variable-length integer.
pub(super) fn put_raw(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0; 10];
    let used = varint(&mut digits, value);
    out.extend_from_slice(&digits[..used]);
}

/// Writes a variable-length integer and says how many bytes it took.
pub(super) fn varint(digits: &mut [u8; 10], mut value: u64) -> usize {
    let mut used = 0;
    while value >= 128 {
        digits[used] = (value & 127) as u8 | 128;
        value >>= 7;
        used += 1;
    }
    digits[used] = value as u8;
    used + 1
}

/// The tag of a length-delimited field.
pub(super) fn put_tag(out: &mut Vec<u8>, number: u32) {
    put_raw(out, u64::from(number) << 3 | 2);
}

pub(super) fn put_varint(out: &mut Vec<u8>, number: u32, value: u64) {
    put_raw(out, u64::from(number) << 3);
    put_raw(out, value);
}

pub(super) fn put_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    put_raw(out, u64::from(number) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_raw(out, u64::from(number) << 3 | 2);
    put_raw(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
