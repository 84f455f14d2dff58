//! One change: one transaction that compares the key's revision.

use etcd_client::proto::{PbTxnOpResponse, PbTxnResponse};
use etcd_client::{Compare, CompareOp, GetOptions, PutOptions, Txn, TxnOp};
use orc_core::Revision;

use super::super::{BackendError, Expect, RawChange};
use super::errors::{Asked, CallError};
use super::leases::Leases;
use super::link::{Link, revision};

/// Makes a change.
pub(super) async fn commit(link: &Link, leases: &Leases, change: RawChange) -> Result<Revision, BackendError> {
    if change.value.is_none() && change.expect == Expect::Absent {
        // Cannot hold: a key that is absent cannot be deleted. etcd would call it a success.
        return refuse(link, &change).await;
    }
    let asked = Asked::Change(change.value.as_ref().map_or(0, |value| value.len()));
    let ttl = change.value.as_ref().and(change.ttl);
    let Some(ttl) = ttl else {
        return judge(&attempt(link, &change, None).await.map_err(|error| error.backend(asked))?);
    };
    let lease = leases.lease(ttl).await?;
    match attempt(link, &change, Some(lease)).await {
        // Checked by etcd before it changes anything, so a second attempt cannot be a second change.
        Err(error) if error.lease_gone() => {
            leases.gone(lease).await;
            let lease = leases.lease(ttl).await?;
            judge(&attempt(link, &change, Some(lease)).await.map_err(|error| error.backend(asked))?)
        }
        other => judge(&other.map_err(|error| error.backend(asked))?),
    }
}

async fn attempt(link: &Link, change: &RawChange, lease: Option<i64>) -> Result<PbTxnResponse, CallError> {
    let answer = link.kv(|mut kv| {
        let txn = transaction(link.layout.object(&change.key), change, lease);
        async move { kv.txn(txn).await }
    });
    Ok(answer.await?.0)
}

fn transaction(key: Vec<u8>, change: &RawChange, lease: Option<i64>) -> Txn {
    let expected = match change.expect {
        // etcd's revision of a key that is absent.
        Expect::Absent => 0,
        // 0 would mean absent; no change has it.
        Expect::At(Revision(0)) => -1,
        Expect::At(at) => at.0.cast_signed(),
    };
    let act = match &change.value {
        Some(value) => {
            let options = lease.map(|lease| PutOptions::new().with_lease(lease));
            TxnOp::put(key.clone(), value.to_vec(), options)
        }
        None => TxnOp::delete(key.clone(), None),
    };
    Txn::new()
        .when([Compare::mod_revision(key.clone(), CompareOp::Equal, expected)])
        .and_then([act])
        .or_else([TxnOp::get(key, Some(GetOptions::new().with_keys_only()))])
}

fn judge(answer: &PbTxnResponse) -> Result<Revision, BackendError> {
    if !answer.succeeded {
        return Err(BackendError::Unmet { now: present(answer) });
    }
    let header = answer.header.as_ref();
    header.map(|header| revision(header.revision)).ok_or_else(|| {
        BackendError::Unavailable("etcd answered a change without its revision; the change was made".to_owned())
    })
}

/// The revision of the key that a refused transaction read.
fn present(answer: &PbTxnResponse) -> Option<Revision> {
    answer.responses.iter().find_map(|one| match &one.response {
        Some(PbTxnOpResponse::ResponseRange(range)) => range.kvs.first().map(|kv| revision(kv.mod_revision)),
        _ => None,
    })
}

/// Refuses a change that cannot be made, with the key's present revision.
async fn refuse(link: &Link, change: &RawChange) -> Result<Revision, BackendError> {
    let key = link.layout.object(&change.key);
    let read = link.kv(|mut kv| {
        let key = key.clone();
        async move { kv.get(key, Some(GetOptions::new().with_keys_only())).await }
    });
    let found = read.await.map_err(|error| error.backend(Asked::Read))?;
    Err(BackendError::Unmet { now: found.kvs().first().map(|kv| revision(kv.mod_revision())) })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use etcd_client::proto::{PbKeyValue, PbRangeResponse, PbResponseHeader, PbResponseOp};

    use super::super::super::Durability;
    use super::*;

    #[test]
    fn answers_are_the_revision_or_what_is_there() {
        let header = Some(PbResponseHeader { revision: 9, ..PbResponseHeader::default() });
        let made = PbTxnResponse { header, succeeded: true, responses: Vec::new() };
        assert_eq!(judge(&made).unwrap(), Revision(9));
        let read = |kvs| PbResponseOp {
            response: Some(PbTxnOpResponse::ResponseRange(PbRangeResponse { kvs, ..PbRangeResponse::default() })),
        };
        let there = PbKeyValue { mod_revision: 4, ..PbKeyValue::default() };
        for (kvs, told) in [(vec![there], Some(Revision(4))), (Vec::new(), None)] {
            let unmet = PbTxnResponse { header, succeeded: false, responses: vec![read(kvs)] };
            assert!(matches!(judge(&unmet), Err(BackendError::Unmet { now }) if now == told));
        }
    }

    #[test]
    fn revision_zero_is_not_absence() {
        let change = RawChange {
            key: Bytes::from_static(b"/a"),
            value: Some(Bytes::new()),
            expect: Expect::At(Revision::ZERO),
            durability: Durability::Durable,
            ttl: None,
        };
        let zero = format!("{:?}", transaction(b"/a".to_vec(), &change, None));
        let absent =
            format!("{:?}", transaction(b"/a".to_vec(), &RawChange { expect: Expect::Absent, ..change }, None));
        assert_ne!(zero, absent);
    }
}
