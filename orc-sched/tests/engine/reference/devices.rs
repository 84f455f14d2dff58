//! Device claims of the form that the property test makes, tried in every way.

use k8s_openapi::api::resource::v1::ResourceClaim;
use orc_sched::{Fact, FactKey, FactKind, NodeInfo, PodInfo, View};

/// A device: its name, its model, whether somebody has it.
type Device = (String, String, bool);

pub(super) fn refusal(view: &View, node: &NodeInfo, pod: &PodInfo) -> Option<String> {
    let mut claims: Vec<&ResourceClaim> = Vec::new();
    for device in &pod.devices {
        let name = device.claim.clone().unwrap();
        let key = FactKey::new(FactKind::DeviceClaim, pod.key.namespace_str(), name.clone());
        match view.facts().get(&key).map(|fact| &**fact) {
            Some(Fact::DeviceClaim(claim)) => claims.push(claim),
            _ => return Some(format!("resourceclaim \"{name}\" not found")),
        }
    }
    let (allocated, wanted): (Vec<_>, Vec<_>) = claims.into_iter().partition(|claim| allocation(claim).is_some());
    let elsewhere = |claim: &&ResourceClaim| {
        let selector = allocation(claim).unwrap()["nodeSelector"]["nodeSelectorTerms"][0].clone();
        let names = selector["matchFields"][0]["values"].as_array().cloned();
        names.is_some_and(|names| !names.iter().any(|name| name == node.name.as_str()))
    };
    if allocated.iter().any(elsewhere) {
        return Some("resourceclaim not available on the node".to_owned());
    }
    let asked: Vec<Option<String>> = wanted.into_iter().flat_map(asked).collect();
    let none = !possible(&devices(view, node), &mut Vec::new(), &asked);
    none.then(|| "cannot allocate all claims".to_owned())
}

fn allocation(claim: &ResourceClaim) -> Option<serde_json::Value> {
    let allocation = claim.status.as_ref()?.allocation.as_ref()?;
    Some(serde_json::to_value(allocation).unwrap())
}

/// A model, or any, for each device that a claim asks for.
fn asked(claim: &ResourceClaim) -> Vec<Option<String>> {
    let request = claim.spec.devices.as_ref().unwrap().requests.as_ref().unwrap()[0].exactly.clone().unwrap();
    let expression = request.selectors.into_iter().flatten().next().map(|selector| selector.cel.unwrap().expression);
    let model = expression.map(|expression| expression.strip_prefix("model == ").unwrap().to_owned());
    vec![model; usize::try_from(request.count.unwrap()).unwrap()]
}

/// The devices of a node whose pool is whole.
fn devices(view: &View, node: &NodeInfo) -> Vec<Device> {
    let mut all = Vec::new();
    for (_, fact) in view.facts().all(FactKind::Slice) {
        let Fact::Slice(slice) = fact else { continue };
        if slice.spec.node_name.as_deref() != Some(node.name.as_str()) || slice.spec.pool.resource_slice_count != 1 {
            continue;
        }
        for device in slice.spec.devices.iter().flatten() {
            let model = device.attributes.as_ref().unwrap()["model"].string.clone().unwrap();
            all.push((device.name.clone(), model, has_owner(view, &slice.spec.pool.name, &device.name)));
        }
    }
    all
}

fn has_owner(view: &View, pool: &str, device: &str) -> bool {
    view.facts().all(FactKind::DeviceClaim).any(|(_, fact)| {
        let Fact::DeviceClaim(claim) = fact else { return false };
        let results = allocation(claim).map(|allocation| allocation["devices"]["results"].clone());
        let results = results.and_then(|results| results.as_array().cloned()).unwrap_or_default();
        results.iter().any(|result| result["pool"] == pool && result["device"] == device)
    })
}

/// Whether each that is asked for can have a device of its own.
fn possible(devices: &[Device], given: &mut Vec<usize>, asked: &[Option<String>]) -> bool {
    let Some((first, rest)) = asked.split_first() else { return true };
    for (at, (_, model, taken)) in devices.iter().enumerate() {
        let fits = first.as_ref().is_none_or(|wanted| wanted == model);
        if fits && !taken && !given.contains(&at) {
            given.push(at);
            if possible(devices, given, rest) {
                return true;
            }
            given.pop();
        }
    }
    false
}
