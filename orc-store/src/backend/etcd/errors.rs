//! What etcd's errors mean here.
//!
//! The one question that matters for a change: was it made? Only errors that etcd gives before it proposes anything, and
//! connections that were never made, are a sure no. Everything else may have been made, or be made yet, and says so.

use std::error::Error as _;
use std::time::Duration;

use etcd_client::Error;
use tonic::{Code, Status};

use super::super::BackendError;

/// When its database is as large as `--quota-backend-bytes` allows. The member that proposes checks it first, but a change that
/// meets the limit when it is applied *is* applied, and answered with this error (etcd's `quotaApplierV3`).
const NO_SPACE: &str = "etcd's database has reached --quota-backend-bytes and takes no writes. Compact and defragment it \
    (etcdctl compact, etcdctl defrag) or raise the quota, then `etcdctl alarm disarm`. A change that was on its way when the \
    limit was reached may have been made";

/// Why a call failed.
#[derive(Debug)]
pub(super) enum CallError {
    /// No answer in time.
    Late(Duration),
    /// An answer, or no connection.
    Etcd(Box<Error>),
}

/// Whether the call would have changed something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    Read,
    /// A change whose value has so many bytes.
    Change(usize),
}

impl CallError {
    fn status(&self) -> Option<&Status> {
        match self {
            Self::Etcd(error) => status(error),
            Self::Late(_) => None,
        }
    }

    fn says(&self, text: &str) -> bool {
        self.status().is_some_and(|status| status.message().contains(text))
    }

    /// Whether the lease that the change named is gone; then the change was not made.
    pub(super) fn lease_gone(&self) -> bool {
        self.says("requested lease not found")
    }

    /// Whether the revision asked for is compacted.
    pub(super) fn compacted(&self) -> bool {
        self.says("required revision has been compacted")
    }

    /// Whether the revision asked for is above etcd's.
    pub(super) fn future(&self) -> bool {
        self.says("required revision is a future revision")
    }

    /// Whether the request certainly did not get as far as to change anything: another member may be asked instead.
    pub(super) fn never_made(&self) -> bool {
        match self {
            Self::Late(_) => false,
            Self::Etcd(error) => unconnected(error) || self.says("no leader") || self.says("too many requests"),
        }
    }

    /// What the store is told.
    pub(super) fn backend(&self, asked: Asked) -> BackendError {
        let Some(status) = self.status() else { return BackendError::Unavailable(self.outcome(asked)) };
        match (status.code(), status.message()) {
            (_, message) if message.contains("database space exceeded") => BackendError::ReadOnly(NO_SPACE.to_owned()),
            (_, message)
                if message.contains("request is too large") || message.contains("received message larger than max") =>
            {
                BackendError::TooLarge(too_large(asked))
            }
            (_, message) if message.contains("revision of auth store is old") => {
                BackendError::Unavailable("etcd: its users or roles are changing; nothing was changed".to_owned())
            }
            (Code::PermissionDenied, _) => BackendError::Denied(format!(
                "etcd: {}; the user needs a role with readwrite on everything below the prefix",
                status.message()
            )),
            (Code::Unauthenticated | Code::InvalidArgument | Code::FailedPrecondition | Code::Unimplemented, _) => {
                BackendError::Denied(format!("etcd: {}", status.message()))
            }
            (Code::DataLoss, _) => BackendError::Corrupt(format!("etcd: {}", status.message())),
            _ => BackendError::Unavailable(self.outcome(asked)),
        }
    }

    /// The error's text and, for a change, what became of it.
    fn outcome(&self, asked: Asked) -> String {
        match asked {
            Asked::Read => format!("etcd: {self}"),
            Asked::Change(_) if self.never_made() => format!("etcd: {self}; the change was not made"),
            Asked::Change(_) => format!("etcd: {self}; the change may or may not have been made"),
        }
    }
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Late(after) => write!(f, "no answer within {} s", after.as_secs_f32()),
            Self::Etcd(error) => f.write_str(&text(error)),
        }
    }
}

fn status(error: &Error) -> Option<&Status> {
    match error {
        Error::GRpcStatus(status) => Some(status),
        _ => None,
    }
}

/// Whether there was no connection on which the request could have been sent.
fn unconnected(error: &Error) -> bool {
    let mut source = status(error).and_then(|status| status.source());
    while let Some(one) = source {
        if one.is::<tonic::ConnectError>() {
            return true;
        }
        source = one.source();
    }
    false
}

/// The error's message and what it came from, each said once.
fn text(error: &Error) -> String {
    let Some(status) = status(error) else { return error.to_string() };
    let mut parts = vec![status.message().to_owned()];
    let mut source = status.source();
    while let Some(one) = source {
        let said = one.to_string();
        if !parts.iter().any(|part| part.contains(&said)) {
            parts.push(said);
        }
        source = one.source();
    }
    parts.retain(|part| !part.is_empty() && part != "transport error" && part != "client error (Connect)");
    if parts.is_empty() { format!("{:?}", status.code()) } else { parts.join(": ") }
}

fn too_large(asked: Asked) -> String {
    let size = match asked {
        Asked::Change(bytes) => format!("it has {bytes} bytes"),
        Asked::Read => "the request is too large".to_owned(),
    };
    format!("{size}; etcd takes requests up to its --max-request-bytes (1572864 unless set)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: Code, message: &str) -> CallError {
        CallError::Etcd(Box::new(Error::GRpcStatus(Status::new(code, message))))
    }

    #[test]
    fn ambiguous_errors_say_so_and_sure_ones_too() {
        let change = Asked::Change(3);
        let maybe = "may or may not have been made";
        for lost in [
            error(Code::Unavailable, "etcdserver: request timed out"),
            error(Code::Unavailable, "etcdserver: leader changed"),
            error(Code::Unknown, "transport error"),
            CallError::Late(Duration::from_secs(1)),
        ] {
            let told = lost.backend(change);
            assert!(matches!(&told, BackendError::Unavailable(text) if text.contains(maybe)), "{told}");
        }
        let sure = error(Code::Unavailable, "etcdserver: no leader").backend(change);
        assert!(matches!(&sure, BackendError::Unavailable(text) if text.contains("was not made")), "{sure}");
    }

    #[test]
    fn errors_have_the_kind_that_the_store_acts_on() {
        let change = Asked::Change(2_000_000);
        let of = |code, message| error(code, message).backend(change);
        assert!(matches!(
            of(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"),
            BackendError::ReadOnly(text) if text.contains("alarm disarm")
        ));
        assert!(matches!(
            of(Code::InvalidArgument, "etcdserver: request is too large"),
            BackendError::TooLarge(text) if text.contains("2000000 bytes") && text.contains("--max-request-bytes")
        ));
        assert!(matches!(of(Code::PermissionDenied, "etcdserver: permission denied"), BackendError::Denied(_)));
        assert!(matches!(of(Code::InvalidArgument, "etcdserver: user name is empty"), BackendError::Denied(_)));
        assert!(matches!(of(Code::DataLoss, "etcdserver: corrupt cluster"), BackendError::Corrupt(_)));
        assert!(error(Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted").compacted());
        assert!(error(Code::NotFound, "etcdserver: requested lease not found").lease_gone());
    }
}
