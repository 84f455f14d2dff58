//! The way of a placed pod to the API: reserve, permit, pre-bind, bind, post-bind.

use std::sync::Arc;

use orc_core::ApiError;
use orc_store::ObjectClient;

use super::binder::Binder;
use crate::engine::Reservation;
use crate::pod::PodInfo;
use crate::points::Points;

/// Walks the way. What was reserved is given back, in reverse order, when a later step fails.
pub(super) async fn walk(
    client: Arc<dyn ObjectClient>,
    points: Points,
    binder: Arc<dyn Binder>,
    pod: Arc<PodInfo>,
    to: Reservation,
) -> Result<(), ApiError> {
    let mut outcome = Ok(());
    let mut reserved = 0;
    for point in &points.reserve {
        outcome = point.reserve(&pod, &to.node).await;
        // One that failed may have taken a part.
        reserved += 1;
        if outcome.is_err() {
            break;
        }
    }
    if outcome.is_ok() {
        outcome = bind(&client, &points, &*binder, &pod, &to).await;
    }
    if outcome.is_err() {
        for point in points.reserve.iter().take(reserved).rev() {
            point.unreserve(&pod, &to.node).await;
        }
        return outcome;
    }
    for point in &points.post_bind {
        point.bound(&pod, &to.node).await;
    }
    outcome
}

async fn bind(
    client: &Arc<dyn ObjectClient>,
    points: &Points,
    binder: &dyn Binder,
    pod: &PodInfo,
    to: &Reservation,
) -> Result<(), ApiError> {
    for point in &points.permit {
        point.permit(pod, &to.node).await?;
    }
    for point in &points.pre_bind {
        point.pre_bind(client, pod, to).await?;
    }
    points.bind.as_deref().unwrap_or(binder).bind(&**client, pod, &to.node).await
}
