//! How many pods a rollout may add and take away: `ResolveFenceposts` of `k8s.io/kubernetes/pkg/controller/deployment/util`.

use k8s_openapi::api::apps::v1::{DeploymentSpec, RollingUpdateDeployment};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// The bounds of a rollout, in pods.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bounds {
    /// Pods above the wanted number.
    pub(crate) surge: i32,
    /// Pods below the wanted number.
    pub(crate) unavailable: i32,
}

/// Whether old pods go before new ones come.
pub(crate) fn is_recreate(spec: &DeploymentSpec) -> bool {
    spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
}

/// The bounds of a deployment: shares of the surge are rounded up, shares of the unavailable down, and not both may be 0.
pub(crate) fn bounds(spec: &DeploymentSpec) -> Bounds {
    let replicas = spec.replicas.unwrap_or(1);
    if is_recreate(spec) {
        return Bounds { surge: 0, unavailable: 0 };
    }
    let rolling = spec.strategy.as_ref().and_then(|strategy| strategy.rolling_update.clone());
    let RollingUpdateDeployment { max_surge, max_unavailable } = rolling.unwrap_or_default();
    let quarter = || IntOrString::String("25%".to_owned());
    let surge = resolve(&max_surge.unwrap_or_else(quarter), replicas, true);
    let unavailable = resolve(&max_unavailable.unwrap_or_else(quarter), replicas, false);
    let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
    Bounds { surge, unavailable: unavailable.min(replicas) }
}

/// A number or a share of `of`; what is neither counts as 0 (validation refuses it).
pub(crate) fn resolve(value: &IntOrString, of: i32, up: bool) -> i32 {
    match value {
        IntOrString::Int(n) => *n,
        IntOrString::String(text) => {
            let percent: i64 = text.strip_suffix('%').and_then(|digits| digits.parse().ok()).unwrap_or_default();
            let scaled = percent * i64::from(of);
            let whole = if up { (scaled + 99).div_euclid(100) } else { scaled.div_euclid(100) };
            i32::try_from(whole).unwrap_or(i32::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::apps::v1::DeploymentStrategy;

    fn of(replicas: i32, surge: &str, unavailable: &str) -> (i32, i32) {
        let value = |text: &str| text.parse().map_or_else(|_| IntOrString::String(text.to_owned()), IntOrString::Int);
        let rolling =
            RollingUpdateDeployment { max_surge: Some(value(surge)), max_unavailable: Some(value(unavailable)) };
        let strategy = DeploymentStrategy { rolling_update: Some(rolling), ..Default::default() };
        let bounds =
            bounds(&DeploymentSpec { replicas: Some(replicas), strategy: Some(strategy), ..Default::default() });
        (bounds.surge, bounds.unavailable)
    }

    #[test]
    fn shares_round_as_upstream() {
        assert_eq!(of(3, "25%", "25%"), (1, 0));
        assert_eq!(of(10, "25%", "25%"), (3, 2));
        assert_eq!(of(3, "0", "0"), (0, 1));
        assert_eq!(of(2, "1", "5"), (1, 2));
        assert_eq!(of(0, "25%", "25%"), (0, 0));
    }
}
