//! The paths below a resource: sub-resources, streams, and the old paths of watches.

use orc_core::catalogue::SubresourceInfo;
use orc_core::schema::Schema;
use serde_json::json;

use super::operation::{Asked, Content, Operation, STREAMS};
use super::paths::Paths;
use super::place::{Place, a, capital};

const DEPRECATED: &str = "deprecated: use the 'watch' parameter with a list operation instead";

impl Paths<'_, '_> {
    /// The path of a sub-resource.
    pub(super) fn subresource(&mut self, place: &Place<'_>, sub: &SubresourceInfo) {
        let (group, version) =
            sub.foreign.as_ref().map_or((place.group, place.version), |of| (&*of.group, &*of.version));
        let title: String = sub.name.split('/').map(capital).collect();
        let at = format!("{}/{{name}}/{}", place.collection(""), sub.name);
        let connects = ["attach", "exec", "portforward", "proxy"].contains(&sub.name.as_str());
        if connects {
            return self.connect(place, sub, &title, at);
        }
        let object = match Schema::builtin().message_of(group, version, &sub.kind).filter(|_| sub.name != "log") {
            Some(message) => self.schemas.reference(message),
            None if sub.name == "log" => json!({"type": "string"}),
            None => self.of(place, &sub.kind),
        };
        let mut all = self.changes(place, &sub.verbs, &object, &sub.name);
        if sub.verbs.iter().any(|verb| verb == "create") {
            let text = format!("create {} of {}", sub.name, a(&place.one.info.kind));
            let verb = format!("create{}{}", place.prefix(), place.scope());
            let mut create = Self::bare(place, "post", "post", text, &verb);
            create.asked.extend(self.query(&["write"]));
            create.content = Content::Object(object.clone());
            create.answers = [200, 201, 202].map(|code| (code, object.clone())).to_vec();
            all.push(create);
        }
        if sub.name == "log" {
            let asked = self.query(&["log"]);
            all.iter_mut().for_each(|log| {
                log.asked = Self::namespace(place).into_iter().chain(asked.clone()).collect();
                log.forms.insert(0, "text/plain");
            });
        }
        for operation in &mut all {
            operation.id.push_str(&title);
            operation.gvk = Some(json!({"group": group, "version": version, "kind": sub.kind}));
            if sub.name == "log" {
                operation.gvk = Some(place.gvk());
            }
        }
        self.named(place, &mut all);
        self.add(at, all);
    }

    /// Streams: exec, attach, port-forward, proxy.
    fn connect(&mut self, place: &Place<'_>, sub: &SubresourceInfo, title: &str, at: String) {
        let proxy = sub.name == "proxy";
        let set = if proxy { format!("{}/proxy", place.one.info.plural) } else { sub.name.clone() };
        let methods: &[&'static str] =
            if proxy { &["get", "put", "post", "delete", "options", "head", "patch"] } else { &["get", "post"] };
        let below = [("", ""), ("/{path}", "WithPath")];
        for (tail, with) in below.iter().take(if proxy { 2 } else { 1 }) {
            let mut all: Vec<Operation> = Vec::new();
            for method in methods {
                let text =
                    format!("connect {} requests to {} of {}", method.to_uppercase(), sub.name, place.one.info.kind);
                let verb = format!("connect{}{}{}", place.prefix(), capital(method), place.scope());
                let mut connect = Self::bare(place, method, "connect", text, &verb);
                connect.id.push_str(&format!("{title}{with}"));
                connect.gvk = Some(json!({"group": place.group, "version": place.version, "kind": sub.kind}));
                connect.asked.extend(self.query(&[&set]));
                if !tail.is_empty() {
                    connect.asked.push(Asked::path("path", "path to the resource".to_owned()));
                }
                connect.answers = vec![(200, json!({"type": "string"}))];
                connect.forms = vec!["*/*"];
                all.push(connect);
            }
            self.named(place, &mut all);
            self.add(format!("{at}{tail}"), all);
        }
    }

    /// The old paths of watches.
    pub(super) fn watches(&mut self, place: &Place<'_>) {
        if !place.one.version().verbs.iter().any(|verb| verb == "watch") {
            return;
        }
        let kind = &place.one.info.kind;
        let event = self.meta("WatchEvent");
        let text = format!("watch individual changes to a list of {kind}. {DEPRECATED}.");
        let verb = format!("watch{}{}", place.prefix(), place.scope());
        let mut list = Self::bare(place, "get", "watchlist", text, &verb);
        list.id.push_str("List");
        list.asked.extend(self.query(&["list"]));
        list.forms.extend(STREAMS);
        list.answers = vec![(200, event)];
        if place.one.info.is_namespaced() {
            let mut everywhere = list.clone();
            everywhere.id = format!("watch{}{kind}ListForAllNamespaces", place.prefix());
            everywhere.asked.retain(|asked| Some(asked) != Self::namespace(place).as_ref());
            self.add(format!("{}/watch/{}", place.root(), place.one.info.plural), vec![everywhere]);
        }
        let mut one = list.clone();
        one.action = Some("watch");
        one.id = format!("{verb}{kind}");
        one.text = format!(
            "watch changes to an object of kind {kind}. {DEPRECATED}, filtered to a single item with the 'fieldSelector' parameter."
        );
        self.add(place.collection("watch/"), vec![list]);
        let mut one = vec![one];
        self.named(place, &mut one);
        self.add(format!("{}/{{name}}", place.collection("watch/")), one);
    }
}
