//! The two messages of `grpc.health.v1`, gRPC's frames around them, and its status codes.
//!
//! Written by hand: a generated client would cost more to build than these lines, and its tonic is not in this crate.

use std::fmt;

use http::{HeaderMap, StatusCode};

/// Status codes of gRPC, by their number.
const CODES: [(Code, &str); 17] = [
    (Code::Ok, "OK"),
    (Code::Canceled, "Canceled"),
    (Code::Unknown, "Unknown"),
    (Code::InvalidArgument, "InvalidArgument"),
    (Code::DeadlineExceeded, "DeadlineExceeded"),
    (Code::NotFound, "NotFound"),
    (Code::AlreadyExists, "AlreadyExists"),
    (Code::PermissionDenied, "PermissionDenied"),
    (Code::ResourceExhausted, "ResourceExhausted"),
    (Code::FailedPrecondition, "FailedPrecondition"),
    (Code::Aborted, "Aborted"),
    (Code::OutOfRange, "OutOfRange"),
    (Code::Unimplemented, "Unimplemented"),
    (Code::Internal, "Internal"),
    (Code::Unavailable, "Unavailable"),
    (Code::DataLoss, "DataLoss"),
    (Code::Unauthenticated, "Unauthenticated"),
];

/// A status code of gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Ok,
    Canceled,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) code: Code,
    pub(super) message: String,
}

impl Status {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// What headers or trailers say; `None` when they say nothing.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let number: usize = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
        let code = CODES.get(number).map_or(Code::Unknown, |(code, _)| *code);
        let message = headers.get("grpc-message").and_then(|value| value.to_str().ok()).unwrap_or_default();
        // Percent encoding as in URLs, but a plus sign is itself.
        Some(Self { code, message: super::super::http::unescape(&message.replace('+', "%2B")) })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = CODES.iter().find(|(code, _)| *code == self.code).map_or("Unknown", |(_, name)| name);
        write!(f, "rpc error: code = {name} desc = {}", self.message)
    }
}

/// What an answer means that is no gRPC (`http-grpc-status-mapping.md` of gRPC). `None` for one that is.
pub(super) fn of_http(status: StatusCode, headers: &HeaderMap) -> Option<Status> {
    let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if status == StatusCode::OK && kind.starts_with("application/grpc") {
        return None;
    }
    let code = match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    let (number, name) = (status.as_u16(), status.canonical_reason().unwrap_or_default());
    Some(Status::new(
        code,
        format!(
            "unexpected HTTP status code received from server: {number} ({name}); transport: received unexpected content-type {kind:?}"
        ),
    ))
}

/// A frame with a `HealthCheckRequest`: field 1, the name of the service.
pub(super) fn request(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(1 << 3 | 2);
        varint(service.len() as u64, &mut message);
        message.extend_from_slice(service.as_bytes());
    }
    // Not compressed, then the length.
    let mut frame = vec![0];
    frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
    frame.extend(message);
    frame
}

/// The status in a frame with a `HealthCheckResponse`: field 1, an enumeration.
pub(super) fn response(frame: &[u8]) -> Result<u64, String> {
    let cut_short = || "unexpected EOF".to_owned();
    let (head, mut rest) = frame.split_at_checked(5).ok_or_else(cut_short)?;
    if head[0] != 0 {
        return Err("compressed flag set with identity or empty encoding".to_owned());
    }
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    rest = rest.get(..length).ok_or_else(cut_short)?;
    let mut status = 0;
    while !rest.is_empty() {
        let tag = read(&mut rest).ok_or_else(cut_short)?;
        let skipped = match tag & 7 {
            0 => {
                let value = read(&mut rest).ok_or_else(cut_short)?;
                if tag >> 3 == 1 {
                    status = value;
                }
                0
            }
            1 => 8,
            2 => usize::try_from(read(&mut rest).ok_or_else(cut_short)?).map_err(|_| cut_short())?,
            5 => 4,
            _ => return Err("proto: cannot parse invalid wire-format data".to_owned()),
        };
        rest = rest.get(skipped..).ok_or_else(cut_short)?;
    }
    Ok(status)
}

/// `HealthCheckResponse.ServingStatus`.
pub(super) fn serving_status(number: u64) -> String {
    match number {
        0 => "UNKNOWN".to_owned(),
        1 => "SERVING".to_owned(),
        2 => "NOT_SERVING".to_owned(),
        3 => "SERVICE_UNKNOWN".to_owned(),
        other => other.to_string(),
    }
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_protobufs() {
        assert_eq!(request(""), [0, 0, 0, 0, 0]);
        assert_eq!(request("db"), [0, 0, 0, 0, 4, 0x0a, 2, b'd', b'b']);
        assert_eq!(response(&[0, 0, 0, 0, 2, 8, 2]), Ok(2));
        assert_eq!(response(&[0, 0, 0, 0, 0]), Ok(0), "a zero is left out");
        // Fields that a later version may add are skipped.
        assert_eq!(response(&[0, 0, 0, 0, 6, 0x12, 2, 9, 9, 8, 1]), Ok(1));
        for bad in [&[][..], &[0, 0, 0, 0, 9, 8, 1], &[1, 0, 0, 0, 0], &[0, 0, 0, 0, 2, 0x12, 9]] {
            assert!(response(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_status_reads_as_grpc_writes_it() {
        let mut headers = HeaderMap::new();
        assert_eq!(Status::of(&headers), None);
        headers.insert("grpc-status", "5".parse().unwrap());
        headers.insert("grpc-message", "no 100%25 a+b".parse().unwrap());
        assert_eq!(Status::of(&headers).unwrap().to_string(), "rpc error: code = NotFound desc = no 100% a+b");
    }
}
