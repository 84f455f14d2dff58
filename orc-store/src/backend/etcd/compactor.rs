//! Compaction: every server tries, one of them does it, once a period.
//!
//! As kube-apiserver's compactor: the version number of one key is the ticket. A server that finds it as it was at its last
//! turn writes it, and compacts to the revision that it saw then, which is a period old. A server that finds it moved has been
//! overtaken and starts its period anew. So at least a period of history is kept, however many servers there are, and they need
//! not know of each other. The key is inside the watched prefix, so feeds of a quiet store move on with it.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::proto::{PbTxnOpResponse, PbTxnResponse};
use etcd_client::{Compare, CompareOp, Txn, TxnOp};
use orc_core::Revision;

use super::errors::CallError;
use super::link::{Link, revision};

/// What a server knows from its last turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Turn {
    /// The ticket's version.
    version: i64,
    /// etcd's revision then.
    seen: Revision,
}

/// Takes a turn each period, for ever.
pub(super) async fn run(link: Arc<Link>, every: Duration) {
    let mut turn = Turn::default();
    loop {
        link.clock.sleep(every).await;
        match take(&link, turn).await {
            Ok(next) => turn = next,
            Err(error) => tracing::warn!(%error, "etcd was not compacted; it is tried again in a period"),
        }
    }
}

/// One turn.
async fn take(link: &Link, turn: Turn) -> Result<Turn, CallError> {
    let answer = link.kv(|mut kv| {
        let txn = ticket(&link.layout.compaction(), turn);
        async move { kv.txn(txn).await }
    });
    let (next, won) = after(turn, &answer.await?.0);
    if won && turn.seen > Revision::ZERO {
        compact(link, turn.seen).await?;
    }
    Ok(next)
}

fn ticket(key: &str, turn: Turn) -> Txn {
    Txn::new()
        .when([Compare::version(key, CompareOp::Equal, turn.version)])
        .and_then([TxnOp::put(key, turn.seen.to_string(), None)])
        .or_else([TxnOp::get(key, None)])
}

/// What is known after a turn, and whether it was ours.
fn after(turn: Turn, answer: &PbTxnResponse) -> (Turn, bool) {
    let seen = answer.header.as_ref().map_or(Revision::ZERO, |header| revision(header.revision));
    if answer.succeeded {
        return (Turn { version: turn.version + 1, seen }, true);
    }
    let version = answer.responses.iter().find_map(|one| match &one.response {
        Some(PbTxnOpResponse::ResponseRange(range)) => range.kvs.first().map(|kv| kv.version),
        _ => None,
    });
    // No key: somebody removed it. Start anew.
    (Turn { version: version.unwrap_or(0), seen }, false)
}

async fn compact(link: &Link, to: Revision) -> Result<(), CallError> {
    let done = link.kv(|mut kv| async move { kv.compact(to.0.cast_signed(), None).await });
    match done.await {
        // Compacted by somebody else, and further.
        Err(error) if error.compacted() => Ok(()),
        Err(error) => Err(error),
        Ok(_) => {
            tracing::debug!(%to, "compacted etcd");
            link.note_compacted(to);
            Ok(())
        }
    }
}
