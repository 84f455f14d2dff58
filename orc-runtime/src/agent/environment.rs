//! The environment of a container: values with references, ConfigMaps, Secrets, the pod's own fields, and services.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, Pod, PodStatus, Secret, Service};
use orc_store::Api;
use orc_store::client::ListOptions;

use super::context::{Context, namespace_of};
use super::fields;
use crate::machine::Failure;

/// Resolves the environment.
pub(super) async fn resolve(
    context: &Context,
    pod: &Pod,
    status: &PodStatus,
    spec: &Container,
) -> Result<Vec<(String, String)>, Failure> {
    let config = |message: String| Failure::new("CreateContainerConfigError", message);
    let mut env: Vec<(String, String)> = Vec::new();
    for from in spec.env_from.iter().flatten() {
        let prefix = from.prefix.clone().unwrap_or_default();
        if let Some(map) = &from.config_map_ref {
            let data = config_map(context, pod, &map.name, map.optional.unwrap_or(false)).await.map_err(config)?;
            env.extend(data.into_iter().flatten().map(|(key, value)| (format!("{prefix}{key}"), value)));
        }
        if let Some(secret) = &from.secret_ref {
            let data =
                self::secret(context, pod, &secret.name, secret.optional.unwrap_or(false)).await.map_err(config)?;
            for (key, value) in data.into_iter().flatten() {
                env.push((format!("{prefix}{key}"), String::from_utf8_lossy(&value).into_owned()));
            }
        }
    }
    let services = match services(context, pod).await {
        // A static pod runs without the API.
        Err(_) if super::statics::is_static(pod) => Vec::new(),
        other => other.map_err(config)?,
    };
    // Services count least, but references may name them.
    let mut known: BTreeMap<String, String> = services.iter().cloned().chain(env.iter().cloned()).collect();
    for var in spec.env.iter().flatten() {
        let value = match (&var.value, &var.value_from) {
            (Some(value), _) => Some(expand(value, &known)),
            (None, Some(source)) => value_of(context, pod, status, spec, source).await.map_err(config)?,
            (None, None) => Some(String::new()),
        };
        let Some(value) = value else { continue };
        known.insert(var.name.clone(), value.clone());
        env.push((var.name.clone(), value));
    }
    Ok(services.into_iter().chain(env).collect())
}

async fn value_of(
    context: &Context,
    pod: &Pod,
    status: &PodStatus,
    spec: &Container,
    source: &EnvVarSource,
) -> Result<Option<String>, String> {
    if let Some(field) = &source.field_ref {
        return fields::field(pod, status, &field.field_path).map(Some);
    }
    if let Some(selector) = &source.resource_field_ref {
        let all = pod.spec.iter().flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
        let named = selector.container_name.as_deref().filter(|name| !name.is_empty());
        let container = named.and_then(|name| all.clone().find(|container| container.name == name)).unwrap_or(spec);
        return fields::resource(selector, container, &context.config).map(Some);
    }
    let namespace = namespace_of(pod);
    if let Some(key) = &source.config_map_key_ref {
        let optional = key.optional.unwrap_or(false);
        let data = config_map(context, pod, &key.name, optional).await?;
        let value = data.and_then(|data| data.get(&key.key).cloned());
        if value.is_none() && !optional {
            return Err(format!("couldn't find key {} in ConfigMap {namespace}/{}", key.key, key.name));
        }
        return Ok(value);
    }
    if let Some(key) = &source.secret_key_ref {
        let optional = key.optional.unwrap_or(false);
        let data = secret(context, pod, &key.name, optional).await?;
        let value = data.and_then(|data| data.get(&key.key).cloned());
        if value.is_none() && !optional {
            return Err(format!("couldn't find key {} in Secret {namespace}/{}", key.key, key.name));
        }
        return Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()));
    }
    Err("this source of an environment variable is not supported by orc".to_owned())
}

async fn config_map(
    context: &Context,
    pod: &Pod,
    name: &str,
    optional: bool,
) -> Result<Option<BTreeMap<String, String>>, String> {
    let api: Api<ConfigMap> = Api::namespaced(context.env.client.clone(), namespace_of(pod));
    match api.get_opt(name).await.map_err(|error| error.to_string())? {
        Some(map) => Ok(Some(map.data.clone().unwrap_or_default())),
        None if optional => Ok(None),
        None => Err(format!("configmap {name:?} not found")),
    }
}

