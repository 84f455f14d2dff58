//! Where the files of a volume come from.

use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, PodStatus, Secret, Volume, VolumeProjection,
};
use orc_store::Api;

use super::super::context::{Context, namespace_of};
use super::super::fields;
use super::payload::{File, Files};
use crate::machine::container_of;

/// Kubernetes' default mode.
const MODE: i32 = 0o644;

/// The files of a volume; `None` for a kind that has none of its own.
pub(super) async fn files(
    context: &Context,
    pod: &Pod,
    status: &PodStatus,
    volume: &Volume,
) -> Result<Option<Files>, String> {
    if let Some(map) = &volume.config_map {
        let mode = map.default_mode.unwrap_or(MODE);
        let optional = map.optional.unwrap_or(false);
        return config_map(context, pod, &map.name, optional, map.items.as_deref(), mode).await.map(Some);
    }
    if let Some(secret) = &volume.secret {
        let mode = secret.default_mode.unwrap_or(MODE);
        let name = secret.secret_name.clone().unwrap_or_default();
        let optional = secret.optional.unwrap_or(false);
        return self::secret(context, pod, &name, optional, secret.items.as_deref(), mode).await.map(Some);
    }
    if let Some(downward) = &volume.downward_api {
        let items = downward.items.as_deref().unwrap_or_default();
        return self::downward(context, pod, status, items, downward.default_mode.unwrap_or(MODE)).map(Some);
    }
    let Some(projected) = &volume.projected else { return Ok(None) };
    let mut all = Files::new();
    for (index, source) in projected.sources.iter().flatten().enumerate() {
        let mode = projected.default_mode.unwrap_or(MODE);
        all.extend(projection(context, pod, status, &volume.name, index, source, mode).await?);
    }
    Ok(Some(all))
}

async fn projection(
    context: &Context,
    pod: &Pod,
    status: &PodStatus,
    volume: &str,
    index: usize,
    source: &VolumeProjection,
    mode: i32,
) -> Result<Files, String> {
    if let Some(map) = &source.config_map {
        return config_map(context, pod, &map.name, map.optional.unwrap_or(false), map.items.as_deref(), mode).await;
    }
    if let Some(secret) = &source.secret {
        let optional = secret.optional.unwrap_or(false);
        return self::secret(context, pod, &secret.name, optional, secret.items.as_deref(), mode).await;
    }
    if let Some(downward) = &source.downward_api {
        return self::downward(context, pod, status, downward.items.as_deref().unwrap_or_default(), mode);
    }
    if let Some(token) = &source.service_account_token {
        let content = context.tokens.get(context, pod, &format!("{volume}/{index}"), token).await?;
        // Programs that run as another user must be able to read it.
        let security = pod.spec.as_ref().and_then(|spec| spec.security_context.clone()).unwrap_or_default();
        let mode = if security.fs_group.is_some() { 0o600 } else { mode };
        return Ok([(token.path.clone(), file(content.into_bytes(), mode))].into());
    }
    let value = serde_json::to_value(source).unwrap_or_default();
    let kind = value.as_object().and_then(|map| map.keys().next().cloned()).unwrap_or_default();
    Err(format!("projected source {kind} is not supported by orc yet"))
}

fn file(content: Vec<u8>, mode: i32) -> File {
    File { content, mode: u32::try_from(mode).unwrap_or(0o644) & 0o777 }
}

async fn config_map(
    context: &Context,
    pod: &Pod,
    name: &str,
    optional: bool,
    items: Option<&[KeyToPath]>,
    mode: i32,
) -> Result<Files, String> {
    let api: Api<ConfigMap> = Api::namespaced(context.env.client.clone(), namespace_of(pod));
    let Some(map) = api.get_opt(name).await.map_err(|error| error.to_string())? else {
        return if optional { Ok(Files::new()) } else { Err(format!("configmap {name:?} not found")) };
    };
    let text = map.data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
    let binary = map.binary_data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
    chosen(text.chain(binary).collect(), items, mode, optional)
}

async fn secret(
    context: &Context,
    pod: &Pod,
    name: &str,
    optional: bool,
    items: Option<&[KeyToPath]>,
    mode: i32,
) -> Result<Files, String> {
    let api: Api<Secret> = Api::namespaced(context.env.client.clone(), namespace_of(pod));
    let Some(secret) = api.get_opt(name).await.map_err(|error| error.to_string())? else {
        return if optional { Ok(Files::new()) } else { Err(format!("secret {name:?} not found")) };
    };
    let data = secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
    chosen(data.collect(), items, mode, optional)
}

/// All keys, or the chosen ones at their paths.
fn chosen(
    mut data: std::collections::BTreeMap<String, Vec<u8>>,
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: bool,
) -> Result<Files, String> {
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return Ok(data.into_iter().map(|(key, content)| (key, file(content, mode))).collect());
    };
    let mut files = Files::new();
    for item in items {
        match data.remove(&item.key) {
            Some(content) => drop(files.insert(item.path.clone(), file(content, item.mode.unwrap_or(mode)))),
            None if optional => {}
            None => return Err(format!("references non-existent config key: {}", item.key)),
        }
    }
    Ok(files)
}

fn downward(
    context: &Context,
    pod: &Pod,
    status: &PodStatus,
    items: &[DownwardAPIVolumeFile],
    mode: i32,
) -> Result<Files, String> {
    let mut files = Files::new();
    for item in items {
        let text = if let Some(field) = &item.field_ref {
            fields::field(pod, status, &field.field_path)?
        } else if let Some(selector) = &item.resource_field_ref {
            let name = selector.container_name.as_deref().unwrap_or_default();
            let container = container_of(pod, name).ok_or_else(|| format!("container {name} not found"))?;
            fields::resource(selector, container, &context.config)?
        } else {
            return Err(format!("downwardAPI item {:?} names no field", item.path));
        };
        files.insert(item.path.clone(), file(text.into_bytes(), item.mode.unwrap_or(mode)));
    }
    Ok(files)
}
