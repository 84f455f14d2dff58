//! Admission over real stores: quotas between two servers, policies, and webhooks over HTTPS.

mod policies;
mod quotas;
mod support;
mod webhooks;
