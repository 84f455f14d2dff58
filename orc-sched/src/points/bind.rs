//! The extension points on the way to the API.

use std::sync::Arc;

use async_trait::async_trait;
use orc_core::ApiError;
use orc_store::ObjectClient;

use crate::engine::Reservation;
use crate::pod::PodInfo;

/// Takes something outside of the cluster for a pod, such as a licence, once its node is decided.
///
/// ```
/// use async_trait::async_trait;
/// use orc_core::ApiError;
/// use orc_sched::PodInfo;
/// use orc_sched::points::Reserve;
/// use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
///
/// struct Licences(AtomicI64);
///
/// #[async_trait]
/// impl Reserve for Licences {
///     async fn reserve(&self, _: &PodInfo, _: &str) -> Result<(), ApiError> {
///         let taken = self.0.try_update(SeqCst, SeqCst, |left| (left > 0).then(|| left - 1));
///         taken.map(drop).map_err(|_| ApiError::unavailable("no licence is left"))
///     }
///     async fn unreserve(&self, _: &PodInfo, _: &str) {
///         self.0.fetch_add(1, SeqCst);
///     }
/// }
/// # let now = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// let (one, pod) = (Licences(AtomicI64::new(1)), PodInfo::of(&Default::default()));
/// assert!(now.block_on(one.reserve(&pod, "n1")).is_ok());
/// assert!(now.block_on(one.reserve(&pod, "n1")).is_err());
/// ```
#[async_trait]
pub trait Reserve: Send + Sync + 'static {
    /// Takes what the pod needs.
    ///
    /// # Errors
    /// Why there is none; the pod is tried again later.
    async fn reserve(&self, pod: &PodInfo, node: &str) -> Result<(), ApiError>;

    /// Gives it back, since the pod was not bound. Must do nothing for a pod that has nothing.
    async fn unreserve(&self, pod: &PodInfo, node: &str);
}

/// Lets a pod wait before it is bound, or not be bound at all.
///
/// ```
/// use async_trait::async_trait;
/// use orc_core::ApiError;
/// use orc_sched::PodInfo;
/// use orc_sched::points::Permit;
/// use tokio::sync::Semaphore;
///
/// /// At most so many bindings, until somebody adds permits.
/// struct Metered(Semaphore);
///
/// #[async_trait]
/// impl Permit for Metered {
///     async fn permit(&self, _: &PodInfo, _: &str) -> Result<(), ApiError> {
///         let permit = self.0.acquire().await.map_err(|_| ApiError::unavailable("closed for today"))?;
///         permit.forget();
///         Ok(())
///     }
/// }
/// # let now = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// let (metered, pod) = (Metered(Semaphore::new(1)), PodInfo::of(&Default::default()));
/// assert!(now.block_on(metered.permit(&pod, "n1")).is_ok());
/// metered.0.close();
/// assert!(now.block_on(metered.permit(&pod, "n1")).is_err());
/// ```
#[async_trait]
pub trait Permit: Send + Sync + 'static {
    /// Waits until the pod may be bound. The node is held for the pod meanwhile.
    ///
    /// # Errors
    /// Why it may not; the pod is tried again later.
    async fn permit(&self, pod: &PodInfo, node: &str) -> Result<(), ApiError>;
}

/// Prepares what a pod needs on its node.
///
/// ```
/// use async_trait::async_trait;
/// use orc_core::ApiError;
/// use orc_sched::points::PreBind;
/// use orc_sched::{PodInfo, Reservation};
/// use orc_store::ObjectClient;
/// use std::sync::Arc;
///
/// /// Does not bind to nodes that are about to go, whatever the engine knew.
/// struct NotTonight;
///
/// #[async_trait]
/// impl PreBind for NotTonight {
///     async fn pre_bind(&self, _: &Arc<dyn ObjectClient>, _: &PodInfo, to: &Reservation) -> Result<(), ApiError> {
///         match to.node.ends_with("-spot") {
///             true => Err(ApiError::unavailable("spot nodes are closed")),
///             false => Ok(()),
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait PreBind: Send + Sync + 'static {
    /// Prepares it. Must be repeatable: the pod may come again after a failure of a later step.
    ///
    /// # Errors
    /// Why it cannot; the pod is tried again later.
    async fn pre_bind(&self, client: &Arc<dyn ObjectClient>, pod: &PodInfo, to: &Reservation) -> Result<(), ApiError>;
}

/// Hears of bound pods.
///
/// ```
/// use async_trait::async_trait;
/// use orc_sched::PodInfo;
/// use orc_sched::points::PostBind;
/// use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
///
/// #[derive(Default)]
/// struct Count(AtomicU64);
///
/// #[async_trait]
/// impl PostBind for Count {
///     async fn bound(&self, _: &PodInfo, _: &str) {
///         self.0.fetch_add(1, SeqCst);
///     }
/// }
/// # let now = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// let count = Count::default();
/// now.block_on(count.bound(&PodInfo::of(&Default::default()), "n1"));
/// assert_eq!(count.0.into_inner(), 1);
/// ```
#[async_trait]
pub trait PostBind: Send + Sync + 'static {
    /// The pod was bound to the node.
    async fn bound(&self, pod: &PodInfo, node: &str);
}
