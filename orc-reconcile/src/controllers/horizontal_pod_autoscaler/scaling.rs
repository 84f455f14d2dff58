//! How fast a target may be scaled (`horizontal.go`): recommendations are held against recent ones, and the change against
//! the policies of `spec.behavior`.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::autoscaling::v2::{HPAScalingRules, HorizontalPodAutoscalerBehavior};

/// The window in which the highest recommendation counts when scaling down
/// (`--horizontal-pod-autoscaler-downscale-stabilization`).
const DOWN_WINDOW: i32 = 300;

/// A reason and a message for people.
pub(super) type Why = (&'static str, &'static str);

const WITHIN: Why = ("DesiredWithinRange", "the desired count is within the acceptable range");
const TOO_MANY: Why = ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const TOO_FEW: Why = ("TooFewReplicas", "the desired replica count is less than the minimum replica count");
const UP_LIMIT: Why = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const DOWN_LIMIT: Why =
    ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");
const UP_STABLE: Why = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
const DOWN_STABLE: Why = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);
const READY: Why = ("ReadyForNewScale", "recommended size matches current size");

/// What was recommended and done of late. It is lost with the process, as upstream; the first recommendation after that is
/// the present size, so that nothing is scaled down at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct History {
    recommendations: Vec<(Timestamp, i32)>,
    ups: Vec<(Timestamp, i32)>,
    downs: Vec<(Timestamp, i32)>,
}

/// The bounds of a target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) least: i32,
    pub(super) most: i32,
}

/// A size that may be set now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Allowed {
    pub(super) replicas: i32,
    /// Of the condition `AbleToScale`.
    pub(super) stable: Why,
    /// Of the condition `ScalingLimited`, and whether that holds.
    pub(super) limited: (bool, Why),
}

fn within(at: Timestamp, now: Timestamp, seconds: i32) -> bool {
    now.duration_since(at) < SignedDuration::from_secs(i64::from(seconds))
}

impl History {
    /// Remembers the present size where nothing is remembered.
    pub(super) fn begin(&mut self, current: i32, now: Timestamp) {
        if self.recommendations.is_empty() {
            self.recommendations.push((now, current));
        }
    }

    /// Remembers a change of the target's size.
    pub(super) fn scaled(
        &mut self,
        from: i32,
        to: i32,
        behavior: Option<&HorizontalPodAutoscalerBehavior>,
        now: Timestamp,
    ) {
        let Some(behavior) = behavior else { return };
        let (events, rules) =
            if to > from { (&mut self.ups, &behavior.scale_up) } else { (&mut self.downs, &behavior.scale_down) };
        let policies = rules.iter().flat_map(|rules| rules.policies.iter().flatten());
        let longest = policies.map(|policy| policy.period_seconds).max().unwrap_or_default();
        events.retain(|(at, _)| within(*at, now, longest));
        events.push((now, to.abs_diff(from).try_into().unwrap_or(i32::MAX)));
    }

    /// What becomes of a recommendation, which is remembered.
    pub(super) fn allow(
        &mut self,
        desired: i32,
        current: i32,
        bounds: Bounds,
        behavior: Option<&HorizontalPodAutoscalerBehavior>,
        now: Timestamp,
    ) -> Allowed {
        let (stable, why) = self.stabilize(desired, current, behavior, now);
        let why = if stable == desired { READY } else { why };
        let (replicas, limit) = match behavior {
            None => limit(stable, current, bounds),
            Some(behavior) => self.limit_by(stable, current, bounds, behavior, now),
        };
        Allowed { replicas, stable: why, limited: (replicas != stable, limit) }
    }

