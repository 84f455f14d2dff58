//! What a pod takes over from its RuntimeClass: overhead, node labels and tolerations.

use orc_core::{ApiError, Doc, ObjectKey, ResourceId};
use orc_store::client::Freshness;
use serde_json::Value;

use super::super::Registry;

impl Registry {
    /// Admits a new pod against its class.
    ///
    /// # Errors
    /// 403 when the class is not there or says something else than the pod.
    pub(super) async fn admit_runtime_class(&self, key: &ObjectKey, pod: &mut Doc) -> Result<(), ApiError> {
        let refuse = |why: String| ApiError::forbidden("", "pods", &key.name, why);
        let name = pod.str_at(&["spec", "runtimeClassName"]).unwrap_or_default().to_owned();
        let class = if name.is_empty() {
            None
        } else {
            let place = ObjectKey::cluster(ResourceId::new("node.k8s.io", "runtimeclasses"), name.as_str());
            let stored = self.store.get(&place, Freshness::Latest).await?;
            let stored = stored.ok_or_else(|| refuse(format!("pod rejected: RuntimeClass {name:?} not found")))?;
            Some(Doc::from_body(&stored.body)?)
        };
        overhead(pod, class.as_ref()).map_err(refuse)?;
        class.map_or(Ok(()), |class| scheduling(pod, &class).map_err(refuse))
    }
}

fn overhead(pod: &mut Doc, class: Option<&Doc>) -> Result<(), String> {
    let fixed = class.and_then(|class| class.at(&["overhead", "podFixed"])).filter(|v| v.is_object()).cloned();
    let given = pod.at(&["spec", "overhead"]).filter(|v| v.as_object().is_some_and(|map| !map.is_empty())).cloned();
    match (fixed, given) {
        (None, None) => Ok(()),
        (None, Some(_)) => {
            Err("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead".to_owned())
        }
        (Some(fixed), Some(given)) if fixed != given => {
            Err("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead".to_owned())
        }
        (Some(fixed), _) => {
            pod.set(&["spec", "overhead"], fixed);
            Ok(())
        }
    }
}

fn scheduling(pod: &mut Doc, class: &Doc) -> Result<(), String> {
    for (label, value) in class.at(&["scheduling", "nodeSelector"]).and_then(Value::as_object).into_iter().flatten() {
        let given = pod.at(&["spec", "nodeSelector", label]).cloned();
        if let Some(given) = given.filter(|given| given != value) {
            let (want, have) = (value.as_str().unwrap_or_default(), given.as_str().unwrap_or_default());
            return Err(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{label}] = {want}; pod.spec.nodeSelector[{label}] = {have}"
            ));
        }
        pod.set(&["spec", "nodeSelector", label], value.clone());
    }
    let more = class.at(&["scheduling", "tolerations"]).and_then(Value::as_array).cloned().unwrap_or_default();
    if !more.is_empty() {
        let mut all = pod.at(&["spec", "tolerations"]).and_then(Value::as_array).cloned().unwrap_or_default();
        for toleration in more {
            if !all.contains(&toleration) {
                all.push(toleration);
            }
        }
        pod.set(&["spec", "tolerations"], all);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_class_and_its_pod_must_agree() {
        let class = Doc::from_value(
            json!({"overhead": {"podFixed": {"cpu": "1"}}, "scheduling": {"nodeSelector": {"a": "b"}}}),
        )
        .unwrap();
        let mut pod = Doc::from_value(json!({"spec": {}})).unwrap();
        overhead(&mut pod, Some(&class)).unwrap();
        scheduling(&mut pod, &class).unwrap();
        assert_eq!(pod.value(), &json!({"spec": {"overhead": {"cpu": "1"}, "nodeSelector": {"a": "b"}}}));
        pod.set(&["spec", "nodeSelector", "a"], "c");
        assert!(scheduling(&mut pod, &class).unwrap_err().contains("conflict"));
        assert!(overhead(&mut pod, None).is_err());
    }
}
