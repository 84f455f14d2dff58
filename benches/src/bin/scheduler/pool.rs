//! Requests over a few HTTP/2 connections, many at a time.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::try_join_all;
use futures::stream::{self, FuturesUnordered};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use orc_benches::cluster::Cluster;
use orc_benches::http2::Http2;

const JSON: &str = "application/json";

/// Connections that are used in turn.
pub(crate) struct Pool {
    connections: Vec<Http2>,
    next: AtomicUsize,
    /// Requests under way at a time.
    streams: usize,
}

impl Pool {
    pub(crate) async fn open(cluster: &Cluster, connections: usize, streams: usize) -> anyhow::Result<Self> {
        let kubeconfig = cluster.kubeconfig()?;
        let connections = try_join_all((0..connections).map(|_| Http2::open(cluster.address, &kubeconfig))).await?;
        Ok(Self { connections, next: AtomicUsize::new(0), streams })
    }

    /// One of the connections.
    pub(crate) fn connection(&self) -> &Http2 {
        &self.connections[self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len()]
    }

    /// Reads a text.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Bytes> {
        let answer = self.connection().send(Method::GET, path, JSON, Bytes::new()).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        refused(&Method::GET, path, status, &body)?;
        Ok(body)
    }

    /// Sends a request; an answer of `fine` is as good as a success.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Bytes, fine: StatusCode) -> anyhow::Result<()> {
        let answer = self.connection().send(method.clone(), path, JSON, body).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await.with_context(|| path.to_owned())?.to_bytes();
        if status == fine { Ok(()) } else { refused(&method, path, status, &body) }
    }

    /// Makes objects, as many at a time as is allowed. `object` gives path and body of a number.
    pub(crate) async fn create(
        &self,
        count: usize,
        mut object: impl FnMut(usize) -> (String, Bytes),
    ) -> anyhow::Result<()> {
        let mut under_way = FuturesUnordered::new();
        for number in 0..count {
            if under_way.len() >= self.streams {
                under_way.next().await.transpose()?;
            }
            let (path, body) = object(number);
            under_way.push(async move { self.send(Method::POST, &path, body, StatusCode::CREATED).await });
        }
        while under_way.next().await.transpose()?.is_some() {}
        Ok(())
    }

    /// Deletes objects at once; what is gone already is fine.
    pub(crate) async fn delete(&self, paths: Vec<String>) -> anyhow::Result<()> {
        let body = Bytes::from_static(br#"{"gracePeriodSeconds":0}"#);
        let requests = paths.into_iter().map(|path| {
            let body = body.clone();
            async move { self.send(Method::DELETE, &path, body, StatusCode::NOT_FOUND).await }
        });
        let mut ended = stream::iter(requests).buffer_unordered(self.streams);
        while ended.next().await.transpose()?.is_some() {}
        Ok(())
    }
}

fn refused(method: &Method, path: &str, status: StatusCode, body: &[u8]) -> anyhow::Result<()> {
    if status.is_success() {
        return Ok(());
    }
    bail!("{method} {path}: {status}: {}", String::from_utf8_lossy(body))
}
