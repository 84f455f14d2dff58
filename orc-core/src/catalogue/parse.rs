//! Reads `data/catalogue.txt`.
//!
//! - `# "text"`: a description, numbered from 0 in order;
//! - `@group`, `=version`: what follows is served there;
//! - `plural Kind singular scope verbs short-names categories storage storage-version`, with `-` for none;
//! - `/name group version Kind verbs`: a sub-resource of the resource before it;
//! - `?field field...`: its selectable fields;
//! - `|name|type|format|priority|description`: a column of its table form.
//!
//! The file is part of the program: a mistake in it panics at first use, which a unit test does.

use std::sync::Arc;

use super::Catalogue;
use super::resource::{Column, GroupVersion, ResourceInfo, Scope, SubresourceInfo, VersionInfo};
use crate::key::ResourceId;

#[derive(Default)]
struct Reader {
    texts: Vec<String>,
    order: Vec<Arc<str>>,
    group: Arc<str>,
    version: Arc<str>,
    resources: Vec<ResourceInfo>,
    /// The resource that sub-resources, fields and columns belong to.
    current: usize,
}

pub(super) fn parse(text: &str) -> Catalogue {
    let mut reader = Reader { group: Arc::from(""), version: Arc::from(""), ..Reader::default() };
    for line in text.lines() {
        reader.line(line);
    }
    let mut catalogue = Catalogue { order: Arc::new(reader.order), ..Catalogue::default() };
    for resource in reader.resources {
        catalogue.insert(resource);
    }
    catalogue
}

impl Reader {
    fn line(&mut self, line: &str) {
        let Some(first) = line.chars().next() else {
            return;
        };
        let rest = &line[first.len_utf8()..];
        match first {
            '#' => self.texts.push(serde_json::from_str(rest).expect("a description is a JSON string")),
            '@' => {
                self.group = Arc::from(rest);
                self.order.push(self.group.clone());
            }
            '=' => self.version = Arc::from(rest),
            '/' => {
                let subresource = read_subresource(rest);
                self.version_info().subresources.push(subresource);
            }
            '?' => self.version_info().fields = rest.split(' ').map(str::to_owned).collect(),
            '|' => {
                let column = self.read_column(rest);
                self.version_info().columns.push(column);
            }
            _ => self.resource(line),
        }
    }

    fn version_info(&mut self) -> &mut VersionInfo {
        self.resources[self.current].versions.last_mut().expect("a resource has a version")
    }

    fn resource(&mut self, line: &str) {
        let parts: Vec<&str> = line.split(' ').collect();
        let [plural, kind, singular, scope, verbs, short_names, categories, storage, stored] = parts[..] else {
            panic!("not a resource in catalogue.txt: {line}")
        };
        let version = VersionInfo {
            name: self.version.clone(),
            served: true,
            verbs: words(verbs),
            subresources: Vec::new(),
            fields: Vec::new(),
            columns: Vec::new(),
        };
        if let Some(at) = self.resources.iter().position(|r| r.group == self.group && r.plural == plural) {
            self.current = at;
            self.resources[at].versions.push(version);
            return;
        }
        let id = (storage != "-").then(|| ResourceId::parse(storage));
        self.current = self.resources.len();
        self.resources.push(ResourceInfo {
            storage: GroupVersion {
                group: id.as_ref().map_or(self.group.clone(), |id| Arc::from(id.group())),
                version: Arc::from(stored),
            },
            id,
            group: self.group.clone(),
            plural: plural.to_owned(),
            singular: singular.to_owned(),
            kind: kind.to_owned(),
            list_kind: format!("{kind}List"),
            scope: if scope == "N" { Scope::Namespaced } else { Scope::Cluster },
            short_names: words(short_names),
            categories: words(categories),
            versions: vec![version],
            custom: false,
        });
    }

    fn read_column(&self, rest: &str) -> Column {
        let parts: Vec<&str> = rest.split('|').collect();
        let [name, kind, format, priority, text] = parts[..] else { panic!("not a column in catalogue.txt: {rest}") };
        let text: usize = text.parse().expect("a description's number");
        Column {
            name: name.to_owned(),
            kind: kind.to_owned(),
            format: format.to_owned(),
            description: self.texts[text].clone(),
            priority: priority.parse().expect("a priority"),
        }
    }
}

fn read_subresource(rest: &str) -> SubresourceInfo {
    let parts: Vec<&str> = rest.split(' ').collect();
    let [name, group, version, kind, verbs] = parts[..] else { panic!("not a sub-resource in catalogue.txt: {rest}") };
    let foreign = (version != "-").then(|| GroupVersion { group: Arc::from(group), version: Arc::from(version) });
    SubresourceInfo { name: name.to_owned(), foreign, kind: kind.to_owned(), verbs: words(verbs) }
}

fn words(text: &str) -> Vec<String> {
    if text == "-" { Vec::new() } else { text.split(',').map(str::to_owned).collect() }
}
