//! `orc get`.

use anyhow::Context as _;
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::{Client, named, path, table, version};
use crate::args::{GetArgs, Output};

/// Lists objects or shows one.
///
/// # Errors
/// The server's.
pub async fn run(args: GetArgs) -> anyhow::Result<()> {
    let client = Client::open(&args.client)?;
    let (info, name) = named(&args.resource, args.name.as_deref())?;
    let namespace = (!args.all_namespaces).then_some(client.namespace.as_str());
    let mut path = path(&info, version(&info), namespace);
    if let Some(name) = &name {
        path = format!("{path}/{name}");
    }
    if let Some(selector) = &args.selector {
        path = format!("{path}?labelSelector={}", escape(selector));
    }
    let accept = match args.output {
        Output::Table | Output::Wide => "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
        _ => "application/json",
    };
    let answer = client.connection.send(http::Method::GET, &path, accept, None).await?;
    let body = answer.into_body().collect().await?.to_bytes();
    let value: Value = serde_json::from_slice(&body).context("the server's answer is not JSON")?;
    match args.output {
        Output::Table | Output::Wide if value["rows"].as_array().is_some_and(Vec::is_empty) => {
            anstream::eprintln!("No resources found in {}.", namespace.unwrap_or("any namespace"));
        }
        Output::Table => table::print(&value, false, args.all_namespaces && info.is_namespaced()),
        Output::Wide => table::print(&value, true, args.all_namespaces && info.is_namespaced()),
        Output::Json => anstream::println!("{}", serde_json::to_string_pretty(&value)?),
        Output::Yaml => anstream::print!("{}", serde_saphyr::to_string(&value)?),
        Output::Name => names(&value, &info.singular),
    }
    Ok(())
}

fn names(value: &Value, singular: &str) {
    let one = std::slice::from_ref(value);
    let items = value["items"].as_array().map_or(one, Vec::as_slice);
    for item in items {
        anstream::println!("{singular}/{}", item["metadata"]["name"].as_str().unwrap_or_default());
    }
}

/// Percent-encodes what is not plain in a query.
pub(super) fn escape(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
