//! `orc apply`, over HTTP and in-process.

use bytes::Bytes;
use orc_api::RegistryClient;
use orc_store::client::{Intent, ObjectClient as _, PatchKind, Target, WriteOptions, WriteRequest};

use super::manifest::{self, Item};
use super::{Client, path};
use crate::args::ApplyArgs;

/// Who owns the applied fields.
const MANAGER: &str = "orc";

/// Applies the objects of files.
///
/// # Errors
/// The first file or object that is refused; those before it are applied.
pub async fn run(args: ApplyArgs) -> anyhow::Result<()> {
    let client = Client::open(&args.client)?;
    for file in &args.files {
        for item in manifest::read(file)? {
            let own = Some(item.doc.namespace()).filter(|own| !own.is_empty()).unwrap_or(&client.namespace);
            let base = path(&item.served.info, &item.served.version().name, Some(own));
            let path = format!("{base}/{}?fieldManager={MANAGER}&force=true", item.doc.name());
            let body = ("application/apply-patch+yaml", Bytes::from(item.doc.value().to_string()));
            let answer = client.connection.send(http::Method::PATCH, &path, "application/json", Some(body)).await?;
            told(&item, answer.status() == http::StatusCode::CREATED);
        }
    }
    Ok(())
}

/// Applies objects without a socket.
///
/// # Errors
/// The registry's.
pub async fn in_process(client: &RegistryClient, items: &[Item]) -> anyhow::Result<()> {
    for item in items {
        let options = WriteOptions { field_manager: Some(MANAGER.to_owned()), force: true, ..WriteOptions::default() };
        let intent = Intent::Patch(PatchKind::Apply, Bytes::from(item.doc.value().to_string()));
        let target = Target::object(item.key("default")?);
        let written = client.write(WriteRequest { target, intent, options }).await?;
        told(item, written.code == 201);
    }
    Ok(())
}

fn told(item: &Item, created: bool) {
    anstream::println!("{} {}", item.title(), if created { "created" } else { "configured" });
}
