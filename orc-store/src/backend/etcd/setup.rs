//! What is checked before a prefix is used: etcd's version and the layout's.

use etcd_client::proto::{PbTxnOpResponse, PbTxnResponse};
use etcd_client::{Compare, CompareOp, Txn, TxnOp};

use super::super::BackendError;
use super::errors::Asked;
use super::layout::FORMAT;
use super::link::Link;

/// The oldest etcd that has what is used here (watch fragments came with 3.4).
const OLDEST: (u32, u32) = (3, 4);

/// Checks that etcd is there and new enough.
pub(super) async fn check_version(link: &Link) -> Result<(), BackendError> {
    let status = link.call(|client| async move { client.maintenance_client().status().await });
    let status = status.await.map_err(|error| error.backend(Asked::Read))?;
    let version = status.version();
    match parse(version) {
        Some(found) if found >= OLDEST => Ok(()),
        _ => Err(BackendError::Open(format!("its version is `{version}`; 3.4 or newer is needed"))),
    }
}

fn parse(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Checks the layout's version, and writes it into a prefix that is empty.
pub(super) async fn check_format(link: &Link) -> Result<(), BackendError> {
    let key = link.layout.format();
    let (start, end) = link.layout.everything();
    let answer = link.kv(|mut kv| {
        // Holds for a range without keys only.
        let empty = Compare::create_revision(start.clone(), CompareOp::Equal, 0).with_range(end.clone());
        let put = TxnOp::put(key.clone(), FORMAT.to_string(), None);
        let txn = Txn::new().when([empty]).and_then([put]).or_else([TxnOp::get(key.clone(), None)]);
        async move { kv.txn(txn).await }
    });
    judge(&key, &answer.await.map_err(|error| error.backend(Asked::Change(0)))?.0)
}

fn judge(key: &str, answer: &PbTxnResponse) -> Result<(), BackendError> {
    if answer.succeeded {
        return Ok(());
    }
    let found = answer.responses.iter().find_map(|one| match &one.response {
        Some(PbTxnOpResponse::ResponseRange(range)) => range.kvs.first(),
        _ => None,
    });
    let Some(found) = found else {
        return Err(BackendError::Open(format!(
            "there are keys beside `{key}`, but not itself: they are not of an orc store; choose another prefix"
        )));
    };
    let text = String::from_utf8_lossy(&found.value);
    match text.parse::<u32>() {
        Ok(FORMAT) => Ok(()),
        Ok(newer) if newer > FORMAT => Err(BackendError::Open(format!(
            "`{key}` says layout {newer}, this program knows up to {FORMAT}: use the newer program"
        ))),
        _ => Err(BackendError::Open(format!(
            "`{key}` says `{text}`, which is no layout of an orc store; choose another prefix"
        ))),
    }
}