    fn stabilize(
        &mut self,
        desired: i32,
        current: i32,
        behavior: Option<&HorizontalPodAutoscalerBehavior>,
        now: Timestamp,
    ) -> (i32, Why) {
        let window = |rules: Option<&HPAScalingRules>, default| {
            rules.and_then(|rules| rules.stabilization_window_seconds).unwrap_or(default)
        };
        let up = window(behavior.and_then(|behavior| behavior.scale_up.as_ref()), 0);
        let down = window(behavior.and_then(|behavior| behavior.scale_down.as_ref()), DOWN_WINDOW);
        self.recommendations.retain(|(at, _)| within(*at, now, up.max(down)));
        let recent =
            |seconds| self.recommendations.iter().filter(move |(at, _)| within(*at, now, seconds)).map(|(_, n)| *n);
        // Without behavior, only going down is held back, and a recommendation to stay counts as going down.
        let outcome = if behavior.is_some() && desired >= current {
            (recent(up).chain([desired]).min().unwrap_or(desired), UP_STABLE)
        } else {
            (recent(down).chain([desired]).max().unwrap_or(desired), DOWN_STABLE)
        };
        self.recommendations.push((now, desired));
        outcome
    }

    fn limit_by(
        &self,
        desired: i32,
        current: i32,
        bounds: Bounds,
        behavior: &HorizontalPodAutoscalerBehavior,
        now: Timestamp,
    ) -> (i32, Why) {
        if desired > current {
            let rate = behavior
                .scale_up
                .as_ref()
                .map_or(i32::MAX, |rules| up_limit(current, &self.ups, rules, now))
                .max(current);
            let (most, why) = if bounds.most > rate { (rate, UP_LIMIT) } else { (bounds.most, TOO_MANY) };
            return if desired > most { (most, why) } else { (desired, WITHIN) };
        }
        if desired < current {
            let rate = behavior
                .scale_down
                .as_ref()
                .map_or(0, |rules| down_limit(current, &self.downs, rules, now))
                .min(current);
            let (least, why) = if bounds.least < rate { (rate, DOWN_LIMIT) } else { (bounds.least, TOO_FEW) };
            return if desired < least { (least, why) } else { (desired, WITHIN) };
        }
        (desired, WITHIN)
    }
}

/// The limits without `spec.behavior`: twice the size at once, or four.
fn limit(desired: i32, current: i32, bounds: Bounds) -> (i32, Why) {
    let rate = current.saturating_mul(2).max(4);
    let (most, why) = if bounds.most > rate { (rate, UP_LIMIT) } else { (bounds.most, TOO_MANY) };
    if desired < bounds.least {
        (bounds.least, TOO_FEW)
    } else if desired > most {
        (most, why)
    } else {
        (desired, WITHIN)
    }
}

fn changed(events: &[(Timestamp, i32)], seconds: i32, now: Timestamp) -> i32 {
    let recent = events.iter().filter(|(at, _)| within(*at, now, seconds)).map(|(_, change)| *change);
    recent.fold(0, i32::saturating_add)
}

fn up_limit(current: i32, events: &[(Timestamp, i32)], rules: &HPAScalingRules, now: Timestamp) -> i32 {
    let proposals = rules.policies.iter().flatten().map(|policy| {
        let start = current.saturating_sub(changed(events, policy.period_seconds, now));
        match policy.type_.as_str() {
            // Rounded up: a change that is no whole pod would never come.
            "Percent" => (f64::from(start) * (1.0 + f64::from(policy.value) / 100.0)).ceil() as i32,
            _ => start.saturating_add(policy.value),
        }
    });
    match rules.select_policy.as_deref() {
        Some("Disabled") => current,
        Some("Min") => proposals.min().unwrap_or(current),
        _ => proposals.max().unwrap_or(current),
    }
}

fn down_limit(current: i32, events: &[(Timestamp, i32)], rules: &HPAScalingRules, now: Timestamp) -> i32 {
    let proposals = rules.policies.iter().flatten().map(|policy| {
        let start = current.saturating_add(changed(events, policy.period_seconds, now));
        match policy.type_.as_str() {
            "Percent" => (f64::from(start) * (1.0 - f64::from(policy.value) / 100.0)) as i32,
            _ => start.saturating_sub(policy.value),
        }
    });
    match rules.select_policy.as_deref() {
        Some("Disabled") => current,
        // The least change leaves the most.
        Some("Min") => proposals.max().unwrap_or(current),
        _ => proposals.min().unwrap_or(current),
    }
}
