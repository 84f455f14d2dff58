//! Webhooks: compiled configurations, reviews, and the calls.

mod call;
mod client;
mod config;
mod resolve;
mod review;

pub use call::WebhookError;
pub use client::WebhookClient;
pub use config::{Hook, Place};
pub use resolve::{ServiceResolver, StoreResolver};
pub use review::Verdict;