async fn secret(
    context: &Context,
    pod: &Pod,
    name: &str,
    optional: bool,
) -> Result<Option<BTreeMap<String, Vec<u8>>>, String> {
    let api: Api<Secret> = Api::namespaced(context.env.client.clone(), namespace_of(pod));
    match api.get_opt(name).await.map_err(|error| error.to_string())? {
        Some(secret) => {
            Ok(Some(secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect()))
        }
        None if optional => Ok(None),
        None => Err(format!("secret {name:?} not found")),
    }
}

/// `KUBERNETES_SERVICE_HOST` and the like: of the API for every pod, of the namespace's services unless the pod declines.
async fn services(context: &Context, pod: &Pod) -> Result<Vec<(String, String)>, String> {
    let links = pod.spec.as_ref().and_then(|spec| spec.enable_service_links).unwrap_or(true);
    let client = &context.env.client;
    let default: Api<Service> = Api::namespaced(client.clone(), "default");
    let mut all: BTreeMap<String, std::sync::Arc<Service>> = BTreeMap::new();
    if let Some(api) = default.get_opt("kubernetes").await.map_err(|error| error.to_string())? {
        all.insert("kubernetes".to_owned(), api);
    }
    if links {
        let own: Api<Service> = Api::namespaced(client.clone(), namespace_of(pod));
        let list = own.list(&ListOptions::default()).await.map_err(|error| error.to_string())?;
        all.extend(list.items.into_iter().map(|one| (one.metadata.name.clone().unwrap_or_default(), one)));
    }
    Ok(all.iter().flat_map(|(name, service)| variables(name, service)).collect())
}

/// The variables of one service, as Docker links had them.
fn variables(name: &str, service: &Service) -> Vec<(String, String)> {
    let spec = service.spec.clone().unwrap_or_default();
    let Some(ip) = spec.cluster_ip.filter(|ip| !ip.is_empty() && ip != "None") else { return Vec::new() };
    let ports = spec.ports.unwrap_or_default();
    let Some(first) = ports.first() else { return Vec::new() };
    let big = |text: &str| text.to_uppercase().replace('-', "_");
    let name = big(name);
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.clone() };
    let mut env =
        vec![(format!("{name}_SERVICE_HOST"), ip.clone()), (format!("{name}_SERVICE_PORT"), first.port.to_string())];
    for port in &ports {
        if let Some(port_name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            env.push((format!("{name}_SERVICE_PORT_{}", big(port_name)), port.port.to_string()));
        }
    }
    for (index, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let url = format!("{}://{host}:{}", protocol.to_lowercase(), port.port);
        if index == 0 {
            env.push((format!("{name}_PORT"), url.clone()));
        }
        let prefix = format!("{name}_PORT_{}_{}", port.port, protocol.to_uppercase());
        env.push((prefix.clone(), url));
        env.push((format!("{prefix}_PROTO"), protocol.to_lowercase()));
        env.push((format!("{prefix}_PORT"), port.port.to_string()));
        env.push((format!("{prefix}_ADDR"), ip.clone()));
    }
    env
}

/// Replaces `$(NAME)` by the value of a known variable; `$$` is a dollar sign; the rest stays.
pub(super) fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match known.get(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_expanded() {
        let known = [("A".to_owned(), "1".to_owned())].into();
        for (text, want) in [
            ("$(A)", "1"),
            ("x$(A)y$(B)", "x1y$(B)"),
            ("$$(A)", "$(A)"),
            ("$A $", "$A $"),
            ("$(A", "$(A"),
            ("$$$(A)", "$1"),
        ] {
            assert_eq!(expand(text, &known), want, "{text}");
        }
    }

    #[test]
    fn a_service_has_its_variables() {
        let service: Service = serde_json::from_value(serde_json::json!({
            "spec": {"clusterIP": "10.0.0.1", "ports": [{"name": "https", "port": 443}]}
        }))
        .unwrap();
        let env: BTreeMap<String, String> = variables("my-api", &service).into_iter().collect();
        assert_eq!(env["MY_API_SERVICE_HOST"], "10.0.0.1");
        assert_eq!(env["MY_API_SERVICE_PORT_HTTPS"], "443");
        assert_eq!(env["MY_API_PORT_443_TCP"], "tcp://10.0.0.1:443");
        assert_eq!(env.len(), 8);
    }
}
