//! `orc delete`.

use anyhow::Context as _;

use super::{Client, manifest, named, path, version};
use crate::args::DeleteArgs;

/// Deletes an object, or those of files.
///
/// # Errors
/// The server's.
pub async fn run(args: DeleteArgs) -> anyhow::Result<()> {
    let client = Client::open(&args.client)?;
    if let Some(word) = &args.resource {
        let (info, name) = named(word, args.name.as_deref())?;
        let name = name.with_context(|| format!("name the {} to delete", info.singular))?;
        let path = path(&info, version(&info), Some(&client.namespace));
        return one(&client, &format!("{path}/{name}"), &format!("{} {name:?}", info.singular)).await;
    }
    for file in &args.files {
        for item in manifest::read(file)? {
            let own = Some(item.doc.namespace()).filter(|own| !own.is_empty()).unwrap_or(&client.namespace);
            let path = path(&item.served.info, &item.served.version().name, Some(own));
            one(&client, &format!("{path}/{}", item.doc.name()), &item.title()).await?;
        }
    }
    Ok(())
}

async fn one(client: &Client, path: &str, title: &str) -> anyhow::Result<()> {
    client.connection.send(http::Method::DELETE, path, "application/json", None).await?;
    anstream::println!("{title} deleted");
    Ok(())
}
