//! `orc logs`.

use std::io::Write as _;

use http_body_util::BodyExt as _;

use super::Client;
use super::get::escape;
use crate::args::LogsArgs;

/// Prints a container's log, and goes on if asked.
///
/// # Errors
/// The server's.
pub async fn run(args: LogsArgs) -> anyhow::Result<()> {
    let client = Client::open(&args.client)?;
    let pod = args.pod.strip_prefix("pod/").unwrap_or(&args.pod);
    let mut path = format!(
        "/api/v1/namespaces/{}/pods/{pod}/log?follow={}&previous={}",
        client.namespace, args.follow, args.previous
    );
    if let Some(container) = &args.container {
        path.push_str(&format!("&container={}", escape(container)));
    }
    if let Some(lines) = args.tail {
        path.push_str(&format!("&tailLines={lines}"));
    }
    let mut body = client.connection.send(http::Method::GET, &path, "*/*", None).await?.into_body();
    let mut out = std::io::stdout().lock();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            out.write_all(&data)?;
            out.flush()?;
        }
    }
    Ok(())
}
