//! etcd by its own client, writing as Kubernetes writes: put if the key is not there.

use anyhow::ensure;
use etcd_client::{Client, Compare, CompareOp, Txn, TxnOp};
use orc_store::testing::EtcdServer;

/// A connection to etcd.
#[derive(Clone)]
pub(crate) struct RawEtcd(Client);

impl RawEtcd {
    pub(crate) async fn connect(server: &EtcdServer) -> anyhow::Result<Self> {
        Ok(Self(Client::connect(server.endpoints(), None).await?))
    }

    /// Makes one key.
    pub(crate) async fn create(&self, key: String, value: &[u8]) -> anyhow::Result<()> {
        let absent = Compare::mod_revision(key.clone(), CompareOp::Equal, 0);
        let put = TxnOp::put(key, value, None);
        let answer = self.0.kv_client().txn(Txn::new().when([absent]).and_then([put])).await?;
        ensure!(answer.succeeded(), "the key was there already");
        Ok(())
    }
}
