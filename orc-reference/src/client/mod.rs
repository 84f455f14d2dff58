//! The client verbs, so that a machine without kubectl can do the main job.

pub mod apply;
pub mod backup;
pub mod delete;
pub mod get;
pub mod logs;
pub mod manifest;
pub mod restore;
pub mod status;
mod table;
pub mod ui;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use orc_api::remote::{Connection, Kubeconfig};
use orc_core::catalogue::{Catalogue, ResourceInfo};

use crate::args::{ClientArgs, ClusterArgs};
use crate::data_dir::DataDir;

/// A cluster, and the namespace that is meant.
pub struct Client {
    /// The way to it.
    pub connection: Connection,
    /// The namespace of flags or kubeconfig.
    pub namespace: String,
}

impl Client {
    /// Reads the kubeconfig that the flags name.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(args: &ClientArgs) -> anyhow::Result<Self> {
        let path = kubeconfig(args)?;
        let connection = Connection::new(
            Kubeconfig::read(&path).context("there is no usable kubeconfig; start a cluster with `orc up`")?,
        )?;
        let namespace = args.namespace.clone().unwrap_or_else(|| connection.namespace().to_owned());
        Ok(Self { connection, namespace })
    }
}

fn kubeconfig(args: &ClientArgs) -> anyhow::Result<PathBuf> {
    if let Some(path) = &args.kubeconfig {
        return Ok(path.clone());
    }
    if let Some(path) = std::env::var_os("KUBECONFIG").filter(|path| !path.is_empty()) {
        return Ok(PathBuf::from(path));
    }
    let cluster = ClusterArgs::default_place();
    Ok(DataDir::named(&cluster)?.join("kubeconfig"))
}

/// The resource that a person means by a word.
///
/// # Errors
/// When there is none.
pub fn resource(word: &str) -> anyhow::Result<Arc<ResourceInfo>> {
    let word = word.to_ascii_lowercase();
    let (name, group) = word.split_once('.').unwrap_or((&word, ""));
    let catalogue = Catalogue::builtin();
    let found = match group {
        "" => catalogue.by_name(name).cloned(),
        group => catalogue.resource(group, name).cloned(),
    };
    found
        .with_context(|| format!("the server doesn't have a resource type {word:?}; `orc get` knows the built-in ones"))
}

/// The URL path of a resource in a version, in a namespace where it lives in one.
pub fn path(info: &ResourceInfo, version: &str, namespace: Option<&str>) -> String {
    let root =
        if info.group.is_empty() { format!("/api/{version}") } else { format!("/apis/{}/{version}", info.group) };
    match namespace.filter(|_| info.is_namespaced()) {
        Some(namespace) => format!("{root}/namespaces/{namespace}/{}", info.plural),
        None => format!("{root}/{}", info.plural),
    }
}

/// The preferred version.
pub fn version(info: &ResourceInfo) -> &str {
    info.versions.first().map_or("v1", |version| &*version.name)
}

/// `resource/name` or two words.
///
/// # Errors
/// When the word is no resource.
pub fn named(word: &str, name: Option<&str>) -> anyhow::Result<(Arc<ResourceInfo>, Option<String>)> {
    match word.split_once('/') {
        Some((kind, name)) => Ok((resource(kind)?, Some(name.to_owned()))),
        None => Ok((resource(word)?, name.map(str::to_owned))),
    }
}
