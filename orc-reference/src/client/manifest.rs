//! Files of objects.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use orc_core::catalogue::Catalogue;
use orc_core::catalogue::Served;
use orc_core::{Doc, ObjectKey};

/// One object of a file, with what it is.
pub struct Item {
    /// The object.
    pub doc: Doc,
    /// Its resource and version.
    pub served: Served,
}

impl Item {
    /// The object's key; `namespace` where it names none itself.
    ///
    /// # Errors
    /// For kinds that are not stored.
    pub fn key(&self, namespace: &str) -> anyhow::Result<ObjectKey> {
        let resource =
            self.served.info.id.clone().with_context(|| format!("{} objects are not stored", self.doc.kind()))?;
        let own = Some(self.doc.namespace()).filter(|own| !own.is_empty()).unwrap_or(namespace);
        let namespace = self.served.info.is_namespaced().then(|| own.into());
        Ok(ObjectKey { resource, namespace, name: self.doc.name().into() })
    }

    /// `kind/name`, as it is told to people.
    pub fn title(&self) -> String {
        format!("{}/{}", self.served.info.singular, self.doc.name())
    }
}

/// Reads the objects of a YAML or JSON file, `-` for standard input. A file may hold several documents and `List`s.
///
/// # Errors
/// The first document that is not an object of a known kind with a name, with its number.
pub fn read(path: &Path) -> anyhow::Result<Vec<Item>> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        text
    } else {
        std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?
    };
    let documents: Vec<serde_json::Value> =
        serde_saphyr::from_multiple(&text).with_context(|| format!("{} is not YAML", path.display()))?;
    let mut items = Vec::new();
    for (number, document) in documents.into_iter().enumerate() {
        if document.is_null() {
            continue;
        }
        let place = || format!("{}, document {}", path.display(), number + 1);
        match document.get("items").and_then(|list| list.as_array()) {
            Some(list) if document["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) => {
                for inner in list {
                    items.push(item(inner.clone()).with_context(place)?);
                }
            }
            _ => items.push(item(document).with_context(place)?),
        }
    }
    Ok(items)
}

fn item(value: serde_json::Value) -> anyhow::Result<Item> {
    let doc = Doc::from_value(value)?;
    let (group, version) = doc.api_version().split_once('/').unwrap_or(("", doc.api_version()));
    anyhow::ensure!(!doc.kind().is_empty(), "kind is missing");
    anyhow::ensure!(!doc.api_version().is_empty(), "apiVersion is missing");
    anyhow::ensure!(!doc.name().is_empty(), "metadata.name is missing");
    let served = Catalogue::builtin().by_kind(group, version, doc.kind());
    let served =
        served.with_context(|| format!("no matches for kind {:?} in version {:?}", doc.kind(), doc.api_version()))?;
    Ok(Item { doc, served })
}
